// Copies, from any strides to any strides, from type FROM to type TO (NumPy's names).

#include "elementwise/walk.cuh"
#include "gpu/types.cuh"

#ifndef FROM
#define FROM float32
#define TO float32
#endif

// A number of type FROM as one of type TO, as NumPy's assignment does it: towards 0, and modulo 2^bits, where a GPU
// would stop at the largest and smallest integer of the type.  (What no int64 can hold is undefined there and here.)
__device__ inline TO converted(FROM x)
{
    constexpr bool from_real = FROM(0.5) != 0, to_integer = TO(0.5) == 0;
    if (from_real && to_integer)
        return TO((long long)x);
    return TO(x);
}

extern "C" __global__ void copy(SIZES, WALKED(const FROM, x), WALKED(TO, y))
{
    walk(count, n1, n2, n3, [=](Place p) { return AT(x); }, [=](Place p, FROM number) { AT(y) = converted(number); });
}

extern "C" __global__ void fill(SIZES, WALKED(TO, y), TO value)
{
    walk(count, n1, n2, n3, [=](Place) { return value; }, [=](Place p, TO number) { AT(y) = number; });
}

// A transposition: y has its elements side by side along its last axis b, x along the last but one, a.  `copy` would
// touch 32 sectors per request where four suffice.  Here a block reads a tile of 32 x 32 with its threads along a, and
// writes it with its threads along b; in between it lies in shared memory.
//
//   x in memory       tile in shared memory            y in memory
//                        a ->
//   a a a a ... read  b  a a a a ...                   b b b b ... written
//   \_ warp _/        |  a a a a ...   rows of 33: with   \_ warp _/
//                     v  a a a a ...   32, a column would lie in one bank
constexpr int TILE = 32, ROWS = 8;

extern "C" __global__ void __launch_bounds__(TILE* ROWS) transpose(SIZES, WALKED(const FROM, x), WALKED(TO, y))
{
    __shared__ FROM tile[TILE][TILE + 1];
    unsigned long long across = (n3 + TILE - 1) / TILE, down = (n2 + TILE - 1) / TILE, rest = blockIdx.x / across;
    long long b0 = (blockIdx.x - rest * across) * TILE, a0 = rest % down * TILE, outer = rest / down;
    long long at0 = (unsigned long long)outer / n1, at1 = outer - at0 * n1;
    x += at0 * x0 + at1 * x1;
    y += at0 * y0 + at1 * y1;
    long long a = a0 + threadIdx.x;
    for (int row = threadIdx.y; row < TILE; row += ROWS)
        if (a < n2 && b0 + row < n3)
            tile[row][threadIdx.x] = x[a * x2 + (b0 + row) * x3];
    __syncthreads();
    long long b = b0 + threadIdx.x;
    for (int row = threadIdx.y; row < TILE; row += ROWS)
        if (a0 + row < n2 && b < n3)
            y[(a0 + row) * y2 + b * y3] = converted(tile[threadIdx.x][row]);
}
