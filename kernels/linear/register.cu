// Rung 3, tiles in registers: a block makes 64 x 64 outputs, of 64 images and 64 neurons, and each of its 64 threads
// 8 x 8.
//
// Per step of depth a thread reads 8 numbers of x and 8 weights from shared memory, keeps them in registers and
// multiplies each by each: 16 numbers for 64 FMA, 1 byte per FMA, where rung 2 has 8.  Memory: 128 numbers for 4096
// FMA, 0.13 bytes per FMA.  The price is 64 registers for the sums, so fewer threads, which must now wait less.
//
// A thread's rows and columns are 8 apart, so that 8 neighbours read, and write, 8 numbers side by side:
//
//      columns of thread 0   x . . . . . . . x . . . . . . . x ...
//                 thread 1   . x . . . . . . . x . . . . . . . x ...

#define ROWS 64
#define COLUMNS 64
#include "linear/corner.cuh"

#define DEPTH 8
#define SUMS 8
#define THREADS 64

// Bring DEPTH numbers from `first` on of each of 64 rows to `tile`; 0 beyond the end of a row, and of the matrix.
__device__ void load(REAL (*tile)[64 + 4], const REAL* matrix, long long row, long long rows, int first, int C)
{
    int d = threadIdx.x % DEPTH;
    for (int i = threadIdx.x / DEPTH; i < 64; i += THREADS / DEPTH)
        tile[d][i] = row + i < rows && first + d < C ? matrix[(row + i) * C + first + d] : REAL(0);
}

extern "C" __global__ void __launch_bounds__(THREADS)
forward(const REAL* __restrict__ x, const REAL* __restrict__ weight, const REAL* __restrict__ bias,
        REAL* __restrict__ y, int relu, int N, int C, int K)
{
    __shared__ REAL left[DEPTH][ROWS + 4], right[DEPTH][COLUMNS + 4];
    int row = threadIdx.x / 8, column = threadIdx.x % 8;
    Corner corner(K);

    REAL sums[SUMS][SUMS] = {};
    for (int first = 0; first < C; first += DEPTH) {
        load(left, x, corner.row, N, first, C);
        load(right, weight, corner.column, K, first, C);
        __syncthreads();
        for (int d = 0; d < DEPTH; d++) {
            REAL a[SUMS], b[SUMS];
            for (int i = 0; i < SUMS; i++) {
                a[i] = left[d][row + i * 8];
                b[i] = right[d][column + i * 8];
            }
            for (int i = 0; i < SUMS; i++)
                for (int j = 0; j < SUMS; j++)
                    sums[i][j] += a[i] * b[j];
        }
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < SUMS; i++)
#pragma unroll
        for (int j = 0; j < SUMS; j++) {
            long long n = corner.row + row + i * 8, k = corner.column + column + j * 8;
            if (n >= N || k >= K)
                continue;
            REAL sum = sums[i][j] + (bias ? bias[k] : REAL(0));
            y[n * K + k] = relu && sum < 0 ? REAL(0) : sum;
        }
}
