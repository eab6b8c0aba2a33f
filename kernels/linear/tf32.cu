// Rung 5, TF32 tensor cores, only if asked for: the tiles of rung 4, multiplied by the instruction mma.
//
// Adds: 1024 FMA an instruction and warp, where rung 4 has 32.  Costs: 13 of 23 bits behind the point of each factor.

#define PAD 8
#include "linear/forward.cuh"
#include "gpu/tensor.cuh"

extern "C" __global__ void BOUNDS
forward(const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
        float* __restrict__ y, int relu, int per_part, int N, int C, int K)
{
    TensorSums sums;
    forward_tile(sums, x, weight, bias, y, relu, per_part, N, C, K);
}
