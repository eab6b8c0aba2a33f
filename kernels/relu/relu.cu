// The rectified linear unit.  A thread takes EACH elements, a block's width apart, so that a warp's 32 loads are four
// sectors of 32 bytes; each element is read and written once.

#include "gpu/threads.cuh"

extern "C" __global__ void forward(const REAL* __restrict__ x, REAL* __restrict__ y, long long count)
{
#pragma unroll
    for (int j = 0; j < EACH; j++)
        if (long long i = element(j); i < count)
            y[i] = x[i] < 0 ? REAL(0) : x[i];  // NaN is not less than 0 and passes
}

extern "C" __global__ void backward(const REAL* __restrict__ y, const REAL* __restrict__ gy, REAL* __restrict__ gx,
                                    long long count)
{
#pragma unroll
    for (int j = 0; j < EACH; j++)
        if (long long i = element(j); i < count) {
            REAL g = gy[i];  // whatever y is: the two loads need not wait for each other
            gx[i] = y[i] > 0 ? g : REAL(0);
        }
}
