// Dropout.  A thread draws one block of random numbers, and so serves four elements of one sample, which it reads and
// writes as one vector of 16 (float) or 32 bytes where the address allows it.

#include "gpu/threads.cuh"

struct Words {
    unsigned at[4];
};

// Stores of 16 bytes, said in so many words: of an assignment the compiler, unsure of the address, makes four stores.
__device__ inline void store(float* to, float a, float b, float c, float d)
{
    __stwb((float4*)to, make_float4(a, b, c, d));
}

__device__ inline void store(double* to, double a, double b, double c, double d)
{
    __stwb((double2*)to, make_double2(a, b));
    __stwb((double2*)to + 1, make_double2(c, d));
}

struct alignas(16) Four {
    REAL at[4];
};

// Philox4x32-10: see reference.py.
__device__ inline Words philox(unsigned c0, unsigned c1, unsigned c2, unsigned c3, unsigned k0, unsigned k1)
{
    constexpr unsigned MULTIPLIER0 = 0xD2511F53, MULTIPLIER1 = 0xCD9E8D57, WEYL0 = 0x9E3779B9, WEYL1 = 0xBB67AE85;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(c0, MULTIPLIER0), low0 = c0 * MULTIPLIER0;
        unsigned high1 = __umulhi(c2, MULTIPLIER1), low1 = c2 * MULTIPLIER1;
        c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += WEYL0, k1 += WEYL1;
    }
    return {c0, c1, c2, c3};
}

// `threshold` is p * 2^32 and may be 2^32 itself, which no 32 bits hold.
__device__ inline REAL dropped(REAL x, unsigned word, unsigned long long threshold, REAL scale)
{
    return word >= threshold ? x * scale : REAL(0);
}

// x, y: samples of `count` elements each.  `whole`: every block of four is complete and aligned.
extern "C" __global__ void apply(const REAL* __restrict__ x, REAL* __restrict__ y, long long samples, long long count,
                                 unsigned long long threshold, REAL scale, unsigned key0, unsigned key1,
                                 unsigned stream, unsigned step, unsigned first_sample, int whole)
{
    unsigned long long i = thread_index(), per_sample = (count + 3) / 4, sample = i / per_sample;
    if (sample >= samples)
        return;
    long long block = i - sample * per_sample, at = sample * count + 4 * block;
    Words words = philox(block, first_sample + sample, step, stream, key0, key1);
    if (whole) {
        Four four = *(const Four*)(x + at);
        for (int j = 0; j < 4; j++)
            four.at[j] = dropped(four.at[j], words.at[j], threshold, scale);
        store(y + at, four.at[0], four.at[1], four.at[2], four.at[3]);
    } else {
        for (int j = 0; j < 4; j++)
            if (4 * block + j < count)
                y[at + j] = dropped(x[at + j], words.at[j], threshold, scale);
    }
}
