// Local response normalisation of one pixel: what its thread does on the way along the channels.
#pragma once

#ifndef SIZE
#define SIZE 5
#endif
#ifndef THREE_QUARTERS
#define THREE_QUARTERS 1
#endif

// A window goes from BEFORE channels before its own to AFTER behind it.  Backward, those whose windows hold a channel
// are the mirror image: from AFTER before it to BEFORE behind it.
constexpr int BEFORE = SIZE / 2, AFTER = (SIZE - 1) / 2;

// scale^-beta; the usual 3/4, which is then a constant of the compiler, by two roots, an order of magnitude faster than
// pow.
__device__ inline REAL to_minus_beta(REAL scale, REAL beta)
{
    if (!THREE_QUARTERS)
        return pow(scale, -beta);
    REAL root = rsqrt(scale);  // scale^(-1/2); infinity gives 0, as it should
    return root * sqrt(root);
}

// GROUP channels of one pixel, read together: memory then has that many requests of each thread at a time.
constexpr int GROUP = 4;

struct Channels {
    REAL at[GROUP];
};

// Channel c of an image at one pixel, `plane` elements from channel to channel; 0 before the first, behind the last.
__device__ inline REAL channel(const REAL* pixel, long long plane, int c, int C)
{
    return c >= 0 && c < C ? pixel[c * plane] : REAL(0);
}

__device__ inline Channels channels(const REAL* pixel, long long plane, int first, int C)
{
    Channels channels;
#pragma unroll
    for (int g = 0; g < GROUP; g++)
        channels.at[g] = channel(pixel, plane, first + g, C);
    return channels;
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
