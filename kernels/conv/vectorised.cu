// Rung 4, vectorised and double-buffered.
//
// Adds to rung 3: the loads of the next tile run while this one is multiplied, by cp.async, which needs no registers;
// shared memory is read as float4, 4 loads for 64 FMA instead of 16; weights are packed, so that they come as float4 as
// well and without a test; a window's pixels come by table and bit mask, where rungs 2 and 3 divide; a block makes
// 128 x 128 outputs, so memory gives 256 numbers for 16384 FMA, 0.06 bytes per FMA.  Costs: a copy of the weights, four
// tiles, 34 KB of shared memory, and 128 registers per thread, which leaves a multiprocessor 16 warps.

#define PAD 4
#include "conv/forward.cuh"

extern "C" __global__ void BOUNDS
forward(const float* __restrict__ x, const float* __restrict__ packed, const int2* __restrict__ table,
        const float* __restrict__ bias, float* __restrict__ y, int relu, int depth, int pitch, int per_part, SHAPE)
{
    Sums sums;
    convolve(sums, x, packed, table, bias, y, relu, depth, pitch, per_part, SHAPE_NAMES);
}
