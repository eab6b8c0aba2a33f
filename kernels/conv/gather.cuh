#pragma once

// A tile of pixels, gathered from images: column j of the tile is a window, depth d a tap of it.
//
// A thread stays with one column, threadIdx.x % COLUMNS, the window that starts at `source.from`.  The taps are in a
// table, {offset from the start of the window, bits of its row and its column}, the same for all windows.  What a
// window does not see because it hangs over an edge is a mask of such bits.  So a number costs an AND, an addition and
// the load.

#include "conv/pixels.cuh"
#include "gpu/product.cuh"

template <template <class, int> class Way>
struct Gather {
    static constexpr int COUNT = DEPTH * COLUMNS / THREADS;
    using Source = Way<float, COUNT>;
    Source source;
    unsigned outside;  // bits of the rows and columns of taps that lie outside the image
    const int2* table;
    int place;  // in a tile, of the first of this thread's COUNT taps

    __device__ Gather(Source source, unsigned outside, const int2* table) : source(source), outside(outside)
    {
        int first = threadIdx.x / COLUMNS * COUNT;
        this->table = table + first;
        place = kept(first * Right::PITCH + threadIdx.x % COLUMNS);
    }

    __device__ float* place_of(Right& tile, int i) const { return &tile.at[0][0] + place + i * Right::PITCH; }

    __device__ void skip(int tiles) { table += tiles * DEPTH; }

    __device__ void fetch(Right& tile)
    {
        const int4* pairs = reinterpret_cast<const int4*>(table);
#pragma unroll
        for (int i = 0; i < COUNT; i += 2) {
            int4 taps = pairs[i / 2];
            source.fetch(i, place_of(tile, i), taps.x, !(outside & taps.y));
            source.fetch(i + 1, place_of(tile, i + 1), taps.z, !(outside & taps.w));
        }
        table += DEPTH;
    }

    __device__ void store(Right& tile)
    {
        store_all(source, [&](int i) { return place_of(tile, i); });
    }
};

// The weights as `pack.cu` laid them out: depth by depth, aligned, with zeros beyond the last filter and the last tap.
struct Packed {
    static constexpr int COUNT = DEPTH * ROWS / 4 / THREADS, ACROSS = ROWS / 4, DOWN = THREADS / ACROSS;
    Copied<float4, COUNT> source;
    int pitch, place;  // from depth to depth; the first number's in a tile

    __device__ Packed(const float* weights, int pitch)
        : source{reinterpret_cast<const float4*>(weights)}, pitch(pitch)
    {
        int row = threadIdx.x % ACROSS * 4, d = threadIdx.x / ACROSS;
        source.advance((d * pitch + row) / 4);
        place = kept(d * Left::PITCH + row);
    }

    __device__ float4* place_of(Left& tile, int i) const
    {
        return reinterpret_cast<float4*>(&tile.at[0][0] + place + i * DOWN * Left::PITCH);
    }

    __device__ void skip(int tiles) { source.advance((long long)tiles * DEPTH * pitch / 4); }

    __device__ void fetch(Left& tile)
    {
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            source.fetch(i, place_of(tile, i), i * DOWN * pitch / 4, true);
        source.advance(DEPTH * pitch / 4);
    }

    __device__ void store(Left& tile)
    {
        store_all(source, [&](int i) { return place_of(tile, i); });
    }
};
