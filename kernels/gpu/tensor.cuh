#pragma once

// The sums of product.cuh on tensor cores: `Sums` made by the instruction mma, which multiplies a 16 x 8 matrix by an
// 8 x 8 one, 1024 FMA for a warp, and takes its numbers rounded to TF32: 8 bits of exponent as float32, 10 bits behind
// the point instead of 23.  Sums stay float32.
//
// Who holds what, as the manual (PTX, "Matrix fragments for mma.m16n8k8") has it; a lane is 4 g + t:
//
//     left   a0 = [row g][d t]    a1 = [row g + 8][d t]    a2 = [row g][d t + 4]    a3 = [row g + 8][d t + 4]
//     right  b0 = [d t][column g]    b1 = [d t + 4][column g]
//     sums   c0, c1 = [row g][column 2 t, 2 t + 1]    c2, c3 = the same of row g + 8
//
// A warp's 32 x 64 sums are 2 x 8 such squares.  Per 8 steps of depth it reads 24 numbers per lane for 16 mma: 0.19
// bytes per FMA.  With PAD = 8 the lanes (g, t) read banks g + 8 t: all 32.

#include "gpu/product.cuh"

#if __CUDA_ARCH__ >= 800

__device__ inline unsigned rounded(float value)
{
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

struct TensorSums {
    static constexpr int HIGH = 4, WIDE = 16, HIGH_TILES = HIGH / 2, WIDE_TILES = WIDE / 2;
    float value[HIGH][WIDE] = {};
    int first_row, first_column, g, t;

    __device__ TensorSums()
    {
        int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
        g = lane / 4;
        t = lane % 4;
        first_row = warp % (ROWS / 32) * 32;
        first_column = warp / (ROWS / 32) * 64;
    }

    __device__ int row(int i) const { return first_row + i / 2 * 16 + i % 2 * 8 + g; }
    __device__ int column(int j) const { return first_column + j / 2 * 8 + t * 2 + j % 2; }

    __device__ void add(const Left& left, const Right& right)
    {
#pragma unroll
        for (int step = 0; step < DEPTH; step += 8) {
            int d = step + t;
            unsigned a[HIGH_TILES][4], b[WIDE_TILES][2];
#pragma unroll
            for (int i = 0; i < HIGH_TILES; i++)
#pragma unroll
                for (int part = 0; part < 4; part++)
                    a[i][part] = rounded(left.at[d + part / 2 * 4][first_row + i * 16 + part % 2 * 8 + g]);
#pragma unroll
            for (int j = 0; j < WIDE_TILES; j++)
#pragma unroll
                for (int part = 0; part < 2; part++)
                    b[j][part] = rounded(right.at[d + part * 4][first_column + j * 8 + g]);
#pragma unroll
            for (int i = 0; i < HIGH_TILES; i++)
#pragma unroll
                for (int j = 0; j < WIDE_TILES; j++)
                    multiply(a[i], b[j], &value[2 * i][2 * j], &value[2 * i + 1][2 * j]);
        }
    }

    // The square of sums whose upper half is c[0], c[1] of this lane and whose lower half is d[0], d[1].
    static __device__ void multiply(const unsigned* a, const unsigned* b, float* c, float* d)
    {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(d[0]), "+f"(d[1])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
};

#else

using TensorSums = Sums;  // older tensor cores do not know TF32: float32, which is more than was asked for

#endif
