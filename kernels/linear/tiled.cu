// Rung 2, tiles in shared memory: a block makes 16 x 16 outputs, of 16 images and 16 neurons, one per thread.
//
//               16 neurons        Every 16 steps of depth, the 256 threads bring 256 numbers of x and 256 weights to
//              +----------+       shared memory, each of which is then used 16 times.
//           16 |  right   |
//      16      +----------+       Memory: 2 numbers for 16 FMA, 0.5 bytes per FMA, where rung 1 has 8.
//     +----+   |          |       Shared memory: 2 numbers for each FMA, 8 bytes.  It gives a multiprocessor 128 bytes
//  16 |left| 16|  sums    |       per cycle, 16 FMA, of the 64 or 128 that it could do.
//     +----+   +----------+
//
// Both matrices lie along the depth.  So a warp loads along it, and stores the right one turned; a column more than
// needed puts the numbers that it stores at once in different banks.

#define ROWS 16
#define COLUMNS 16
#include "linear/corner.cuh"

extern "C" __global__ void __launch_bounds__(ROWS * COLUMNS)
forward(const REAL* __restrict__ x, const REAL* __restrict__ weight, const REAL* __restrict__ bias,
        REAL* __restrict__ y, int relu, int N, int C, int K)
{
    __shared__ REAL left[16][16], right[16][17];
    int row = threadIdx.x / 16, column = threadIdx.x % 16;
    Corner corner(K);
    long long n = corner.row + row, k = corner.column + column;
    const REAL *image = x + n * C, *neuron = weight + (corner.column + row) * C;  // that this thread loads for all

    REAL sum = 0;
    for (int first = 0; first < C; first += 16) {
        bool inside = first + column < C;
        left[row][column] = inside && n < N ? image[first + column] : REAL(0);
        right[column][row] = inside && corner.column + row < K ? neuron[first + column] : REAL(0);
        __syncthreads();
        for (int d = 0; d < 16; d++)
            sum += left[row][d] * right[d][column];
        __syncthreads();  // before the next tile overwrites what others still read
    }
    if (n >= N || k >= K)
        return;
    sum += bias ? bias[k] : REAL(0);
    y[n * K + k] = relu && sum < 0 ? REAL(0) : sum;
}
