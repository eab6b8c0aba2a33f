#pragma once

// The loop under every fast product: a block of threads makes ROWS x COLUMNS sums, each over the same depth,
//
//     sum[row][column] = sum over d of left[d][row] right[d][column],
//
// DEPTH numbers d at a time.  Who the numbers are is the business of the two loaders, `left` and `right`: weights and
// the pixels under them, a gradient and images.  A loader has two functions, called for tile after tile:
//
//     fetch(tile)    starts to bring the next DEPTH numbers of each row (or column) to tile[DEPTH][...]
//     store(tile)    finishes that, once this thread's copies have arrived
//
// Two tiles of each side are in shared memory: while one is multiplied, the other fills.
//
//                      columns                     A thread makes 8 x 8 sums, in four blocks of 4 x 4, so that it reads
//                    +---------+                   a tile as float4 and a warp reads 128 bytes in a row:
//              DEPTH |  right  |                             8 lanes of 4 columns    again, 32 columns on
//              DEPTH +---------+                     4 lanes    0 0 0 0 1 1 1 1 ... | 0 0 0 0 1 1 1 1 ...
//      rows +---+    +---------+                     of 4 rows  0 0 0 0 1 1 1 1 ... | 0 0 0 0 1 1 1 1 ...
//           | l |    |         |                                8 8 8 8 9 9 9 9 ... | 8 8 8 8 9 9 9 9 ...
//           | e |    |  sums   |                                --------------------+--------------------
//           | f |    |         |                     again, 16  0 0 0 0 1 1 1 1 ... | 0 0 0 0 1 1 1 1 ...
//           | t |    |         |                     rows on    (the numbers are lanes; a warp makes 32 x 64 sums)
//           +---+    +---------+
//
// Per step of depth a thread loads 16 numbers from shared memory, as 4 float4, and does 64 FMA: 1 byte per FMA.  A
// block of 128 x 128 loads 256 numbers from memory for 16384 FMA: 0.06 bytes per FMA.
//
// ROWS and COLUMNS are the host's choice (product.py); PAD is that of the file which includes this one.

constexpr int DEPTH = 16;
constexpr int THREADS = ROWS * COLUMNS / 64;
constexpr int LANES = 32;

// Two blocks of 256 threads on a multiprocessor cover each other's waiting, if a thread has at most 128 registers.  A
// smaller block may take more: it loads more numbers per thread.
#if __CUDA_ARCH__ >= 800
#define BOUNDS __launch_bounds__(THREADS, THREADS == 256 ? 2 : 1)
#else
#define BOUNDS __launch_bounds__(THREADS)
#endif

#include "gpu/copy.cuh"

// DEPTH numbers of each of `SIDE` rows or columns.  The padding turns each step of depth by some of the 32 banks, so
// that a loader may store along the depth.
template <int SIDE>
struct alignas(16) Tile {
    static constexpr int WIDTH = SIDE, PITCH = SIDE + PAD;
    float at[DEPTH][PITCH];
};
using Left = Tile<ROWS>;
using Right = Tile<COLUMNS>;

// The sums of one thread in plain float32.
struct Sums {
    static constexpr int HIGH = 8, WIDE = 8;
    float value[HIGH][WIDE] = {};
    int first_row, first_column;

    __device__ Sums()
    {
        int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
        first_row = kept(warp % (ROWS / 32) * 32 + lane / 8 * 4);
        first_column = kept(warp / (ROWS / 32) * 64 + lane % 8 * 4);
    }

    __device__ int row(int i) const { return first_row + i / 4 * 16 + i % 4; }
    __device__ int column(int j) const { return first_column + j / 4 * 32 + j % 4; }

    __device__ void add(const Left& left, const Right& right)
    {
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            float4 a[2], b[2];
            for (int half = 0; half < 2; half++) {
                a[half] = *reinterpret_cast<const float4*>(&left.at[d][first_row + 16 * half]);
                b[half] = *reinterpret_cast<const float4*>(&right.at[d][first_column + 32 * half]);
            }
            const float *x = &a[0].x, *y = &b[0].x;
#pragma unroll
            for (int i = 0; i < HIGH; i++)
#pragma unroll
                for (int j = 0; j < WIDE; j++)
                    value[i][j] += x[i] * y[j];
        }
    }
};

// Add `count` tiles of depth to `sums`.
template <class Sum, class LeftLoader, class RightLoader>
__device__ void product(Sum& sums, LeftLoader& left, RightLoader& right, int count)
{
    __shared__ struct Tiles { Left left; Right right; } both[2];
    char* memory = reinterpret_cast<char*>(kept_shared(both));
    auto tiles = [=](unsigned offset) -> Tiles& { return *reinterpret_cast<Tiles*>(memory + offset); };
    unsigned now = 0;  // in bytes, for an index would have to be multiplied
    if (count > 0) {
        left.fetch(tiles(now).left);
        right.fetch(tiles(now).right);
        wait_for_copies();
        left.store(tiles(now).left);
        right.store(tiles(now).right);
    }
    for (int tile = 0; tile < count; tile++) {
        unsigned next = sizeof(Tiles) - now;
        __syncthreads();  // the tiles `now` are complete, and nobody reads `next` any more
        if (tile + 1 < count) {
            left.fetch(tiles(next).left);
            right.fetch(tiles(next).right);
        }
        sums.add(tiles(now).left, tiles(now).right);
        wait_for_copies();
        left.store(tiles(next).left);  // in the last round something that nobody will read
        right.store(tiles(next).right);
        now = next;
    }
}

// The same of a depth of `tiles` tiles that is cut into parts of `per_part` (parts.cu): part blockIdx.z of it.  The
// loaders have a third function, skip(tiles), which leaves out so many tiles before the first.
template <class Sum, class LeftLoader, class RightLoader>
__device__ void part_of_product(Sum& sums, LeftLoader& left, RightLoader& right, int tiles, int per_part)
{
    int first = blockIdx.z * per_part;
    left.skip(first);
    right.skip(first);
    product(sums, left, right, min(per_part, tiles - first));
}
