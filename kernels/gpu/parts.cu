// A product whose result is small and whose sums are long does not have enough tiles to keep a GPU busy.  Then its
// depth is cut into parts, by shape only; each block sums one part of one tile, into an array of its own, and this adds
// up the parts, always in the same order: the same bits on every GPU.

#include "gpu/threads.cuh"

// result = the sum of `count` parts of `size` elements, plus the bias of k, 0 if that is negative and `relu`.  Element
// i belongs to k = i / pixels % K.  The bias may be null.
extern "C" __global__ void sum_parts(const float* __restrict__ parts, float* __restrict__ result, int count,
                                     long long size, const float* __restrict__ bias, int K, int pixels, int relu)
{
    long long i = thread_index();
    if (i >= size)
        return;
    float sum = 0;
    for (int part = 0; part < count; part++)
        sum += parts[part * size + i];
    sum += bias ? bias[i / pixels % K] : 0;
    result[i] = relu && sum < 0 ? 0 : sum;
}
