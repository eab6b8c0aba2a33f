"""What there is to measure, as plain data that travels to the worker processes; and how a side makes it runnable."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from . import convolutions, layers, shapes, step

TINYCONV, TORCH, TUNED = "tinyconv", "torch", "tuned"
ALEXNET_BATCHES = (1, 8, 32, 128)
STACK_BATCH = 4  # VGG-16's convolutions keep 100 MB an image for backward
NETWORKS = {"alexnet": shapes.alexnet, "convnet": convolutions.convnet, "vgg16": convolutions.vgg16,
            "googlenet": convolutions.googlenet, "resnet50": convolutions.resnet50}
LAYER_KINDS = ("conv", "pool", "lrn", "lrn_max_pool", "relu", "linear", "dropout", "loss", "update")
WHOLE = {"step": "training step", "inference": "inference"}
ALONE = ("memory", "profile", "startup")  # each in a process of its own
KINDS = (*LAYER_KINDS, *WHOLE, *ALONE)


@dataclass(frozen=True)
class Job:
    """A line of the table.  ``layer`` is the name of a layer, or of a whole network that :mod:`.step` knows."""

    network: str
    layer: str
    kind: str
    which: str
    batch: int | None

    @property
    def label(self) -> str:
        """What ``--filter`` is matched against."""
        return f"{self.layer} {self.which}" + (f" batch {self.batch}" if self.batch else "")

    @property
    def images(self) -> int:
        return self.batch or 1


def all_jobs(batches: Sequence[int] | None = None, networks: Sequence[str] = tuple(NETWORKS)) -> Iterator[Job]:
    """Everything, in the order of the table.  ``batches`` replaces the batch sizes that each network has by default."""
    alexnet = "alexnet" in networks
    for network in networks:
        for batch in batches or (ALEXNET_BATCHES if network == "alexnet" else (convolutions.BATCH[network],)):
            yield from (Job(network, layer.name, layer.kind, which, batch) for layer in NETWORKS[network]()
                        if layer.kind != "update" for which in layer.passes)
    variants = [name for name in step.NETWORKS if alexnet and name != step.STACK]
    if alexnet:
        yield Job("alexnet", "update", "update", shapes.UPDATE, None)
    for kind, which in WHOLE.items():
        yield from (Job("alexnet", name, kind, which, batch) for batch in batches or ALEXNET_BATCHES
                    for name in variants)
        if "vgg16" in networks:
            yield from (Job("vgg16", step.STACK, kind, which, batch) for batch in batches or (STACK_BATCH,))
    largest = max(batches or ALEXNET_BATCHES)
    yield from (Job("alexnet", name, "memory", "memory", largest) for name in variants)
    yield from (Job("alexnet", name, "profile", "profile", min(32, largest)) for name in variants)
    if alexnet:
        yield Job("alexnet", "caffe", "startup", "start-up", None)


def chosen_jobs(options: argparse.Namespace) -> list[Job]:
    """What --batch, --networks, --layers and --filter leave.  Raises ValueError if that is nothing."""
    found = [job for job in all_jobs(options.batch, options.networks)
             if job.kind in options.layers and options.filter.search(job.label)]
    if not found:
        raise ValueError(f"nothing to measure matches --filter {options.filter.pattern!r} among "
                         f"{' '.join(options.layers)} of {' '.join(options.networks)}")
    return found


@cache
def find_layer(network: str, name: str) -> shapes.Layer:
    return next(layer for layer in NETWORKS[network]() if layer.name == name)


def cost(job: Job) -> tuple[int, int]:
    """Floating-point operations and bytes of a job; 0 where they are not counted."""
    if job.kind in WHOLE:
        return step.flops(job.layer, job.images, training=job.kind == "step"), 0
    layer = find_layer(job.network, job.layer)
    return layer.flops(job.images, job.which), layer.bytes(job.images, job.which)


def ways(job: Job, side: str) -> dict[str, Callable[[], Callable[[], object]]]:
    """The ways in which ``side`` may do ``job``: name of a memory layout -> what makes the function to time.

    Only ``tuned``, PyTorch at its best, has more than one."""
    whole = job.kind in WHOLE
    if side == TINYCONV:
        return {"": lambda: _whole(job) if whole else _layer(job)}
    tuned = side == TUNED
    layouts = ("NCHW", "channels_last") if tuned and (whole or len(find_layer(job.network, job.layer).x) == 3) else \
        ("NCHW",)
    make = _torch_whole if whole else _torch_layer
    return {layout: lambda layout=layout: make(job, layout == "channels_last", tuned) for layout in layouts}


def _whole(job: Job) -> Callable[[], object]:
    return (step.tinyconv_step if job.kind == "step" else step.tinyconv_inference)(job.layer, job.images).run


def _torch_whole(job: Job, channels_last: bool, tuned: bool) -> Callable[[], object]:
    if job.kind == "step":
        return step.torch_step(job.layer, job.images, channels_last=channels_last, fused=tuned).run
    return step.torch_inference(job.layer, job.images, channels_last=channels_last).run


def _layer(job: Job) -> Callable[[], object]:
    layer = find_layer(job.network, job.layer)
    return layers.side(layer, job.which, layers.numbers(layer, job.images)).run


def _torch_layer(job: Job, channels_last: bool, tuned: bool) -> Callable[[], object]:
    from . import torch_layers

    layer = find_layer(job.network, job.layer)
    return torch_layers.side(layer, job.which, layers.numbers(layer, job.images), channels_last, tuned).run
