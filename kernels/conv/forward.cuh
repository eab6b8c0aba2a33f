#pragma once

// The forward pass as a product, for rungs 4 and 5: rows are the filters of a group, columns are windows, that is, the
// pixels of y of all images one after the other, and the depth goes over channels and taps.  Where that is cut into
// parts (parts.cu), y is the array of parts.

#include "conv/gather.cuh"
#include "conv/shape.cuh"

template <class Sum>
__device__ void convolve(Sum& sums, const float* x, const float* packed, const int2* table, const float* bias, float* y,
                         int relu, int depth, int pitch, int per_part, SHAPE)
{
    int group = blockIdx.y, filters = K / groups, per_group = C / groups;
    int tiles = pitch / ROWS, first_row = blockIdx.x % tiles * ROWS;  // neighbouring blocks see the same pixels
    Pixels pixels((long long)(blockIdx.x / tiles) * COLUMNS, P * Q);

    Pixel pixel = pixels[threadIdx.x % COLUMNS];
    int h = pixel.at / Q * stride_h - padding_h, w = pixel.at % Q * stride_w - padding_w;
    const float* window = x + (pixel.n * C + group * per_group) * H * W + (h * W + w);
    unsigned outside = pixel.n < N ? END | overhang(0, R, h, 1, H) | overhang(R, S, w, 1, W) : ~0u;

    Packed left(packed + (long long)group * depth * pitch + first_row, pitch);
    Gather<Copied> right({kept(window)}, outside, table);
    part_of_product(sums, left, right, depth / DEPTH, per_part);

#pragma unroll
    for (int j = 0; j < Sum::WIDE; j++) {
        Pixel output = pixels[sums.column(j)];
        if (output.n >= N)
            continue;
        float* out = y + ((blockIdx.z * (long long)N + output.n) * K + group * filters) * P * Q + output.at;
#pragma unroll
        for (int i = 0; i < Sum::HIGH; i++) {
            int k = first_row + sums.row(i);
            if (k >= filters)
                continue;
            float value = sums.value[i][j] + (bias ? bias[group * filters + k] : 0);
            out[k * P * Q] = relu && value < 0 ? 0 : value;
        }
    }
}
