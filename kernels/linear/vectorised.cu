// Rung 4, vectorised and double-buffered.

#define PAD 4
#include "linear/forward.cuh"

extern "C" __global__ void BOUNDS
forward(const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
        float* __restrict__ y, int relu, int per_part, int N, int C, int K)
{
    Sums sums;
    forward_tile(sums, x, weight, bias, y, relu, per_part, N, C, K);
}
