"""Train AlexNet, the two-tower network of 2012, on ImageNet or on any folder of photos.

    python examples/alexnet_imagenet.py                                    # the embedded Fashion-MNIST, about 4 minutes
    python examples/alexnet_imagenet.py --data ILSVRC2012_FOLDER --out runs/imagenet --init variant
    python examples/alexnet_imagenet.py --data photos/ --crop 67 --out runs/photos      # a folder for each class
    python examples/alexnet_imagenet.py --resume ...                       # goes on where it was stopped

Ctrl-C saves first; kill -9 loses at most --save-minutes.  The folder --out gets checkpoints (the newest, the best, the
last --keep), the log (a JSON line for each epoch, and every --log-every steps) and pictures; python -m tinyconv.report
makes a page of it all.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import tinyconv as tc
from tinyconv.commandline import Parser, exit_status
from tinyconv.cuda import CudaUnavailable
from tinyconv.data import (
    EvalTransform,
    Loader,
    RandomResizedCrop,
    SampleError,
    SyntheticData,
    TrainTransform,
    open_data,
)
from tinyconv.models.alexnet import VARIANTS, first_filters
from tinyconv.training import Interrupted, Trainer, TrainingError, checkpoint, evaluate, options, pictures
from tinyconv.training.normalisation import as_settings, normalisation

EMBEDDED = {"resize": 72, "crop": 67, "epochs": 5, "batch": 64}  # what suits the embedded images


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="without --data: " + " ".join(f"--{name} {value}" for name, value in EMBEDDED.items()))
    options.add_network_options(parser)
    options.add_data_options(parser)
    options.add_training_options(parser)
    options.add_run_options(parser)
    args = parser.parse_args(arguments)
    if args.data is None and not args.synthetic:
        parser.set_defaults(**EMBEDDED if args.crop is None else {**EMBEDDED, "resize": None})
        args = parser.parse_args(arguments)
    if args.crop is None:
        args.crop, args.resize = VARIANTS[args.variant], args.resize or 256
    args.resize = args.resize or args.crop * 8 // 7
    if args.resize < args.crop:
        parser.error(f"--resize {args.resize} is smaller than --crop {args.crop}; a crop must fit into the image")
    if args.augmentation == "resized-crop":
        args.least_area = args.least_area or 0.08
    elif args.least_area is not None:
        parser.error(f"--least-area {args.least_area:g} is for --augmentation resized-crop; leave it out")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    try:
        return exit_status(lambda: run(args), SampleError, TrainingError, CudaUnavailable,
                           interrupted="the last checkpoint, if there is one, is intact",
                           memory="use a smaller --batch or --crop")
    except Interrupted as stop:
        print(f"{stop}\nGo on with: {options.command_to_resume(arguments)}")
        return 130


def run(args: argparse.Namespace) -> None:
    out = Path(args.out)
    start = checkpoint.find(out, args.resume, args.test_only)
    devices = [tc.device(name) for name in args.device.split(",")]  # before hours of packing, perhaps
    data = SyntheticData(size=args.resize, seed=args.seed) if args.synthetic else open_data(args.data, out)
    print(f"{len(data.classes)} classes; {data.provenance}")
    if args.color_noise is None:
        args.color_noise = 0.0 if data.grey else 0.1

    tc.manual_seed(args.seed)  # before the model: its initial weights follow from the seed
    model = tc.models.alexnet(args.variant, len(data.classes), devices, args.crop, args.init)
    network = {name: getattr(args, name) for name in ("variant", "crop", "init")}
    network["class names"] = "; ".join(data.classes)
    if args.test_only:
        checkpoint.load_model(start, model, network)
        test(args, model, data, devices[0], start)
        return

    print(tc.nn.summary(model, (1, 3, args.crop, args.crop)))
    optimizer = tc.optim.SGD(model.parameters(), args.lr, args.momentum, args.weight_decay)
    training = network | {name: getattr(args, name) for name in ("resize", "seed", "schedule", "augmentation")}
    training |= as_settings(*normalisation(data, args.variant, args.init))
    free = {name: getattr(args, name) for name in options.MAY_CHANGE if getattr(args, name) is not None}
    trainer = Trainer(model, optimizer, options.make_schedule(args, optimizer), *loaders(args, data, devices[0]),
                      len(data.classes), out, clip_norm=args.clip_norm or None, label_smoothing=args.label_smoothing,
                      limit_batches=args.limit_batches, save_minutes=args.save_minutes, keep_last=args.keep,
                      log_every=args.log_every, print_freq=args.print_freq, settings=training, may_change=free,
                      options=vars(args), data=options.describe_data(args, data))
    if start:
        trainer.resume(None if args.resume == "auto" else start)
    trainer.fit(args.epochs)
    pictures.filters(first_filters(model), out / "filters.png")
    seconds = sum(line["seconds"] for line in trainer.history)
    print(f"training took {seconds:.0f} s for {len(trainer.history)} epochs; see curves.png and filters.png in {out}")
    test(args, model, data, devices[0], trainer.checkpoint_path)


def loaders(args: argparse.Namespace, data: Any, device: tc.Device) -> tuple[Loader, Loader]:
    colour = {"color_noise": args.color_noise, "eigenvalues": data.eigenvalues, "eigenvectors": data.eigenvectors}
    mean, std = normalisation(data, args.variant, args.init)
    augment: Any = TrainTransform(args.resize, args.crop, mean, std, **colour)
    if args.augmentation == "resized-crop":
        augment = RandomResizedCrop(args.crop, mean, std, scale=(args.least_area, 1.0), **colour)
    centre = EvalTransform(args.resize, args.crop, mean, std)
    how = {"workers": args.workers, "empty": device.staging}
    return (Loader(data.split("train"), args.batch, augment, shuffle=True, seed=args.seed, **how),
            Loader(data.split("val"), args.batch, centre, shuffle=False, seed=0, **how))


def test(args: argparse.Namespace, model: Any, data: Any, device: tc.Device, name: Any) -> None:
    mean, std = normalisation(data, args.variant, args.init)
    transform = EvalTransform(args.resize, args.crop, mean, std, ten_crop=args.ten_crop)
    split = "test" if "test" in data.splits else "val"
    loader = Loader(data.split(split), max(1, args.batch // transform.rows), transform, shuffle=False, seed=0,
                    workers=args.workers, empty=device.staging)
    result = evaluate(model, islice(loader.epoch(0), args.limit_batches), device, transform.rows)
    print(f"{name}: {'ten crops' if args.ten_crop else 'centre crop'} of {result.images} {split} images: "
          f"top-1 {100 * result.top1:.2f} %, top-5 {100 * result.top5:.2f} %, loss {result.loss:.4f}")


if __name__ == "__main__":
    sys.exit(main())
