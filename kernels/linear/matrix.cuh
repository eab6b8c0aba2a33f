#pragma once

// Loaders of tiles of a matrix, for product.cuh, by one of the ways of copy.cuh.  A tile's rows (or columns) beyond the
// end of the matrix repeat the last one: what they add up to is not stored.  Steps of depth beyond the end must be 0.

#include "linear/corner.cuh"
#include "gpu/product.cuh"

// A matrix whose numbers follow each other along the depth, and whose rows are `pitch` apart: x and w in the forward
// pass.  A warp loads 8 steps of depth, 32 bytes, of 4 rows, and stores them across the tile without bank conflicts.
template <class Tile, template <class, int> class Way>
struct AlongDepth {
    static constexpr int RUN = 8, DOWN = THREADS / RUN, ROUNDS = Tile::WIDTH / DOWN, HALVES = DEPTH / RUN;
    using Source = Way<float, ROUNDS * HALVES>;
    Source source;
    int offset[ROUNDS];
    int place, left;  // the first number's in a tile; steps of depth that are left to this thread

    __device__ AlongDepth(Source source, int pitch, long long first, long long count, int depth) : source(source)
    {
        int d = threadIdx.x % RUN, row = threadIdx.x / RUN;
        this->source.advance(first * pitch + d);
        for (int i = 0; i < ROUNDS; i++)
            offset[i] = kept(int(min((long long)row + i * DOWN, count - 1 - first)) * pitch);
        place = kept(d * Tile::PITCH + row);
        left = depth - d;
    }

    __device__ float* place_of(Tile& tile, int number) const
    {
        return &tile.at[0][0] + place + number % HALVES * RUN * Tile::PITCH + number / HALVES * DOWN;
    }

    __device__ void skip(int tiles)
    {
        source.advance((long long)tiles * DEPTH);
        left -= tiles * DEPTH;
    }

    __device__ void fetch(Tile& tile)
    {
#pragma unroll
        for (int i = 0; i < ROUNDS; i++) {
            int at = kept(offset[i]);  // 32 bits: extended to 64 before the loop, it would take two additions
#pragma unroll
            for (int half = 0; half < HALVES; half++) {
                int number = i * HALVES + half;
                source.fetch(number, place_of(tile, number), at + half * RUN, half * RUN < left);
            }
        }
        source.advance(DEPTH);
        left -= DEPTH;
    }

    __device__ void store(Tile& tile)
    {
        store_all(source, [&](int number) { return place_of(tile, number); });
    }
};

// A matrix whose numbers follow each other across the depth, and whose steps of depth are `pitch` apart: what a sum
// over images or neurons reads.  A warp loads 32 numbers in a row, or, where the host knows that all rows are aligned
// (VECTOR = 4), 32 float4, and stores them so.
#if VECTOR == 4
using Vector = float4;
#else
using Vector = float;
#endif

__device__ inline const Vector* vectors(const float* numbers) { return reinterpret_cast<const Vector*>(numbers); }

template <class Tile, template <class, int> class Way>
struct AcrossDepth {
    static constexpr int WIDE = sizeof(Vector) / sizeof(float), SIDE = Tile::WIDTH / WIDE, DOWN = THREADS / SIDE,
                         ROUNDS = DEPTH / DOWN;
    using Source = Way<Vector, ROUNDS>;
    Source source;
    int pitch, place, left;

    __device__ AcrossDepth(Source source, int pitch, long long first, long long count, int depth)
        : source(source), pitch(pitch / WIDE)
    {
        int d = threadIdx.x / SIDE, i = threadIdx.x % SIDE * WIDE;
        this->source.advance((min(first + i, count - WIDE) + (long long)d * pitch) / WIDE);
        place = kept(d * Tile::PITCH + i);
        left = depth - d;
    }

    __device__ Vector* place_of(Tile& tile, int i) const
    {
        return reinterpret_cast<Vector*>(&tile.at[0][0] + place + i * DOWN * Tile::PITCH);
    }

    __device__ void skip(int tiles)
    {
        source.advance((long long)tiles * DEPTH * pitch);
        left -= tiles * DEPTH;
    }

    __device__ void fetch(Tile& tile)
    {
        int step = kept(pitch);  // likewise
#pragma unroll
        for (int i = 0; i < ROUNDS; i++)
            source.fetch(i, place_of(tile, i), i * DOWN * step, i * DOWN < left);
        source.advance((long long)DEPTH * pitch);
        left -= DEPTH;
    }

    __device__ void store(Tile& tile)
    {
        store_all(source, [&](int i) { return place_of(tile, i); });
    }
};

// result[part][row][column] = finish(sum, column), for what is inside a result of `rows` rows of `columns`.
template <class Sum, class Finish>
__device__ void write(const Sum& sums, float* result, int rows, int columns, Finish finish)
{
    Corner corner(columns, kept(blockIdx.x));  // anew: it would take four registers through the loop
    result += kept(blockIdx.z) * ((long long)rows * columns);
#pragma unroll
    for (int i = 0; i < Sum::HIGH; i++) {
        long long row = corner.row + sums.row(i);
        if (row >= rows)
            continue;
#pragma unroll
        for (int j = 0; j < Sum::WIDE; j++) {
            long long column = corner.column + sums.column(j);
            if (column < columns)
                result[row * columns + column] = finish(sums.value[i][j], column);
        }
    }
}
