"""Convolution as matrix products (im2col), on all cores.

Every window of x becomes a row of a matrix ``columns`` (windows, R*S*C/G); with the weights of a group as a matrix
``taps`` (K/G, R*S*C/G) and a group's share of y as ``rows`` (windows, K/G), the three passes are

    forward           rows    = columns @ taps.T
    input gradient    columns = grows @ taps, and each column is added to the pixel that it was copied from
    weight gradient   gtaps   = grows.T @ columns

``columns`` is R*S/stride**2 times as large as x, so it is built for a few images at a time, in scratch memory that
stays in the cache.  A 1x1 convolution of stride 1 needs none: there x itself is the matrix.
"""

import numpy as np

from ..jit import inline, jit, prange
from ..layout import channels_last
from ..relu import cpu as rectifier
from ..scratch import deal, nbytes

_CHUNK = 8 << 20  # bytes of columns at a time: within the last-level cache, enough rows to keep the product efficient


def forward(x, weight, bias, y, *, stride, padding, groups, relu=False, scratch):
    xs, ys = channels_last(x), channels_last(y)
    taps, columns = deal(scratch, *_plan(x, weight, y, stride, padding))
    _pack(weight, taps)
    for images in _chunks(xs, ys, columns):
        rows = _rows(ys[images])
        for group, filters in enumerate(_groups(weight, groups)):
            channels = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
            windows = _windows(xs[images], channels, columns, weight, ys, stride, padding)
            np.matmul(windows, taps[filters].T, out=rows[:, filters])
        if bias is not None:
            _add_bias(rows, bias)
        if relu:
            rectifier.forward(rows, rows)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups, scratch):
    taps, columns, *masked = deal(scratch, *_plan(gx, weight, gy, stride, padding), *_masked_spec(gy, y))
    gys, gxs = _masked(gy, y, *masked), channels_last(gx)
    _pack(weight, taps)
    for images in _chunks(gxs, gys, columns):
        rows, target = _rows(gys[images]), gxs[images]
        for group, filters in enumerate(_groups(weight, groups)):
            channels = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
            if columns.size == 0:
                np.matmul(rows[:, filters], taps[filters], out=_rows(target)[:, channels])
            else:
                windows = columns[:len(rows)]
                np.matmul(rows[:, filters], taps[filters], out=windows)
                _col2im(windows, target, channels.start, weight.shape[1], weight.shape[2], weight.shape[3],
                        *stride, *padding, gys.shape[1], gys.shape[2])


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups, scratch):
    taps, columns, product, *masked = deal(scratch, *_plan(x, gw, gy, stride, padding), _taps_spec(gw),
                                           *_masked_spec(gy, y))
    xs, gys = channels_last(x), _masked(gy, y, *masked)
    for images in _chunks(xs, gys, columns):
        rows = _rows(gys[images])
        for group, filters in enumerate(_groups(gw, groups)):
            channels = slice(group * gw.shape[1], (group + 1) * gw.shape[1])
            windows = _windows(xs[images], channels, columns, gw, gys, stride, padding)
            np.matmul(rows[:, filters].T, windows, out=(product if images.start else taps)[filters])
        if images.start:
            np.add(taps, product, out=taps)
    _unpack(taps, gw)
    if gb is not None:
        _sum_rows(_rows(gys), gb)


def forward_workspace(x, weight, bias, y, *, stride, padding, groups, relu=False):
    return nbytes(*_plan(x, weight, y, stride, padding))


def backward_input_workspace(gy, weight, gx, y=None, *, stride, padding, groups):
    return nbytes(*_plan(gx, weight, gy, stride, padding), *_masked_spec(gy, y))


def backward_weight_workspace(x, gy, gw, gb, y=None, *, stride, padding, groups):
    return nbytes(*_plan(x, gw, gy, stride, padding), _taps_spec(gw), *_masked_spec(gy, y))


def _masked_spec(gy, y):
    return [] if y is None else [(channels_last(gy).shape, gy.dtype)]


def _masked(gy, y, masked=None):
    """gy, channels last; given y, its copy that is 0 where y is not above 0."""
    if masked is None:
        return channels_last(gy)
    rectifier.backward(channels_last(y), channels_last(gy), masked)
    return masked


def _plan(x, weight, y, stride, padding):
    """The (shape, dtype) of the scratch arrays ``taps`` and ``columns``."""
    windows_of_image, width = y.shape[2] * y.shape[3], weight[0].size
    if weight.shape[2:] == stride == (1, 1) and padding == (0, 0):
        images = 0
    else:
        images = min(x.shape[0], max(1, _CHUNK // (windows_of_image * width * x.itemsize)))
    return _taps_spec(weight), ((images * windows_of_image, width), x.dtype)


def _taps_spec(weight):
    return (weight.shape[0], weight[0].size), weight.dtype


def _chunks(xs, ys, columns):
    """Slices of as many images as ``columns`` has room for; all of them if it is not used."""
    images = len(columns) // (ys.shape[1] * ys.shape[2]) or len(xs)
    return [slice(first, min(first + images, len(xs))) for first in range(0, len(xs), images)]


def _groups(weight, groups):
    """The filters of each group, as slices."""
    size = len(weight) // groups
    return [slice(group * size, (group + 1) * size) for group in range(groups)]


def _rows(nhwc):
    return nhwc.reshape(-1, nhwc.shape[3])


def _windows(xs, channels, columns, weight, ys, stride, padding):
    """The matrix of all windows of these images over these channels: copied into ``columns``, or x itself for 1x1."""
    if columns.size == 0:
        return _rows(xs)[:, channels]
    windows = columns[:len(xs) * ys.shape[1] * ys.shape[2]]
    _im2col(xs, windows, channels.start, weight.shape[1], weight.shape[2], weight.shape[3],
            *stride, *padding, ys.shape[1], ys.shape[2])
    return windows


@jit
def _pack(weight, taps):
    """taps[k, (r, s, c)] = weight[k, c, r, s]: in the order in which a channels-last window lies in memory."""
    K, C, R, S = weight.shape
    for k in prange(K):
        for r in range(R):
            for s in range(S):
                for c in range(C):
                    taps[k, (r * S + s) * C + c] = weight[k, c, r, s]


@jit
def _unpack(taps, weight):
    K, C, R, S = weight.shape
    for k in prange(K):
        for c in range(C):
            for r in range(R):
                for s in range(S):
                    weight[k, c, r, s] = taps[k, (r * S + s) * C + c]


@jit
def _im2col(x, columns, c0, C, R, S, stride_h, stride_w, pad_h, pad_w, P, Q):
    """columns[(n, p, q), (r, s, c)] = x[n, p*stride_h - pad_h + r, q*stride_w - pad_w + s, c0 + c], 0 outside x."""
    N, H, W, _ = x.shape
    for row in prange(N * P):
        n, p = row // P, row % P
        for q in range(Q):
            left = q * stride_w - pad_w
            first, last = max(0, -left), max(0, min(S, W - left))  # the taps s that fall inside x
            for r in range(R):
                h = p * stride_h - pad_h + r
                run = columns[row * Q + q, r * S * C:(r + 1) * S * C]
                if h < 0 or h >= H or first >= last:
                    _clear(run)
                    continue
                _clear(run[:first * C])
                _clear(run[last * C:])
                if C == x.shape[3]:  # neighbouring pixels are one run of memory
                    _copy(run[first * C:last * C], x[n, h, left + first:left + last].reshape(-1))
                else:
                    for s in range(first, last):
                        _copy(run[s * C:(s + 1) * C], x[n, h, left + s, c0:c0 + C])


@jit
def _col2im(columns, x, c0, C, R, S, stride_h, stride_w, pad_h, pad_w, P, Q):
    """The transpose of im2col: each pixel of x becomes the sum of its copies in ``columns``, in a fixed order."""
    N, H, W, _ = x.shape
    for row in prange(N * H):
        n, h = row // H, row % H
        for w in range(W):
            _clear(x[n, h, w, c0:c0 + C])
        for r in range(R):
            p = (h + pad_h - r) // stride_h
            if p < 0 or p >= P or p * stride_h != h + pad_h - r:
                continue
            for q in range(Q):
                column = columns[(n * P + p) * Q + q]
                left = q * stride_w - pad_w
                for s in range(max(0, -left), min(S, W - left)):
                    _add(x[n, h, left + s, c0:c0 + C], column[(r * S + s) * C:(r * S + s + 1) * C])


# Loops over whole slices: their index starts at 0, so the compiler need not allow for negative ones, and vectorises.


@inline
def _clear(target):
    for i in range(target.size):
        target[i] = 0


@inline
def _copy(target, source):
    for i in range(target.size):
        target[i] = source[i]


@inline
def _add(target, source):
    for i in range(target.size):
        target[i] += source[i]


@jit
def _add_bias(rows, bias):
    for i in prange(rows.shape[0]):
        _add(rows[i], bias)


@jit
def _sum_rows(rows, total):
    """total[k] = sum of rows[:, k].  Each strip of filters is summed by one thread, top to bottom: the same order, and
    so the same rounding, whatever the number of threads."""
    width = 16
    for strip in prange((rows.shape[1] + width - 1) // width):
        begin, end = strip * width, min((strip + 1) * width, rows.shape[1])
        sums = np.zeros(width)  # in double precision: a batch has hundreds of thousands of rows
        for i in range(rows.shape[0]):
            for k in range(begin, end):
                sums[k - begin] += rows[i, k]
        for k in range(begin, end):
            total[k] = sums[k - begin]
