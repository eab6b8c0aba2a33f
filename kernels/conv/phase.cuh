#pragma once

// The input gradient of a convolution with a stride, phase by phase.
//
// A pixel h of x is seen through tap r by the output p with p * stride - padding + r = h.  So r and h + padding leave
// the same remainder, f, when divided by the stride: pixels of one phase f are seen through the taps f, f + stride,
// f + 2 stride ... only.  Within a phase everything is dense again: with h + padding = a * stride + f and
// r = i * stride + f the output is p = a - i, a convolution of gy with stride 1.
//
//     stride 2, padding 1, 3 taps      h         0  1  2  3  4  5
//                                      phase     1  0  1  0  1  0       phase 0: taps 0, 2      phase 1: tap 1
//
// Nothing is multiplied that is not a tap: without phases (stride^2 - 1) / stride^2 of the products would be with 0.

// One axis of a phase: `remainder` is f.
struct Phase {
    int taps;     // f, f + stride ... below the size of the filter
    int first;    // the first pixel
    int pixels;   // how many there are
    int output;   // p of the first pixel's tap i = 0

    __device__ Phase(int remainder, int size, int filter, int stride, int padding)
    {
        taps = remainder < filter ? (filter - remainder + stride - 1) / stride : 0;
        first = (remainder - padding % stride + stride) % stride;
        pixels = first < size ? (size - first + stride - 1) / stride : 0;
        output = (first + padding) / stride;
    }
};
