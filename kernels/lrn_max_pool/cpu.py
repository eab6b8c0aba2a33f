"""Local response normalisation and max-pooling in one pass: what lies between them never leaves the cache.

A task is a strip of rows of one image.  Forward, a thread keeps the last R normalised rows in a ring (row h in place
h % R), for windows that overlap share rows; only at the border of two strips is a row normalised twice.  Backward, a
thread gathers one row of the gradient of the normalised image, and turns it into a row of gx at once.
"""

import numba

from ..jit import jit, prange
from ..layout import LINE, channels_last
from ..lrn.pixel import gradient, scale_of, to_minus_beta
from ..pool.window import gather_row, largest_row
from ..runs import expect

_TASKS = 4  # for a thread, however small the batch, where the image has as many rows
_AHEAD = 16  # pixels that are asked for before they are wanted


def forward(x, y, index, *, size, alpha, beta, k, kernel_size, stride, padding, scratch):
    number = x.dtype.type
    _forward(channels_last(x), channels_last(y), channels_last(index), *scratch(*_buffers(x, size, kernel_size)),
             size, number(alpha / size), number(beta), number(k), *kernel_size, *stride, *padding,
             _strips(x.shape[0], y.shape[2]))


def backward(x, index, gy, gx, *, size, alpha, beta, k, kernel_size, stride, padding, scratch):
    number = x.dtype.type
    _backward(channels_last(x), channels_last(index), channels_last(gy), channels_last(gx),
              *scratch(*_buffers(x, size, (1, 1))), size, number(alpha / size), number(beta), number(k),
              number(2 * alpha * beta / size), *kernel_size, *stride, *padding)


def _buffers(x, size, kernel_size):
    """For each thread: rows of pixels, and some vectors of one pixel with room for a window's overhang: whole cache
    lines, for one with numbers of two threads would travel between them at each pixel."""
    _, C, _, W = x.shape
    threads = numba.get_num_threads()
    return ((threads, kernel_size[0], W, C), x.dtype), ((threads, 6, -(-(C + size - 1) // LINE) * LINE), x.dtype)


def _strips(images, rows):
    """In how many strips an image is cut: no more than the threads want, since rows at the border of two are normalised
    twice."""
    return min(rows, -(-_TASKS * numba.get_num_threads() // images))


@jit
def _forward(x, y, index, rings, vectors, size, alpha_over_size, beta, k, R, S, stride_h, stride_w, pad_h, pad_w,
             strips):
    (N, H, W, C), P = x.shape, y.shape[1]
    for task in prange(N * strips):
        n, strip = task // strips, task % strips
        ring, vector = rings[numba.get_thread_id()], vectors[numba.get_thread_id()]
        squares, scale = vector[0], vector[1, :C]
        squares[:] = 0
        done = -1  # the last row in the ring
        for p in range(strip * P // strips, (strip + 1) * P // strips):
            top = p * stride_h - pad_h
            r0, r1 = max(0, -top), min(R, H - top)
            for h in range(max(done + 1, top + r0), top + r1):
                for w in range(W):
                    expect(x, ((n * H + h) * W + w + _AHEAD) * C, C)
                    pixel, normalised = x[n, h, w], ring[h % R, w]
                    scale_of(pixel, squares, size, alpha_over_size, k, scale)
                    to_minus_beta(scale, beta, normalised)
                    for c in range(C):
                        normalised[c] *= pixel[c]
            done = top + r1 - 1
            largest_row(ring, (top + r0) % R * W * C, W, r1 - r0, r0 * S, S, stride_w, pad_w, y, index, n * P + p, 0)


@jit
def _backward(x, index, gy, gx, rows, vectors, size, alpha_over_size, beta, k, factor, R, S, stride_h, stride_w,
              pad_h, pad_w):
    N, H, W, C = x.shape
    for task in prange(N * H):
        n, h = task // H, task % H
        g, vector = rows[numba.get_thread_id(), 0], vectors[numba.get_thread_id()]
        squares, ratios, scale, power = vector[0], vector[1], vector[2, :C], vector[3, :C]
        normalised, sums = vector[4, :C], vector[5, :C]
        squares[:] = 0
        ratios[:] = 0
        gather_row(gy, index, n, h, W, R, S, stride_h, stride_w, pad_h, pad_w, g, 0)
        for w in range(W):
            expect(x, (task * W + w + _AHEAD) * C, C)
            expect(gx, (task * W + w + _AHEAD) * C, C)
            pixel = x[n, h, w]
            scale_of(pixel, squares, size, alpha_over_size, k, scale)
            to_minus_beta(scale, beta, power)
            for c in range(C):
                normalised[c] = pixel[c] * power[c]
            gradient(pixel, normalised, power, scale, g[w], ratios, size, factor, sums, gx[n, h, w])
