#pragma once

// What rungs 2 and 3 see of the images: the numbers under one window of y, tap after tap.

#include "conv/pixels.cuh"
#include "conv/shape.cuh"

struct Window {
    const REAL* start;  // its first row and column, in the first channel of the group; it may lie outside
    int h, w;           // where that is in the image

    __device__ Window(const REAL* x, Pixel pixel, int channel, SHAPE)
        : h(pixel.at / Q * stride_h - padding_h), w(pixel.at % Q * stride_w - padding_w)
    {
        start = x + (pixel.n * C + channel) * H * W + (h * W + w);
    }

    // The number under tap d = (c * R + r) * S + s: three divisions, and two tests for the edges.
    __device__ REAL under(int d, int H, int W, int R, int S) const
    {
        int c = d / (R * S), r = d / S % R, s = d % S;
        bool inside = 0 <= h + r && h + r < H && 0 <= w + s && w + s < W;
        return inside ? start[(c * H + r) * W + s] : REAL(0);
    }
};
