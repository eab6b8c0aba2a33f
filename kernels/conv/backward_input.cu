// The input gradient on the main rung: rows are the channels of a group, columns the pixels of x of one phase, of all
// images one after the other, and the depth goes over filters and the taps of the phase.  Nobody adds to what another
// adds to: each pixel of gx is one thread's sum, in one order.  Where the depth is cut into parts (parts.cu), gx is the
// array of parts.

#define PAD 4
#include "conv/gather.cuh"
#include "conv/phase.cuh"
#include "conv/shape.cuh"

extern "C" __global__ void BOUNDS
backward_input(const float* __restrict__ gy, const float* __restrict__ packed, const int2* __restrict__ table,
               float* __restrict__ gx, const float* __restrict__ y, int depth, int pitch, int per_part, SHAPE)
{
    int layer = blockIdx.y, phase = layer / groups, group = layer % groups;
    int filters = K / groups, per_group = C / groups;
    int tiles = pitch / ROWS, first_row = blockIdx.x % tiles * ROWS;  // neighbouring blocks see the same pixels
    Phase down(phase / stride_w, H, R, stride_h, padding_h), across(phase % stride_w, W, S, stride_w, padding_w);
    Pixels pixels((long long)(blockIdx.x / tiles) * COLUMNS, max(1, down.pixels * across.pixels));
    if (pixels.image >= N || down.pixels * across.pixels == 0)
        return;  // phases differ in the number of their pixels; the grid is made for the largest

    Pixel pixel = pixels[threadIdx.x % COLUMNS];
    int p = down.output + pixel.at / across.pixels, q = across.output + pixel.at % across.pixels;
    long long window = (pixel.n * K + group * filters) * P * Q + (p * Q + q);
    unsigned outside = pixel.n < N ? END | overhang(0, R, p, -1, P) | overhang(R, S, q, -1, Q) : ~0u;

    Packed left(packed + (long long)layer * depth * pitch + first_row, pitch);
    Gather<Gradient> right({kept(gy + window), kept(y + window)}, outside, table + phase * depth);
    Sums sums;
    part_of_product(sums, left, right, (filters * down.taps * across.taps + DEPTH - 1) / DEPTH, per_part);

#pragma unroll
    for (int j = 0; j < Sums::WIDE; j++) {
        Pixel output = pixels[sums.column(j)];
        if (output.n >= N)
            continue;
        int h = down.first + output.at / across.pixels * stride_h;
        int w = across.first + output.at % across.pixels * stride_w;
        float* out = gx + ((blockIdx.z * (long long)N + output.n) * C + group * per_group) * H * W + (h * W + w);
#pragma unroll
        for (int i = 0; i < Sums::HIGH; i++) {
            int c = first_row + sums.row(i);
            if (c < per_group)
                out[c * H * W] = sums.value[i][j];
        }
    }
}
