// Which thread this is, and what the 32 threads of a warp work out together.
//
// A warp's result has one order: a tree in which thread t meets t ^ 16, then t ^ 8 ... t ^ 1.  Addition commutes, so
// the two partners get the same bits, and at the end all 32 threads hold the result.
#pragma once

constexpr int WARP = 32;

__device__ inline long long thread_index()
{
    return (long long)blockIdx.x * blockDim.x + threadIdx.x;
}

// Where a thread does the same to EACH elements, the j-th of them.  The threads of a block take elements side by side;
// one load after the other would leave memory idle while it waits, several are under way at once.
constexpr int EACH = 4;

__device__ inline long long element(int j)
{
    return ((long long)blockIdx.x * EACH + j) * blockDim.x + threadIdx.x;
}

template <class Number, class Join>
__device__ inline Number over_warp(Number mine, Join join)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        mine = join(mine, __shfl_xor_sync(0xffffffff, mine, distance));
    return mine;
}

__device__ inline double warp_sum(double mine)
{
    return over_warp(mine, [](double a, double b) { return a + b; });
}

// The larger of the two; NaN counts as largest.
template <class Number>
__device__ inline Number larger(Number a, Number b)
{
    return a >= b || a != a ? a : b;
}
