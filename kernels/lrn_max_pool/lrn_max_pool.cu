// Local response normalisation and max-pooling in one pass: what lies between them stays in the block.  SIZE: the
// channels in a window of the norm; PLACE: the type of the places of the maxima.

#include "lrn/pixel.cuh"
#include "pool/window.cuh"
#include "gpu/threads.cuh"

constexpr int MOST_THREADS = 512;

// A block makes a tile of tile_p x tile_q outputs in `chunk` channels, from the pixels that their windows cover: a
// thread for each of them walks along the channels.  After every GROUP channels the block pools them.
//
//   channels   0 1 2 3 | 4 5 6 7 | 8 ...        threads normalise GROUP x pixels into shared memory, one barrier,
//   buffer        0    |    1    | 0            threads pool GROUP x outputs from there, and begin the next group
//                                               in the other buffer: so one barrier per group is enough
extern "C" __global__ void __launch_bounds__(MOST_THREADS)
    forward(const REAL* __restrict__ x, REAL* __restrict__ y, PLACE* __restrict__ index, int C, int H, int W, int P,
            int Q, WINDOW, int tile_p, int tile_q, int chunk, REAL alpha_over_size, REAL beta, REAL k)
{
    extern __shared__ double memory[];
    int across = (Q + tile_q - 1) / tile_q, down = (P + tile_p - 1) / tile_p;
    int tile = blockIdx.x % (across * down), p0 = tile / across * tile_p, q0 = tile % across * tile_q;
    long long image = blockIdx.x / (across * down) * (long long)C;
    int top = p0 * stride_h - pad_h, left = q0 * stride_w - pad_w;
    int width = (tile_q - 1) * stride_w + S, area = width * ((tile_p - 1) * stride_h + R), outputs = tile_p * tile_q;

    int h = top + threadIdx.x / width, w = left + threadIdx.x % width;
    bool inside = threadIdx.x < area && h >= 0 && h < H && w >= 0 && w < W;
    long long plane = (long long)H * W;
    const REAL* pixel = x + image * plane + (inside ? (long long)h * W + w : 0);

    int begin = blockIdx.y * chunk, end = min(begin + chunk, C);
    Recent<SIZE> window;
    for (int c = begin - (SIZE - 1); c < begin; c++)
        window.push(channel(pixel, plane, c + AFTER, C));
    REAL *normalised = (REAL*)memory, *other = normalised + GROUP * area;
    for (int first = begin; first < end; first += GROUP) {
        int count = min(GROUP, end - first);
        Channels newest = channels(pixel, plane, first + AFTER, C);
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            window.push(newest.at[g]);
            if (inside)
                normalised[g * area + threadIdx.x]
                    = window.at[BEFORE] * to_minus_beta(k + alpha_over_size * window.sum_of_squares(), beta);
        }
        __syncthreads();
        for (int i = threadIdx.x; i < count * outputs; i += blockDim.x) {
            int g = i / outputs, p = (i - g * outputs) / tile_q, q = i - g * outputs - p * tile_q;
            if (p0 + p >= P || q0 + q >= Q)
                continue;
            int r = p * stride_h, s = q * stride_w;
            Best chosen = best(normalised + g * area + r * width + s, width, top + r, left + s, H, W, R, S);
            long long at = ((image + first + g) * P + p0 + p) * Q + q0 + q;
            y[at] = chosen.value;
            index[at] = chosen.place;
        }
        REAL* filled = normalised;
        normalised = other, other = filled;
    }
}

// A thread takes one pixel and walks along `chunk` of its channels, as in lrn.cu; it works out the norm anew from x,
// and asks the windows over its pixel whether they chose it.  Channel c is written once x was read up to c + SIZE - 1:
//
//   channel       c-2  c-1   c   c+1  c+2  c+3  c+4         SIZE = 5
//   in registers              [------- x ---------]         the window of channel c + BEFORE, whose norm is now known
//                 [-- gy y / scale ---]                     those whose windows hold channel c
extern "C" __global__ void backward(const REAL* __restrict__ x, const PLACE* __restrict__ index,
                                    const REAL* __restrict__ gy, REAL* __restrict__ gx, long long pixels, int C, int H,
                                    int W, int P, int Q, WINDOW, int chunk, REAL alpha_over_size, REAL beta, REAL k,
                                    REAL factor)
{
    long long i = thread_index();
    if (i >= pixels)
        return;
    Pixel at = pixel(i, H, W);
    Covered here = covered(at.row, at.column, P, Q, THE_WINDOW);
    long long plane = (long long)H * W, outputs = (long long)P * Q, image = at.plane * C;
    long long first = image * plane + (long long)at.row * W + at.column;
    int begin = blockIdx.y * chunk, end = min(begin + chunk, C);
    Recent<SIZE> window, ratios;
    Recent<BEFORE + 1> numerator;  // gy scale^-beta of channels c to c + BEFORE
    for (int c = begin - 2 * (SIZE - 1); c < end; c++) {
        window.push(channel(x + first, plane, c + SIZE - 1, C));
        int newest = c + BEFORE;
        REAL ratio = 0, direct = 0;
        if (newest >= max(0, begin - AFTER) && newest < C) {
            long long there = (image + newest) * outputs;
            REAL g = gathered(gy + there, index + there, here, Q, THE_WINDOW);
            REAL scale = k + alpha_over_size * window.sum_of_squares();
            direct = g * to_minus_beta(scale, beta);
            ratio = direct * window.at[BEFORE] / scale;
        }
        ratios.push(ratio);
        numerator.push(direct);
        if (c >= begin)
            gx[first + c * plane] = numerator.at[0] - factor * window.at[0] * ratios.sum();
    }
}
