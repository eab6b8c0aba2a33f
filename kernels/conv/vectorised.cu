// Rung 4, vectorised and double-buffered.
//
// Adds to rung 3: the loads of the next tile run while this one is multiplied; shared memory is read as float4; weights
// are packed, so that they come as float4 as well and without a test; a window's pixels come by table and bit mask,
// where rungs 2 and 3 divide.  Costs a copy of the weights and the registers of a deeper loop.

#define PAD 4
#include "conv/forward.cuh"

extern "C" __global__ void BOUNDS
forward(const float* __restrict__ x, const float* __restrict__ packed, const int2* __restrict__ table,
        const float* __restrict__ bias, float* __restrict__ y, int relu, int depth, int pitch, int per_part, SHAPE)
{
    Sums sums;
    convolve(sums, x, packed, table, bias, y, relu, depth, pitch, per_part, SHAPE_NAMES);
}
