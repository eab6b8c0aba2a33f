"""The convolutions of networks other than AlexNet, each distinct shape once, under names that say what it is:
``resnet50 128>128 3x3 at 28/2`` has 128 channels in and out, 28 x 28 pixels in and stride 2.

``convnet`` is the table of convnet-benchmarks (Chintala, 2014): five shapes, L1 to L5, no padding.  The others are
VGG-16 (Simonyan and Zisserman 2014, configuration D), GoogLeNet (Szegedy et al. 2014, table 1) and ResNet-50 (He et al.
2015; the stride in the 3x3 convolutions, as everybody has it since).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .shapes import Conv

# L1-L5 were timed at batch 128: 0.8 TFLOP and 0.7 GB a pass.  A quarter of that has the same rates.
BATCH = {"convnet": 32, "vgg16": 8, "googlenet": 16, "resnet50": 16}
VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")
Shape = tuple[int, int, int, int, int, int]  # channels, pixels, filters, window, stride, padding

# Table 1 of the paper: channels, pixels; filters of 1x1, 3x3 (reduced, full), 5x5 (reduced, full), after pooling
_INCEPTION = ((192, 28, 64, 96, 128, 16, 32, 32), (256, 28, 128, 128, 192, 32, 96, 64),
              (480, 14, 192, 96, 208, 16, 48, 64), (512, 14, 160, 112, 224, 24, 64, 64),
              (512, 14, 128, 128, 256, 24, 64, 64), (512, 14, 112, 144, 288, 32, 64, 64),
              (528, 14, 256, 160, 320, 32, 128, 128), (832, 7, 256, 160, 320, 32, 128, 128),
              (832, 7, 384, 192, 384, 48, 128, 128))


def convnet() -> list[Conv]:
    shapes = ((3, 128, 96, 11), (64, 64, 128, 9), (128, 32, 128, 9), (128, 16, 128, 7), (384, 13, 384, 3))
    return [Conv(f"L{i}", (c, pixels, pixels), filters, window)
            for i, (c, pixels, filters, window) in enumerate(shapes, start=1)]


def vgg16() -> list[Conv]:
    return _distinct("vgg16", _vgg16())


def googlenet() -> list[Conv]:
    return _distinct("googlenet", _googlenet())


def resnet50() -> list[Conv]:
    return _distinct("resnet50", _resnet50())


def _distinct(network: str, shapes: Iterable[Shape]) -> list[Conv]:
    return [Conv(f"{network} {c}>{k} {window}x{window} at {pixels}" + (f"/{stride}" if stride > 1 else ""),
                 (c, pixels, pixels), k, window, stride, padding)
            for c, pixels, k, window, stride, padding in dict.fromkeys(shapes)]


def _vgg16() -> Iterator[Shape]:
    channels, pixels = 3, 224
    for filters in VGG16:
        if isinstance(filters, str):
            pixels //= 2
        else:
            yield channels, pixels, filters, 3, 1, 1
            channels = filters


def _googlenet() -> Iterator[Shape]:
    yield from ((3, 224, 64, 7, 2, 3), (64, 56, 64, 1, 1, 0), (64, 56, 192, 3, 1, 1))
    for channels, pixels, one, reduce3, three, reduce5, five, pooled in _INCEPTION:
        for filters in (one, reduce3, reduce5, pooled):
            yield channels, pixels, filters, 1, 1, 0
        yield reduce3, pixels, three, 3, 1, 1
        yield reduce5, pixels, five, 5, 1, 2


def _resnet50() -> Iterator[Shape]:
    yield 3, 224, 64, 7, 2, 3
    channels, pixels = 64, 56
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            stride = 2 if block == 0 and width > 64 else 1
            if block == 0:
                yield channels, pixels, 4 * width, 1, stride, 0  # the shortcut
            yield channels, pixels, width, 1, 1, 0
            yield width, pixels, width, 3, stride, 1
            pixels //= stride
            yield width, pixels, 4 * width, 1, 1, 0
            channels = 4 * width
