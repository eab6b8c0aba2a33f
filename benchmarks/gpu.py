"""Time the CUDA kernels on a GPU, beside cuDNN through PyTorch where that is installed with CUDA.

    make bench DEVICE=cuda:0        or        python -m benchmarks.gpu --layers conv --batch 128

Each sample is one launch between two events.  Before it a buffer twice as large as the second-level cache is
overwritten: the kernel then finds its arrays in memory, as in a training step, and the queue is long enough that the
host has placed the second event before the GPU reaches the first.  All rungs of a ladder take turns with PyTorch;
medians count.  PyTorch multiplies in float32 except beside the rung ``tf32``, which is compared with its TF32.

Under the emulator (``TINYCONV_CUDA=emulated``) everything runs, but its times say nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyconv.kernels.gpu import ladder

import tinyconv as tc
from tinyconv import cuda
from tinyconv.commandline import Parser
from tinyconv.safefile import make_folder, write_text

from . import jobs, layers, machine
from .arguments import pattern, positive

KERNELS = {("conv", "forward"): "conv.forward", ("conv", "input gradient"): "conv.backward_input",
           ("conv", "weight gradient"): "conv.backward_weight", ("linear", "forward"): "linear.forward",
           ("linear", "input gradient"): "linear.backward_input",
           ("linear", "weight gradient"): "linear.backward_weight"}
PYTORCH = {False: "cuDNN", True: "cuDNN TF32"}  # whether TF32 is allowed


@dataclass(frozen=True)
class Line:
    """One pass of one layer, by one side: ``milliseconds`` are the samples."""

    network: str
    layer: str
    which: str
    batch: int | None
    side: str
    flops: int
    bytes: int
    milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    def __str__(self) -> str:
        rate = f"{self.flops / self.median / 1e6:10,.0f} GFLOP/s" if self.flops else \
            f"{self.bytes / self.median / 1e6:10,.0f} GB/s   "
        return (f"{self.layer:<24} {self.which:<16} {self.batch or '':>5}  {self.side:<12} {self.median:10.3f} ms "
                f"{rate}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        device, chosen = tc.device(options.device), jobs.chosen_jobs(options)
    except (ValueError, RuntimeError) as error:
        parser.error(str(error))
    if not isinstance(device, cuda.CudaDevice):
        parser.error(f"--device {options.device} is no GPU; without --device, `make bench` times the CPU")
    try:
        make_folder(options.out)
    except OSError as error:
        parser.error(error.strerror)
    about = describe(device)
    print(*(f"{name}: {value}" for name, value in about.items()), sep="\n")
    lines = []
    for job in chosen:
        for line in measure(job, device, options.repeat, options.torch and _torch_has_cuda()):
            print(line, flush=True)
            lines.append(line)
    found = {"about": about, "lines": [asdict(line) for line in lines]}
    write_text(options.out / "gpu.json", json.dumps(found, indent=1))
    print(f"\nwritten to {options.out}")
    return 0


def describe(device: cuda.CudaDevice) -> dict[str, Any]:
    properties = device.cupy.cuda.runtime.getDeviceProperties(device.index)
    about = {"device": properties["name"].decode(), "architecture": f"sm_{properties['major']}{properties['minor']}",
             "multiprocessors": properties["multiProcessorCount"], "versions": machine.versions()}
    return {**about, "emulated": "the times say nothing about a GPU"} if cuda.is_emulated() else about


def measure(job: jobs.Job, device: cuda.CudaDevice, repeat: int, with_torch: bool) -> Iterator[Line]:
    """The lines of one pass: every rung of its ladder (one side where it has none), and PyTorch's."""
    layer = jobs.find_layer(job.network, job.layer)
    data = layers.numbers(layer, job.images)
    kernel = KERNELS.get((job.kind, job.which), "")
    ours = layers.side(layer, job.which, data, device.name).run
    sides: dict[str, Callable[[], object]] = {
        rung or "tinyconv": _on_rung(kernel, rung, ours) for rung in ladder.RUNGS.get(kernel, ("",))}
    if with_torch:
        sides |= _torch_sides(layer, job, data, device, tf32="tf32" in sides)
    samples = time_in_turns(sides, device, repeat)
    flops, moved = jobs.cost(job)
    for side, taken in samples.items():
        yield Line(job.network, job.layer, job.which, job.batch, side, flops, moved, tuple(taken))


def time_in_turns(sides: dict[str, Callable[[], object]], device: cuda.CudaDevice,
                  repeat: int) -> dict[str, list[float]]:
    """Milliseconds of ``repeat`` calls of each side, in turns, after one that compiles."""
    events = device.cupy.cuda.Event
    flush = device.empty((2 * _cache_bytes(device) // 4,))
    samples: dict[str, list[float]] = {side: [] for side in sides}
    for side in sides.values():
        side()
    for _ in range(repeat):
        for name, run in sides.items():
            device.launch("elementwise.fill", flush, value=0)
            with device.current():
                begin, end = events(), events()
                begin.record(device.stream)
                run()
                end.record(device.stream)
            end.synchronize()
            samples[name].append(device.cupy.cuda.get_elapsed_time(begin, end))
    return samples


def _on_rung(kernel: str, rung: str, run: Callable[[], object]) -> Callable[[], object]:
    def on_rung() -> None:
        with ladder.use_rung(kernel, rung) if rung else nullcontext():
            run()

    return on_rung


def _torch_sides(layer: Any, job: jobs.Job, data: layers.Numbers, device: cuda.CudaDevice,
                 tf32: bool) -> dict[str, Callable[[], object]]:
    """PyTorch's run of the pass, in float32, and with TF32 allowed; in tinyconv's stream, so that the events see it."""
    import torch

    from . import torch_layers

    stream = torch.cuda.ExternalStream(device.stream.ptr, device.name)
    run = torch_layers.side(layer, job.which, data, where=device.name).run

    def side(allowed: bool) -> Callable[[], object]:
        def with_torch() -> None:
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
            with torch.cuda.stream(stream):
                run()

        return with_torch

    return {PYTORCH[allowed]: side(allowed) for allowed in ((False, True) if tf32 else (False,))}


def _cache_bytes(device: cuda.CudaDevice) -> int:
    return int(device.cupy.cuda.runtime.getDeviceProperties(device.index)["l2CacheSize"])


def _torch_has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks.gpu", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="which GPU (default: %(default)s)")
    parser.add_argument("--batch", type=positive, nargs="+", metavar="N", help="images in a batch")
    parser.add_argument("--layers", nargs="+", choices=jobs.LAYER_KINDS, default=jobs.LAYER_KINDS, metavar="KIND",
                        help=f"what to measure: {', '.join(jobs.LAYER_KINDS)}")
    parser.add_argument("--networks", nargs="+", choices=jobs.NETWORKS, default=["alexnet"], metavar="NETWORK",
                        help=f"whose shapes: {', '.join(jobs.NETWORKS)} (default: alexnet)")
    parser.add_argument("--filter", type=pattern, default=re.compile(""), metavar="REGEX",
                        help="measure only what matches")
    parser.add_argument("--repeat", type=positive, default=20, help="samples of each side (default: %(default)s)")
    parser.add_argument("--no-torch", dest="torch", action="store_false", help="do not compare with PyTorch")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for gpu.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
