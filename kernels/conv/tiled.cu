// Rung 2, tiles in shared memory: a block makes 16 x 16 outputs, 16 filters at 16 windows, one per thread.
//
//               16 windows        Every 16 steps of depth, the 256 threads bring 256 weights and 256 pixels to shared
//              +----------+       memory, each of which is then used 16 times.
//           16 |  right   |
//      16      +----------+       Memory: 2 numbers for 16 FMA, 0.5 bytes per FMA, where rung 1 has 8.
//     +----+   |          |       Shared memory: 2 numbers for each FMA, 8 bytes.  It gives a multiprocessor 128 bytes
//  16 |left| 16|  sums    |       per cycle, 16 FMA, of the 64 or 128 that it could do.
//     +----+   +----------+
//
// Columns are windows of all images, one image after the other, so no tile is wasted on the end of each.

#include "conv/window.cuh"

#define TILE 16

extern "C" __global__ void __launch_bounds__(TILE * TILE)
forward(const REAL* __restrict__ x, const REAL* __restrict__ weight, const REAL* __restrict__ bias,
        REAL* __restrict__ y, int relu, SHAPE)
{
    __shared__ REAL left[TILE][TILE], right[TILE][TILE];
    int row = threadIdx.x / TILE, column = threadIdx.x % TILE;
    int group = blockIdx.z, filters = K / groups, per_group = C / groups, depth = per_group * R * S;
    int k = blockIdx.y * TILE + row;
    Pixel pixel = Pixels((long long)blockIdx.x * TILE, P * Q)[column];
    Window window(x, pixel, group * per_group, SHAPE_NAMES);
    const REAL* weights = weight + ((long long)group * filters + k) * depth;

    REAL sum = 0;
    for (int first = 0; first < depth; first += TILE) {
        left[row][column] = k < filters && first + column < depth ? weights[first + column] : REAL(0);
        right[row][column] = pixel.n < N && first + row < depth ? window.under(first + row, H, W, R, S) : REAL(0);
        __syncthreads();
        for (int d = 0; d < TILE; d++)
            sum += left[row][d] * right[d][column];
        __syncthreads();  // before the next tile overwrites what others still read
    }
    if (k >= filters || pixel.n >= N)
        return;
    k += group * filters;
    sum += bias ? bias[k] : REAL(0);
    y[(pixel.n * K + k) * P * Q + pixel.at] = relu && sum < 0 ? REAL(0) : sum;
}
