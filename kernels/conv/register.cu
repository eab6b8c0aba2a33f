// Rung 3, tiles in registers: a block makes 64 x 64 outputs, 64 filters at 64 windows, each of its 64 threads 8 x 8.
//
// Per step of depth a thread reads 8 weights and 8 pixels from shared memory, keeps them in registers and multiplies
// each by each: 16 numbers for 64 FMA, 1 byte per FMA, where rung 2 has 8.  Memory: 128 numbers for 4096 FMA, 0.13
// bytes per FMA.  The price is 64 registers for the sums, so fewer threads, which must now wait less.
//
// A thread's rows and columns are 8 apart, so that 8 neighbours read, and write, 8 numbers side by side:
//
//      columns of thread 0   x . . . . . . . x . . . . . . . x ...
//                 thread 1   . x . . . . . . . x . . . . . . . x ...

#include "conv/window.cuh"

#define TILE 64
#define DEPTH 8
#define SUMS 8
#define ACROSS (TILE / SUMS)
#define THREADS (ACROSS * ACROSS)

extern "C" __global__ void __launch_bounds__(THREADS)
forward(const REAL* __restrict__ x, const REAL* __restrict__ weight, const REAL* __restrict__ bias,
        REAL* __restrict__ y, int relu, SHAPE)
{
    __shared__ REAL left[DEPTH][TILE + 4], right[DEPTH][TILE];
    int row = threadIdx.x / ACROSS, column = threadIdx.x % ACROSS;
    int group = blockIdx.z, filters = K / groups, per_group = C / groups, depth = per_group * R * S;
    int first_row = blockIdx.y * TILE;
    Pixels pixels((long long)blockIdx.x * TILE, P * Q);
    Pixel pixel = pixels[threadIdx.x];  // the window that this thread loads for all: one of 64
    Window window(x, pixel, group * per_group, SHAPE_NAMES);
    const REAL* weights = weight + ((long long)group * filters + first_row) * depth;

    REAL sums[SUMS][SUMS] = {};
    for (int first = 0; first < depth; first += DEPTH) {
        for (int i = 0; i < TILE * DEPTH / THREADS; i++) {
            int d = threadIdx.x % DEPTH, k = threadIdx.x / DEPTH + i * (THREADS / DEPTH);
            bool inside = first_row + k < filters && first + d < depth;
            left[d][k] = inside ? weights[(long long)k * depth + first + d] : REAL(0);
        }
        for (int d = 0; d < DEPTH; d++)
            right[d][threadIdx.x] =
                pixel.n < N && first + d < depth ? window.under(first + d, H, W, R, S) : REAL(0);
        __syncthreads();
        for (int d = 0; d < DEPTH; d++) {
            REAL a[SUMS], b[SUMS];
            for (int i = 0; i < SUMS; i++) {
                a[i] = left[d][row + i * ACROSS];
                b[i] = right[d][column + i * ACROSS];
            }
            for (int i = 0; i < SUMS; i++)
                for (int j = 0; j < SUMS; j++)
                    sums[i][j] += a[i] * b[j];
        }
        __syncthreads();
    }

#pragma unroll
    for (int j = 0; j < SUMS; j++) {
        Pixel output = pixels[column + j * ACROSS];
        if (output.n >= N)
            continue;
        REAL* out = y + (output.n * K + group * filters) * P * Q + output.at;
#pragma unroll
        for (int i = 0; i < SUMS; i++) {
            int k = first_row + row + i * ACROSS;
            if (k >= filters)
                continue;
            REAL sum = sums[i][j] + (bias ? bias[group * filters + k] : REAL(0));
            out[k * P * Q] = relu && sum < 0 ? REAL(0) : sum;
        }
    }
}
