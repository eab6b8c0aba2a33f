// Windows over an image, and who chose whom: shared by max-pooling and by the kernel that normalises and pools at once.
#pragma once

#include "threads.cuh"
#include "types.cuh"

#ifndef PLACE
#define PLACE uint8  // or uint16: what the place r*S + s in a window is written as
#endif

#define WINDOW int R, int S, int stride_h, int stride_w, int pad_h, int pad_w

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

// The outputs whose windows cover this input row (or column).
__device__ inline Range windows_over(int position, int kernel, int stride, int pad, int outputs)
{
    int first = position + pad - (kernel - 1);  // where the earliest window that reaches here begins
    return {first <= 0 ? 0 : (first + stride - 1) / stride, min(outputs, (position + pad) / stride + 1)};
}

// Strictly greater wins, so a tie keeps the first; NaN beats all, and nothing beats NaN.
__device__ inline bool wins(REAL candidate, REAL best)
{
    return !(candidate <= best) && best == best;
}

// The sum of gy over the windows that chose pixel (h, w); gy and index: planes of P x Q outputs.
__device__ inline REAL gathered(const REAL* gy, const PLACE* index, int h, int w, int P, int Q, WINDOW)
{
    Range rows = windows_over(h, R, stride_h, pad_h, P), columns = windows_over(w, S, stride_w, pad_w, Q);
    REAL total = 0;
    for (int p = rows.from; p < rows.to; p++)
        for (int q = columns.from; q < columns.to; q++) {
            int here = (h + pad_h - p * stride_h) * S + w + pad_w - q * stride_w;
            long long at = (long long)p * Q + q;
            if (index[at] == here)
                total += gy[at];
        }
    return total;
}
