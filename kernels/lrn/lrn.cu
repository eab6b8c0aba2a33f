// Local response normalisation.  x, y, scale (N, C, H, W).
//
// A thread takes one pixel and walks along `chunk` of its channels; neighbouring threads take neighbouring pixels,
// which lie side by side in each channel.  It keeps what the window holds in registers, so each number is read once:
//
//   channel        0  1  2  3  4  5  6  7
//   reads x                      ^           SIZE = 5
//   has            .  [-----------]          x of the last five channels
//   writes y, scale       ^
//
// SIZE is a constant of the compiler; the second pair of kernels takes any size, and reads a window anew for each
// channel (from the cache, where its neighbour left it).

#include "lrn/pixel.cuh"
#include "gpu/threads.cuh"

// Where channel 0 of pixel i is: the H * W = `plane` pixels of a channel lie side by side.
__device__ inline long long first_channel(unsigned long long i, int C, long long plane)
{
    unsigned long long image = i / plane;
    return image * C * plane + (i - image * plane);
}

extern "C" __global__ void forward(const REAL* __restrict__ x, REAL* __restrict__ y, REAL* __restrict__ scale,
                                   long long pixels, int C, long long plane, int chunk, REAL alpha_over_size, REAL beta,
                                   REAL k)
{
    long long i = thread_index();
    if (i >= pixels)
        return;
    long long at = first_channel(i, C, plane);
    int begin = blockIdx.y * chunk, end = min(begin + chunk, C);
    Recent<SIZE> window;
    for (int c = begin - (SIZE - 1); c < begin; c++)
        window.push(channel(x + at, plane, c + AFTER, C));
    for (int first = begin; first < end; first += GROUP) {
        Channels newest = channels(x + at, plane, first + AFTER, C);
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            if (first + g >= end)
                break;
            window.push(newest.at[g]);
            REAL d = k + alpha_over_size * window.sum_of_squares();
            scale[at + (first + g) * plane] = d;
            y[at + (first + g) * plane] = window.at[BEFORE] * to_minus_beta(d, beta);
        }
    }
}

extern "C" __global__ void backward(const REAL* __restrict__ x, const REAL* __restrict__ y,
                                    const REAL* __restrict__ scale, const REAL* __restrict__ gy, REAL* __restrict__ gx,
                                    long long pixels, int C, long long plane, int chunk, REAL factor, REAL beta)
{
    long long i = thread_index();
    if (i >= pixels)
        return;
    long long at = first_channel(i, C, plane);
    int begin = blockIdx.y * chunk, end = min(begin + chunk, C);
    Recent<SIZE> ratios;           // gy y / scale of the window
    Recent<BEFORE + 1> numerator;  // gy scale^-beta of channel c and those behind it
    for (int first = begin - (SIZE - 1); first < end; first += GROUP) {
        Channels of_y = channels(y + at, plane, first + BEFORE, C), of_gy = channels(gy + at, plane, first + BEFORE, C);
        Channels of_scale = channels(scale + at, plane, first + BEFORE, C), of_x = channels(x + at, plane, first, C);
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            int c = first + g;
            bool is_there = c + BEFORE >= 0 && c + BEFORE < C;
            REAL d = is_there ? of_scale.at[g] : REAL(1);
            ratios.push(of_gy.at[g] * of_y.at[g] / d);
            numerator.push(of_gy.at[g] * to_minus_beta(d, beta));
            if (c >= begin && c < end)
                gx[at + c * plane] = numerator.at[0] - factor * of_x.at[g] * ratios.sum();
        }
    }
}

// For any size: a thread per element sums its window from memory.  `c` is its channel, `from` to `to` the window.
#define ELEMENT(before, after)                                                                                         \
    unsigned long long i = thread_index();                                                                             \
    if (i >= count)                                                                                                    \
        return;                                                                                                        \
    int c = i / plane % C, from = max(0, c - (before)), to = min(C - 1, c + (after));

extern "C" __global__ void forward_any(const REAL* __restrict__ x, REAL* __restrict__ y, REAL* __restrict__ scale,
                                       long long count, int C, long long plane, int size, REAL alpha_over_size,
                                       REAL beta, REAL k)
{
    ELEMENT(size / 2, (size - 1) / 2)
    REAL total = 0;
    for (int j = from; j <= to; j++) {
        REAL there = x[(long long)i + (j - c) * plane];
        total += there * there;
    }
    REAL d = k + alpha_over_size * total;
    scale[i] = d;
    y[i] = x[i] * to_minus_beta(d, beta);
}

extern "C" __global__ void backward_any(const REAL* __restrict__ x, const REAL* __restrict__ y,
                                        const REAL* __restrict__ scale, const REAL* __restrict__ gy,
                                        REAL* __restrict__ gx, long long count, int C, long long plane, int size,
                                        REAL factor, REAL beta)
{
    ELEMENT((size - 1) / 2, size / 2)
    REAL total = 0;
    for (int j = from; j <= to; j++) {
        long long there = (long long)i + (j - c) * plane;
        total += gy[there] * y[there] / scale[there];
    }
    gx[i] = gy[i] * to_minus_beta(scale[i], beta) - factor * x[i] * total;
}
