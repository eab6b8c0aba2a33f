// Sums, maxima and counts along axes.  OPERATION says which: Sum, Max or Ties.
//
// The order of a sum depends on its length alone.  It is cut into pieces; a piece has 32 running results, of its
// elements 0, 32, 64 ..., then 1, 33, 65 ... and so on; a tree joins them; the results of the pieces are joined in the
// same way.  So the two kernels below, which differ in how they read, give the same bits.  All in double precision.
//
//   rows     the reduced axis is dense: a warp per piece, its threads side by side along the piece
//   columns  another axis is dense: the 32 x 32 threads of a block take 32 pieces that lie side by side, a row of
//            threads the elements of one running result of each; shared memory turns them round for the tree
//
// Axes: the outputs are numbered over four kept axes, the elements of a sum over four reduced ones.

#include "gpu/place.cuh"
#include "gpu/threads.cuh"

#ifndef OPERATION
#define OPERATION Sum
#endif

struct Sum {
    static __device__ double nothing() { return 0; }
    static __device__ double of(REAL x, REAL) { return x; }
    static __device__ double join(double a, double b) { return a + b; }
};

struct Max {
    static __device__ double nothing() { return -1.0 / 0.0; }
    static __device__ double of(REAL x, REAL) { return x; }
    static __device__ double join(double a, double b) { return larger(a, b); }
};

// How many elements share the maximum.
struct Ties {
    static __device__ double nothing() { return 0; }
    static __device__ double of(REAL x, REAL largest) { return x == largest || x != x; }
    static __device__ double join(double a, double b) { return a + b; }
};

#define OFFSET(place, step) offset(place, step##0, step##1, step##2, step##3)
#define OUTPUT place(output, n1, n2, n3)

// One running result: of every 32nd element of a piece, from its element `first` on.
__device__ inline double running(const REAL* x, REAL largest, long long first, long long end, INNER(m), STEPS(along))
{
    double result = OPERATION::nothing();
    if (m1 * m2 == 1) {  // along one axis a place is a number, and four loads are under way at once
#pragma unroll 4
        for (long long i = first; i < end; i += WARP)
            result = OPERATION::join(result, OPERATION::of(x[i * along3], largest));
        return result;
    }
    Place at = place(first, m1, m2, m3), by = place(WARP, m1, m2, m3);
    for (long long i = first; i < end; i += WARP) {
        result = OPERATION::join(result, OPERATION::of(x[OFFSET(at, along)], largest));
        at = advanced(at, by, m1, m2, m3);
    }
    return result;
}

__device__ inline double joined(double mine)
{
    return over_warp(mine, [](double a, double b) { return OPERATION::join(a, b); });
}

#define ARGUMENTS                                                                                                      \
    const REAL *x, REAL *y, double *of_pieces, const REAL *maxima, long long outputs, INNER(n), STEPS(kept),           \
        long long length, INNER(m), STEPS(along), int piece, int pieces

// The running result that begins with this element of the piece.
#define RUNNING(first)                                                                                                 \
    running(x + OFFSET(OUTPUT, kept), maxima ? maxima[output] : REAL(0), begin + (first), end, m1, m2, m3, along0,     \
            along1, along2, along3)

// of_pieces: null where each output is one piece.
#define STORE(result, output, number)                                                                                  \
    if (of_pieces)                                                                                                     \
        of_pieces[(output) * pieces + (number)] = result;                                                              \
    else                                                                                                               \
        y[output] = REAL(result);

extern "C" __global__ void rows(ARGUMENTS)
{
    long long warp = thread_index() / WARP, output = (unsigned long long)warp / pieces;
    int number = warp - output * pieces, lane = threadIdx.x % WARP;
    if (output >= outputs)
        return;
    long long begin = (long long)number * piece, end = min(begin + piece, length);
    double result = joined(RUNNING(lane));
    if (lane == 0) {
        STORE(result, output, number)
    }
}

extern "C" __global__ void __launch_bounds__(WARP* WARP) columns(ARGUMENTS)
{
    __shared__ double results[WARP][WARP + 1];
    unsigned long long group = blockIdx.x / pieces;
    int number = blockIdx.x - group * pieces;
    long long begin = (long long)number * piece, end = min(begin + piece, length);
    long long output = group * WARP + threadIdx.x;
    if (output < outputs)
        results[threadIdx.y][threadIdx.x] = RUNNING(threadIdx.y);
    __syncthreads();
    output = group * WARP + threadIdx.y;  // from here on a warp is one output
    if (output >= outputs)
        return;
    double result = joined(results[threadIdx.x][threadIdx.y]);
    if (threadIdx.x == 0) {
        STORE(result, output, number)
    }
}

// y = the results of each output's pieces, joined by a warp.
extern "C" __global__ void finish(const double* __restrict__ of_pieces, REAL* __restrict__ y, long long outputs,
                                  int pieces)
{
    long long output = thread_index() / WARP;
    if (output >= outputs)
        return;
    double result = OPERATION::nothing();
    for (int i = threadIdx.x % WARP; i < pieces; i += WARP)
        result = OPERATION::join(result, of_pieces[output * pieces + i]);
    result = joined(result);
    if (threadIdx.x % WARP == 0)
        y[output] = REAL(result);
}

// gx = gy / count where x is one of the `count` elements that share the maximum y.  A thread per element: `dense` says
// whether neighbours are neighbours along the sum, or along the outputs.
extern "C" __global__ void share(const REAL* x, const REAL* y, const REAL* counts, const REAL* gy, REAL* gx,
                                 long long outputs, INNER(n), STEPS(kept), STEPS(gy_kept), STEPS(gx_kept),
                                 long long length, INNER(m), STEPS(along), STEPS(gx_along), int dense)
{
    unsigned long long i = thread_index();
    if (i >= outputs * length)
        return;
    unsigned long long row = dense ? i / length : i / outputs;
    unsigned long long output = dense ? row : i - row * outputs, element = dense ? i - row * length : row;
    Place of_output = OUTPUT, of_element = place(element, m1, m2, m3);
    bool chosen = Ties::of(x[OFFSET(of_output, kept) + OFFSET(of_element, along)], y[output]);
    gx[OFFSET(of_output, gx_kept) + OFFSET(of_element, gx_along)]
        = gy[OFFSET(of_output, gy_kept)] * REAL(chosen) / counts[output];
}
