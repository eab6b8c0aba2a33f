"""The direct convolution: every tap of every window multiplied, by the register tile.

The forward pass takes each output pixel as a row whose window lies in x.  The input gradient takes each pixel of gx as
a row whose window lies in gy: with a stride, pixels of one *phase* (the remainders of their places by the stride) are
seen through the same taps, so each phase is a convolution of stride 1 of its own, with its share of the taps.  Where x
has few channels (an image: three), they would fill few lanes of a tile.  Then the pixels of a row that one stride goes
over count as one pixel with the channels of all of them.

Where windows reach past the edge the image is first copied between zeros, a group of images at a time, so that the
copy stays in the cache; where none does, the image itself is read.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import isa, tile
from ..layout import channels_last
from ..scratch import prepared
from ..shapes import planned
from .packing import frame, pack_backward, pack_bias, pack_forward
from .rows import Grid, Lines, Walk, product

_FRAMES = 4 << 20  # bytes of framed images at a time


def forward(x, weight, bias, y, stride, padding, groups, relu, kept, scratch):
    weight, lanes = np.ascontiguousarray(weight), isa.chosen().lanes(weight.itemsize)
    packed, offsets, frames = scratch(*_forward_plan(x.shape, weight.shape, y.shape, x.dtype, stride, padding, groups))
    xs, ys = channels_last(x), channels_last(y)
    packed = prepared(kept, ("direct", groups), packed, lambda panels: pack_forward(weight, panels, groups, lanes))
    pack_bias(bias, offsets)
    streams = tile.may_stream(ys, len(weight) // groups)
    for source, images in _framed(xs, None, frames, *padding):
        walk, tap = _forward_walk(source.shape, x.shape[2], weight.shape, y.shape[2:], stride, padding[0], groups)
        product(source, packed, offsets, ys[images], walk, tap, relu=relu, streams=streams)


@planned
def _forward_plan(x_shape, weight_shape, y_shape, dtype, stride, padding, groups):
    """The (shape, dtype) of panels of weights, of the bias in panels, and of framed images."""
    (N, channels, H, W), (K, C, R, S), (down, right) = x_shape, weight_shape, needed_size(y_shape, weight_shape, stride)
    columns, fits = isa.chosen().padded(K // groups, dtype.itemsize), padding == (0, 0) and down <= H and right <= W
    return (((groups, R * S * C, columns), dtype), ((groups, columns), dtype),
            _frames_spec(None if fits else (N, down, right, channels), dtype))


@planned
def _forward_walk(source_shape, height, weight_shape, outputs, stride, top, groups):
    """(walk, taps) from a source, of whose lines ``height`` from ``top`` on are no zeros, to (P, Q) outputs."""
    (N, H, W, channels), (K, C, R, S), (P, Q) = source_shape, weight_shape, outputs
    tap, depth = window_runs(R, S, C, W, channels)
    return Walk((N, P, Q), Grid(H * W * channels, stride[0] * W * channels, stride[1] * channels, 0),
                Grid(P * Q * K, Q * K, K, 0), (C, K // groups), groups, K // groups, depth,
                Lines(0, stride[0], R, top, top + height)), tap


def needed_size(y_shape, weight_shape, stride):
    """(height, width) from the first to the last pixel that the windows see."""
    height, width = ((outputs - 1) * step + taps
                     for outputs, step, taps in zip(y_shape[2:], stride, weight_shape[2:], strict=True))
    return height, width


def backward_input(gy, weight, gx, y, stride, padding, groups, scratch):
    if not _few_channels(weight, stride, groups):
        _backward_phases(gy, weight, gx, y, stride, padding, groups, scratch)
        return
    joined, wide = scratch(*_joined_plan(gy, weight, gx, stride, padding))
    C, step = weight.shape[1], stride[1]
    joined[...] = 0
    for b in range(step):
        taps = weight[..., b::step]
        joined[:, b * C:(b + 1) * C, :, :taps.shape[3]] = taps
    for begin in range(0, len(gx), len(wide)):
        images = slice(begin, min(begin + len(wide), len(gx)))
        some = wide[:images.stop - begin]
        _backward_phases(gy[images], joined, some.transpose(0, 3, 1, 2), None if y is None else y[images],
                         (stride[0], 1), (padding[0], 0), 1, scratch)
        frame(some.reshape(*some.shape[:2], -1, C), None, channels_last(gx)[images], 0, -padding[1])


def _few_channels(weight, stride, groups):
    return groups == 1 and 1 < stride[1] <= weight.shape[3] and weight.shape[1] < isa.chosen().lanes(weight.itemsize)


def _joined_plan(gy, weight, gx, stride, padding):
    """The (shape, dtype) of the weights and of some images of gx whose pixels are joined."""
    (K, C, R, S), (N, _, H, W), step = weight.shape, gx.shape, stride[1]
    taps = -(-S // step)
    width = max(-(-(W + padding[1]) // step), gy.shape[3] + taps - 1)
    return ((K, step * C, R, taps), gx.dtype), _frames_spec((N, H, width, step * C), gx.dtype)


def _backward_phases(gy, weight, gx, y, stride, padding, groups, scratch):
    weight, C = np.ascontiguousarray(weight), weight.shape[1]
    (top, left), _, phases = _geometry(weight.shape[2:], stride, padding, gx.shape[2:])
    masked = y is not None
    packed, zeros, frames = scratch(*_backward_plan(gy.shape, weight.shape, gx.shape, gy.dtype, masked, stride, padding,
                                                    groups))
    gys, gxs, streams = channels_last(gy), channels_last(gx), tile.may_stream(channels_last(gx), C)
    zeros[...] = 0
    cuts, parts = _parts(weight.shape, groups, stride, phases)
    pack_backward(weight, packed, groups, isa.chosen().lanes(weight.itemsize), parts)
    for source, images in _framed(gys, channels_last(y) if masked else None, frames, top, left):
        target = gxs[images]
        for phase, cut in zip(phases, cuts, strict=True):
            if 0 in phase.taps:
                h, w = phase.pixel
                target[:, h::stride[0], w::stride[1]] = 0  # no window sees these pixels
                continue
            walk, tap = _backward_walk(source.shape, gys.shape[1], weight.shape, gxs.shape[1:3], phase, stride,
                                       (top, left), groups)
            product(source, packed.reshape(-1, packed.shape[2])[cut], zeros, target, walk, tap, streams=streams)


@planned
def _backward_plan(gy_shape, weight_shape, gx_shape, dtype, masked, stride, padding, groups):
    """The (shape, dtype) of panels of weights, of as many zeros as a bias, and of framed images of gy."""
    K, C, R, S = weight_shape
    before, size, _ = _geometry((R, S), stride, padding, gx_shape[2:])
    same = not masked and before == (0, 0) and size == gy_shape[2:]
    columns = isa.chosen().padded(C, dtype.itemsize)
    return (((groups, R * S * (K // groups), columns), dtype), ((groups, columns), dtype),
            _frames_spec(None if same else (gy_shape[0], *size, K), dtype))


@planned
def _backward_walk(source_shape, height, weight_shape, gx_size, phase, stride, before, groups):
    """(walk, taps) of a phase of gx of (H, W) pixels, from a source with zeros ``before`` = (above, left of) gy, which
    is ``height`` lines high."""
    (N, H, W, channels), (K, C, _, _), (D, E) = source_shape, weight_shape, phase.taps
    (i, j), (h, w), line = phase.first, phase.pixel, gx_size[1] * C * groups
    tap, depth = window_runs(D, E, K // groups, W, channels)
    down, right = i - D + 1 + before[0], j - E + 1 + before[1]
    return Walk((N, *phase.count), Grid(H * W * channels, W * channels, channels, (down * W + right) * channels),
                Grid(gx_size[0] * line, stride[0] * line, stride[1] * C * groups, h * line + w * C * groups),
                (K // groups, C), groups, C, depth, Lines(down, 1, D, before[0], before[0] + height)), tap


@planned
def _parts(weight_shape, groups, stride, phases):
    """(the rows of packed weights that are each phase's, the ``parts`` of ``pack_backward``).  Kept: only to be
    read."""
    K, _, R, S = weight_shape
    filters, end, cuts, parts = K // groups, 0, [], np.zeros((R, S, 3), np.int64)
    for phase in phases:
        (D, E), rows = phase.taps, math.prod(phase.taps) * filters
        own = np.arange(D * E)[::-1].reshape(D, E) * filters  # the taps run backwards
        parts[phase.remainder[0]::stride[0], phase.remainder[1]::stride[1]] = np.stack(
            np.broadcast_arrays(end, rows, own), axis=2)
        cuts.append(slice(end, end + rows * groups))
        end = cuts[-1].stop
    return cuts, parts.reshape(-1, 3)


class _Phase(NamedTuple):
    """The pixels h of gx with h + padding = remainder + i*stride, from i = first on; each field is (down, across)."""

    remainder: tuple[int, int]
    taps: tuple[int, int]  # that see them
    first: tuple[int, int]
    pixel: tuple[int, int]  # the first of them
    count: tuple[int, int]


@planned
def _geometry(taps, stride, padding, size):
    """(how many zeros go above and left of gy so that every window of gx finds its place, the size of it all, the
    phases that have pixels), for gx of a size."""
    axes = [_phases_of_axis(*axis) for axis in zip(taps, stride, padding, size, strict=True)]
    before, sizes = [], []
    for phases in axes:
        lowest = min([0, *(first + 1 - seen for _, seen, first, _, _ in phases if seen)])
        highest = max([0, *(first + count - 1 for _, seen, first, _, count in phases if seen)])
        before.append(-lowest)
        sizes.append(highest - lowest + 1)
    phases = tuple(_Phase(*zip(down, across, strict=True)) for down in axes[0] for across in axes[1])
    return tuple(before), tuple(sizes), phases


def _phases_of_axis(taps, step, padding, size):
    """(remainder a, taps, the first i, the first pixel, how many) of the phases of one axis that have pixels."""
    phases = []
    for a in range(min(step, size + padding)):
        i = max(0, -(-(padding - a) // step))
        pixel = a + i * step - padding
        if pixel < size:
            phases.append((a, max(0, -(-(taps - a) // step)), i, pixel, -(-(size - pixel) // step)))
    return phases


@planned
def window_runs(R, S, C, width, channels):
    """(distances, depth) of the runs of memory that a window of C of the ``channels`` of an image consists of.  Kept:
    only to be read."""
    if channels == C:  # neighbouring pixels are one run
        return np.arange(R) * (width * C), S * C
    return window_pixels(R, S, width) * channels, C


@planned
def window_pixels(R, S, width):
    """Distances of a window's pixels from its first, in pixels of an image so wide.  Kept: only to be read."""
    return (np.arange(R)[:, None] * width + np.arange(S)).reshape(-1)


def _frames_spec(shape, dtype):
    """Frames for as many images as _FRAMES holds, at least one; none at all for None."""
    if shape is None:
        return (0, 1, 1, 1), dtype
    images = max(1, _FRAMES // (math.prod(shape[1:]) * np.dtype(dtype).itemsize))
    return (min(shape[0], images), *shape[1:]), dtype


def _framed(source, y, frames, top, left):
    """(images between zeros, their slice of the batch), group after group; the images themselves if frames is
    empty."""
    if len(frames) == 0:
        yield source, slice(0, len(source))
        return
    for begin in range(0, len(source), len(frames)):
        images = slice(begin, min(begin + len(frames), len(source)))
        some = frames[:images.stop - begin]
        frame(source[images], None if y is None else y[images], some, top, left)
        yield some, images
