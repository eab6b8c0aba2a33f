// How the pooling kernels read.  The lines of the result, of all planes one after the other, are cut into strips, one
// for each block.  The lines of the source that a strip depends on follow each other in memory: one piece, which the
// block brings to shared memory side by side, every sector whole and once.  What windows want of it, every other
// number, or one number several times, they take from there.
//
//     source (x)  0 ----------------            result (y)
//                 1 ----------------   ______   0 --------   a strip of two lines, 3 x 3 windows of stride 2:
//                 2 ----------------   ______   1 --------   the piece is lines 0 to 4
//                 3 ----------------
//                 4 ----------------   ______   2 --------   the next strip: lines 4 to 8
//                 5 ----------------            3 --------
//
// Backward it is the other way round: the result is gx, and the source gy.  STAGED is the host's choice (gpu/strips.py):
// where a piece does not fit into shared memory, windows read it where it lies.
#pragma once

#include "pool/window.cuh"

// Which of the elements of an array from `first` on is this thread's first, or that of its group of `lanes`.  A warp
// begins at a multiple of 32 elements of the array, as sectors do, wherever `first` is: so it may be one before that,
// below 0, which is nobody's.
__device__ inline int aligned(long long first, int lanes)
{
    return int(threadIdx.x) / lanes - int(first % (WARP / lanes));
}

// shared[i] = piece[i], for i below `size`; piece: an array from element `begin` on.
template <class T>
__device__ inline void copy(const T* piece, T* shared, long long begin, int size)
{
    for (int i = aligned(begin, 1); i < size; i += EACH * blockDim.x) {
        T taken[EACH];
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (int at = i + j * blockDim.x; at >= 0 && at < size)
                taken[j] = piece[at];
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (int at = i + j * blockDim.x; at >= 0 && at < size)
                shared[at] = taken[j];
    }
}

struct Plane {
    int rows, columns;
};

struct Strip {
    Plane result, source;
    long long first;  // element of the result, of `count` that the block makes
    int count;
    Pixel start;      // where it is
    long long begin;  // element of the source, of `size` that they depend on
    int size;
    int top;          // the row that this is in

    // cover(row): the rows of the source that a row of the result depends on
    template <class Cover>
    __device__ Strip(long long all, int per_block, Plane result, Plane source, Cover cover)
        : result(result), source(source), first((long long)blockIdx.x * per_block),
          count(min((long long)per_block, all - first)), start(pixel(first, result.rows, result.columns))
    {
        int last = start.row + (start.column + count - 1) / result.columns, planes = last / result.rows;
        top = cover(start.row).from;
        begin = (start.plane * source.rows + top) * source.columns;
        size = (planes * source.rows + cover(last - planes * result.rows).to - top) * source.columns;
    }

    // Where pixel (0, 0) of the first plane is or would be, in `array` or in its copy at `shared`.
    template <class T>
    __device__ const T* bring(const T* array, T* shared) const
    {
        const T* piece = array + begin;
#if STAGED
        copy(piece, shared, begin, size);
        piece = shared;
#endif
        return piece - (long long)top * source.columns;
    }

    // make(i, offset, row, column) for each element i of the result; its plane is `offset` elements behind the first.
    template <class Make>
    __device__ void each(int lanes, Make make) const
    {
        for (int i = aligned(first, lanes); i < count; i += blockDim.x / lanes) {
            if (i < 0)
                continue;
            int line = (start.column + i) / result.columns, column = start.column + i - line * result.columns;
            int planes = (start.row + line) / result.rows, row = start.row + line - planes * result.rows;
            make(first + i, (long long)planes * source.rows * source.columns, row, column);
        }
    }
};
