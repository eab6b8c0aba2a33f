// Windows over an image, and who chose whom: shared by max-pooling and by the kernel that normalises and pools at once.
#pragma once

#include "gpu/threads.cuh"
#include "gpu/types.cuh"

#ifndef PLACE
#define PLACE uint8  // or uint16: what the place r*S + s in a window is written as
#endif

#define WINDOW int R, int S, int stride_h, int stride_w, int pad_h, int pad_w
#define THE_WINDOW R, S, stride_h, stride_w, pad_h, pad_w

struct Pixel {
    long long plane;
    int row, column;
};

// Pixel i, where planes of rows of pixels lie one after the other.
__device__ inline Pixel pixel(unsigned long long i, int rows, int columns)
{
    unsigned long long line = i / columns, plane = line / rows;
    return {(long long)plane, int(line - plane * rows), int(i - line * columns)};
}

struct Range {
    int from, to;
};

// The input rows (or columns) that the window of an output covers, of those that there are.
__device__ inline Range window_under(int output, int kernel, int stride, int pad, int size)
{
    int begin = output * stride - pad;
    return {max(begin, 0), min(begin + kernel, size)};
}

// The outputs whose windows cover this input row (or column).
__device__ inline Range windows_over(int position, int kernel, int stride, int pad, int outputs)
{
    int first = max(0, position + pad - (kernel - 1));  // where the earliest window that reaches here begins
    return {(first + stride - 1) / stride, min(outputs, (position + pad) / stride + 1)};
}

// Strictly greater wins, so a tie keeps the first; NaN beats all, and nothing beats NaN.
__device__ inline bool wins(REAL candidate, REAL best)
{
    return !(candidate <= best) && best == best;
}

struct Best {
    REAL value;
    int place;
};

// The largest element of the window whose first pixel would be (top, left) of an image of H x W, as far as it lies in
// the image.  x: where pixel (top, left) is or would be, in rows of `pitch`.
__device__ inline Best best(const REAL* x, long long pitch, int top, int left, int H, int W, int R, int S)
{
    int r0 = max(0, -top), r1 = min(R, H - top), s0 = max(0, -left), s1 = min(S, W - left);
    Best best = {x[r0 * pitch + s0], r0 * S + s0};
    for (int r = r0; r < r1; r++)
        for (int s = s0; s < s1; s++)
            if (wins(x[r * pitch + s], best.value))
                best = {x[r * pitch + s], r * S + s};
    return best;
}

// A pixel, and the outputs whose windows cover it.
struct Covered {
    int h, w;
    Range rows, columns;
};

__device__ inline Covered covered(int h, int w, int P, int Q, WINDOW)
{
    return {h, w, windows_over(h, R, stride_h, pad_h, P), windows_over(w, S, stride_w, pad_w, Q)};
}

// The sum of gy over the windows that chose the pixel.  gy and index: one plane each, in rows of Q outputs.
__device__ inline REAL gathered(const REAL* gy, const PLACE* index, Covered pixel, int Q, WINDOW)
{
    REAL total = 0;
    for (int p = pixel.rows.from; p < pixel.rows.to; p++)
        for (int q = pixel.columns.from; q < pixel.columns.to; q++) {
            int here = (pixel.h + pad_h - p * stride_h) * S + pixel.w + pad_w - q * stride_w;
            long long at = (long long)p * Q + q;
            REAL g = gy[at];  // whoever is chosen: both loads are then under way at once
            total += index[at] == here ? g : REAL(0);
        }
    return total;
}
