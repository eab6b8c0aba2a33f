// The update of the parameters.

#include "gpu/threads.cuh"

// Product, sum and difference, each rounded by itself.  The compiler would make one fused multiply-add of a product and
// a sum, with one rounding less; here every device is to take the same steps, bit for bit, and time is spent on memory.
__device__ inline float product(float a, float b) { return __fmul_rn(a, b); }
__device__ inline double product(double a, double b) { return __dmul_rn(a, b); }
__device__ inline float sum(float a, float b) { return __fadd_rn(a, b); }
__device__ inline double sum(double a, double b) { return __dadd_rn(a, b); }

// v <- momentum * v - lr * (g + weight_decay * w);   w <- w + v.   One thread per parameter.
extern "C" __global__ void sgd(REAL* __restrict__ w, const REAL* __restrict__ g, REAL* __restrict__ v, long long count,
                               REAL lr, REAL momentum, REAL weight_decay)
{
    long long i = thread_index();
    if (i >= count)
        return;
    REAL weight = w[i], step = product(lr, sum(g[i], product(weight_decay, weight)));
    REAL velocity = sum(product(momentum, v[i]), -step);
    v[i] = velocity;
    w[i] = sum(weight, velocity);
}

// of_pieces[i] = the sum of the squares of piece i of g, by a warp, in double precision.
extern "C" __global__ void squares(const REAL* __restrict__ g, double* __restrict__ of_pieces, long long count,
                                   int piece)
{
    long long warp = thread_index() / WARP, begin = warp * piece, end = min(begin + piece, count);
    if (warp > 0 && begin >= count)
        return;  // the first piece is there even if it is empty
    double total = 0;
    for (long long i = begin + threadIdx.x % WARP; i < end; i += WARP)
        total += double(g[i]) * double(g[i]);
    total = warp_sum(total);
    if (threadIdx.x % WARP == 0)
        of_pieces[warp] = total;
}

// *total = the sum of the pieces' sums, by one warp.
extern "C" __global__ void finish(const double* __restrict__ of_pieces, double* __restrict__ total, long long pieces)
{
    double mine = 0;
    for (long long i = threadIdx.x; i < pieces; i += WARP)
        mine += of_pieces[i];
    mine = warp_sum(mine);
    if (threadIdx.x == 0)
        *total = mine;
}
