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

#include "threads.cuh"

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

#define AXES(name) long long name##1, long long name##2, long long name##3
#define STEPS(name) long long name##0, AXES(name)

__device__ inline long long offset(unsigned long long i, AXES(n), STEPS(step))
{
    unsigned long long row = n3 == 1 ? i : i / n3, plane = n2 == 1 ? row : row / n2;
    unsigned long long block = n1 == 1 ? plane : plane / n1;
    return (long long)(i - row * n3) * step3 + (long long)(row - plane * n2) * step2
         + (long long)(plane - block * n1) * step1 + (long long)block * step0;
}

#define OFFSET(i, n, step) offset(i, n##1, n##2, n##3, step##0, step##1, step##2, step##3)

// One running result: of every 32nd element of a piece, from its element `first` on.
__device__ inline double running(const REAL* x, REAL largest, long long first, long long end, AXES(m), STEPS(along))
{
    double result = OPERATION::nothing();
    for (long long i = first; i < end; i += WARP)
        result = OPERATION::join(result, OPERATION::of(x[OFFSET(i, m, along)], largest));
    return result;
}

#define RUNNING(x, largest, first, end) \
    running(x, largest, first, end, m1, m2, m3, along0, along1, along2, along3)

__device__ inline double joined(double mine)
{
    return over_warp(mine, [](double a, double b) { return OPERATION::join(a, b); });
}

#define ARGUMENTS                                                                                                      \
    const REAL *x, REAL *y, double *of_pieces, const REAL *maxima, long long outputs, AXES(n), STEPS(kept),            \
        long long length, AXES(m), STEPS(along), int piece, int pieces

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
    double result = joined(RUNNING(x + OFFSET(output, n, kept), maxima ? maxima[output] : REAL(0), begin + lane, end));
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
        results[threadIdx.y][threadIdx.x] = RUNNING(x + OFFSET(output, n, kept), maxima ? maxima[output] : REAL(0),
                                                    begin + threadIdx.y, end);
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
                                 long long outputs, AXES(n), STEPS(kept), STEPS(gy_kept), STEPS(gx_kept),
                                 long long length, AXES(m), STEPS(along), STEPS(gx_along), int dense)
{
    unsigned long long i = thread_index();
    if (i >= outputs * length)
        return;
    unsigned long long row = dense ? i / length : i / outputs;
    unsigned long long output = dense ? row : i - row * outputs, element = dense ? i - row * length : row;
    bool chosen = Ties::of(x[OFFSET(output, n, kept) + OFFSET(element, m, along)], y[output]);
    gx[OFFSET(output, n, gx_kept) + OFFSET(element, m, gx_along)]
        = gy[OFFSET(output, n, gy_kept)] * REAL(chosen) / counts[output];
}
