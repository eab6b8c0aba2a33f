// Rung 4, vectorised and double-buffered.
//
// Adds to rung 3: the loads of the next tile run while this one is multiplied, by cp.async, which needs no registers;
// shared memory is read as float4, 4 loads for 64 FMA instead of 16; a block makes 128 x 128 outputs, so memory gives
// 256 numbers for 16384 FMA, 0.06 bytes per FMA.  Costs: four tiles, 34 KB of shared memory, and 128 registers per
// thread, which leaves a multiprocessor 16 warps.

#define PAD 4
#include "linear/forward.cuh"

extern "C" __global__ void BOUNDS
forward(const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
        float* __restrict__ y, int relu, int per_part, int N, int C, int K)
{
    Sums sums;
    forward_tile(sums, x, weight, bias, y, relu, per_part, N, C, K);
}
