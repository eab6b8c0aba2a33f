// Rung 5, TF32 tensor cores, only if asked for: the tiles of rung 4, multiplied by the instruction mma.
//
// Adds: 1024 FMA an instruction and warp, where rung 4 has 32.  Costs: 13 of 23 bits behind the point of each factor.

#define PAD 8
#include "conv/forward.cuh"
#include "gpu/tensor.cuh"

extern "C" __global__ void BOUNDS
forward(const float* __restrict__ x, const float* __restrict__ packed, const int2* __restrict__ table,
        const float* __restrict__ bias, float* __restrict__ y, int relu, int depth, int pitch, int per_part, SHAPE)
{
    TensorSums sums;
    convolve(sums, x, packed, table, bias, y, relu, depth, pitch, per_part, SHAPE_NAMES);
}
