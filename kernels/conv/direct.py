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
from ..scratch import prepared
from ..shapes import planned
from .packing import frame, one_phase, pack, pack_bias
from .rows import Grid, Walk, product

_FRAMES = 4 << 20  # bytes of framed images at a time


def convolve(source, y, weight, bias, result, stride, padding, groups, relu, backwards, kept, scratch):
    """The forward pass; or with ``backwards`` the input gradient, of a source that counts only where y, unless it is
    None, is positive.  Images are (N, H, W, C)."""
    weight, lanes = np.ascontiguousarray(weight), isa.chosen().lanes(weight.itemsize)
    if backwards and groups == 1 and 1 < stride[1] <= weight.shape[3] and weight.shape[1] < lanes:
        _convolve_joined(source, y, weight, result, stride, padding, scratch)
        return
    before, phases, parts, *specs = _plan(source.shape, weight.shape, result.shape, source.dtype, y is not None, stride,
                                          padding, groups, backwards)
    packed, offsets, frames = scratch(*specs)
    packed = prepared(kept, ("direct", groups), packed,
                      lambda panels: pack(weight, panels, groups, lanes, parts, backwards))
    pack_bias(bias, offsets)
    streams = tile.may_stream(result, result.shape[3] // groups)
    for some, images in _framed(source, y, frames, *before):
        target = result[images]
        for phase, rows in phases:
            if 0 in phase.taps:
                (h, w), (down, right) = phase.pixel, phase.apart
                target[:, h::down, w::right] = 0  # no window sees these pixels
                continue
            product(some, packed.reshape(-1, packed.shape[2])[rows], offsets, target,
                    *_walk(some.shape, source.shape[1], result.shape, phase, before[0], groups), relu, streams)


def _convolve_joined(gy, y, weight, gx, stride, padding, scratch):
    """The input gradient: the pixels of a row that one stride goes over as one pixel, with the channels of all."""
    joined, wide = scratch(*_joined_plan(gy.shape, weight.shape, gx.shape, gx.dtype, stride, padding))
    C, step = weight.shape[1], stride[1]
    joined[...] = 0
    for b in range(step):
        taps = weight[..., b::step]
        joined[:, b * C:(b + 1) * C, :, :taps.shape[3]] = taps
    for begin in range(0, len(gx), len(wide)):
        images = slice(begin, min(begin + len(wide), len(gx)))
        some = wide[:images.stop - begin]
        convolve(gy[images], None if y is None else y[images], joined, None, some, (stride[0], 1), (padding[0], 0), 1,
                 0, True, None, scratch)
        frame(some.reshape(*some.shape[:2], -1, C), None, gx[images], 0, -padding[1])


@planned
def _joined_plan(gy_shape, weight_shape, gx_shape, dtype, stride, padding):
    """The (shape, dtype) of the weights and of some images of gx whose pixels are joined."""
    (K, C, R, S), (N, H, W, _), step = weight_shape, gx_shape, stride[1]
    taps = -(-S // step)
    width = max(-(-(W + padding[1]) // step), gy_shape[2] + taps - 1)
    return ((K, step * C, R, taps), dtype), _frames_spec((N, H, width, step * C), dtype)


class _Phase(NamedTuple):
    """Pixels of the result that see the source through the same taps; each field is (down, across)."""

    pixel: tuple[int, int]  # the first of them
    apart: tuple[int, int]  # from one to the next, and from tap to tap
    count: tuple[int, int]
    tap: tuple[int, int]  # the first of theirs
    taps: tuple[int, int]  # how many
    corner: tuple[int, int]  # of the first one's window, in a source between zeros
    step: tuple[int, int]  # from a window to the next


@planned
def _plan(source_shape, weight_shape, result_shape, dtype, masked, stride, padding, groups, backwards):
    """(how many zeros go above and left of the source, (phase, its rows of packed weights) for each phase that has
    pixels, the ``parts`` of ``pack``, the (shape, dtype) of panels of weights, of the bias in panels, and of framed
    images).  Kept: only to be read."""
    (N, H, W, channels), taps, axis = source_shape, weight_shape[2:], _axis_backwards if backwards else _axis
    before, axes = zip(*map(axis, taps, stride, padding, result_shape[1:3]), strict=True)
    end, phases, parts = 0, [], np.zeros((*taps, 3), np.int64)
    for phase in (_Phase(*zip(down, across, strict=True)) for down in axes[0] for across in axes[1]):
        seen = math.prod(phase.taps)
        own = one_phase(seen, channels // groups, backwards).reshape(*phase.taps, 3)
        parts[phase.tap[0]::phase.apart[0], phase.tap[1]::phase.apart[1]] = own + (end, 0, 0)
        phases.append((phase, slice(end, end + seen * channels)))
        end += seen * channels
    size = np.max([np.add(phase.corner, needed_size(phase.count, phase.taps, phase.step)) for phase, _ in phases],
                  axis=0).tolist()
    columns = isa.chosen().padded(result_shape[3] // groups, dtype.itemsize)
    as_it_is = not masked and before == (0, 0) and size[0] <= H and size[1] <= W
    return (before, phases, parts.reshape(-1, 3), ((groups, math.prod(taps) * channels // groups, columns), dtype),
            ((groups, columns), dtype), _frames_spec(None if as_it_is else (N, *size, channels), dtype))


def _axis(taps, step, padding, size):
    """(zeros before the source, the fields of each phase) along an axis of the result."""
    return padding, [(0, 1, size, 0, taps, 0, step)]


def _axis_backwards(taps, step, padding, size):
    """The same for the input gradient: pixel h, with h + padding = i*step + tap, sees pixel i of gy through that tap,
    i - 1 through the one ``step`` further on ..."""
    before, phases = max(0, (taps - 1 - padding) // step), []
    for pixel in range(min(step, size)):
        i, tap = divmod(pixel + padding, step)
        seen = len(range(tap, taps, step))
        phases.append((pixel, step, len(range(pixel, size, step)), tap, seen, before + i + 1 - seen, 1))
    return before, phases


@planned
def _walk(source_shape, height, result_shape, phase, above, groups):
    """(walk, taps, those of each line that see more than zeros) of a phase of the result, from a source that has
    ``above`` lines of zeros and then ``height`` that are none.  Kept: only to be read."""
    (N, H, W, channels), (_, P, Q, K) = source_shape, result_shape
    (i, j), (h, w), (down, right), line = phase.corner, phase.pixel, phase.apart, Q * K
    tap, depth = window_runs(*phase.taps, channels // groups, W, channels)
    first = i + phase.step[0] * np.arange(phase.count[0])  # lines of the windows
    seen = np.clip(np.stack((above - first, above + height - first), axis=1), 0, phase.taps[0])
    return Walk((N, *phase.count),
                Grid(H * W * channels, phase.step[0] * W * channels, phase.step[1] * channels, (i * W + j) * channels),
                Grid(P * line, down * line, right * K, h * line + w * K), (channels // groups, K // groups), groups,
                depth), tap, seen * (len(tap) // phase.taps[0])


def needed_size(outputs, taps, stride):
    """(height, width) from the first to the last pixel that the windows of so many outputs see."""
    height, width = ((count - 1) * step + tap for count, step, tap in zip(outputs, stride, taps, strict=True))
    return height, width


@planned
def window_runs(R, S, C, width, channels):
    """(distances, depth) of the runs of memory that a window of C of the ``channels`` of an image consists of.  Kept:
    only to be read."""
    if channels == C:  # neighbouring pixels are one run
        return lattice(R, 1, width * C, 0), S * C
    return lattice(R, S, width * channels, channels), C


@planned
def lattice(rows, columns, down, right):
    """Distances i*down + j*right.  Kept: only to be read."""
    return (np.arange(rows)[:, None] * down + np.arange(columns) * right).reshape(-1)


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
