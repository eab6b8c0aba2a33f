// Local response normalisation of one pixel: what its thread does on the way along the channels.
#pragma once

// scale^-beta; the usual 3/4 by square roots, an order of magnitude faster than pow.
__device__ inline REAL to_minus_beta(REAL scale, REAL beta)
{
    if (beta != REAL(0.75))
        return pow(scale, -beta);
    REAL root = sqrt(1 / scale);  // scale^(-1/2); infinity gives 0, as it should
    return root * sqrt(root);
}

// The last COUNT numbers of a walk, the oldest first.  Loops over them are unrolled, so they live in registers; each
// sum is taken afresh, for a running sum that subtracts what leaves would keep the rounding of a large one for ever.
template <int COUNT>
struct Recent {
    REAL at[COUNT] = {};

    __device__ void push(REAL newest)
    {
#pragma unroll
        for (int i = 0; i + 1 < COUNT; i++)
            at[i] = at[i + 1];
        at[COUNT - 1] = newest;
    }

    __device__ REAL sum() const
    {
        REAL total = 0;
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            total += at[i];
        return total;
    }

    __device__ REAL sum_of_squares() const
    {
        REAL total = 0;
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            total += at[i] * at[i];
        return total;
    }
};
