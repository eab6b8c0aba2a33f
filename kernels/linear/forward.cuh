#pragma once

// The forward pass as a product, for rungs 4 and 5: rows are images, columns are neurons.  Where the depth is cut into
// parts (parts.cu), y is the array of parts.

#include "linear/matrix.cuh"

template <class Sum>
__device__ void forward_tile(Sum& sums, const float* x, const float* weight, const float* bias, float* y, int relu,
                             int per_part, int N, int C, int K)
{
    Corner corner(K);
    AlongDepth<Left, Copied> left({x}, C, corner.row, N, C);
    AlongDepth<Right, Copied> right({weight}, C, corner.column, K, C);
    part_of_product(sums, left, right, (C + DEPTH - 1) / DEPTH, per_part);
    write(sums, y, N, K, [=](float sum, long long k) {
        float value = sum + (bias ? bias[k] : 0);
        return relu && value < 0 ? 0 : value;
    });
}
