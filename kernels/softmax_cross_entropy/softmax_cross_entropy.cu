// Softmax and the cross-entropy loss.  x, y (rows, C): a warp per row, its 32 threads side by side along the row.  A
// row comes from memory once; the second and third pass over it find it in the cache.  Sums are taken in double
// precision, in an order that C alone decides: 32 running sums, then the tree of threads.cuh.

#include "gpu/threads.cuh"

// The row of this warp; out of range for the last warps of the grid.
#define ROW (thread_index() / WARP)
#define LANE (threadIdx.x % WARP)

template <class Term>
__device__ inline double row_sum(int C, Term term)
{
    double total = 0;
    for (int j = LANE; j < C; j += WARP)
        total += term(j);
    return warp_sum(total);
}

__device__ inline REAL row_max(const REAL* x, int C)
{
    REAL largest = -1.0 / 0.0;
    for (int j = LANE; j < C; j += WARP)
        largest = larger(largest, x[j]);
    return over_warp(largest, [](REAL a, REAL b) { return larger(a, b); });
}

__device__ inline void log_softmax_row(const REAL* x, REAL* y, int C)
{
    REAL largest = row_max(x, C);
    REAL log_sum = log(REAL(row_sum(C, [=](int j) { return exp(x[j] - largest); })));
    for (int j = LANE; j < C; j += WARP)
        y[j] = (x[j] - largest) - log_sum;
}

extern "C" __global__ void softmax(const REAL* __restrict__ x, REAL* __restrict__ y, long long rows, int C)
{
    long long row = ROW;
    if (row >= rows)
        return;
    x += row * C, y += row * C;
    REAL largest = row_max(x, C), total = row_sum(C, [=](int j) { return exp(x[j] - largest); });
    for (int j = LANE; j < C; j += WARP)
        y[j] = exp(x[j] - largest) / total;
}

extern "C" __global__ void softmax_backward(const REAL* __restrict__ y, const REAL* __restrict__ gy,
                                            REAL* __restrict__ gx, long long rows, int C)
{
    long long row = ROW;
    if (row >= rows)
        return;
    y += row * C, gy += row * C, gx += row * C;
    REAL mean = row_sum(C, [=](int j) { return gy[j] * y[j]; });
    for (int j = LANE; j < C; j += WARP)
        gx[j] = y[j] * (gy[j] - mean);
}

extern "C" __global__ void log_softmax(const REAL* __restrict__ x, REAL* __restrict__ y, long long rows, int C)
{
    long long row = ROW;
    if (row < rows)
        log_softmax_row(x + row * C, y + row * C, C);
}

extern "C" __global__ void log_softmax_backward(const REAL* __restrict__ y, const REAL* __restrict__ gy,
                                                REAL* __restrict__ gx, long long rows, int C)
{
    long long row = ROW;
    if (row >= rows)
        return;
    y += row * C, gy += row * C, gx += row * C;
    REAL total = row_sum(C, [=](int j) { return gy[j]; });
    for (int j = LANE; j < C; j += WARP)
        gx[j] = gy[j] - exp(y[j]) * total;
}

// log_probability = log_softmax(x); losses = the loss of each row.  Thread j % 32 reads back what it wrote itself.
extern "C" __global__ void forward(const REAL* __restrict__ x, const long long* __restrict__ target,
                                   REAL* log_probability, double* __restrict__ losses, long long rows, int C,
                                   REAL label_smoothing)
{
    long long row = ROW;
    if (row >= rows)
        return;
    REAL* y = log_probability + row * C;
    log_softmax_row(x + row * C, y, C);
    long long wanted = target[row];
    double loss = row_sum(C, [=](int j) { return j == wanted ? (label_smoothing - 1.0) * y[j] : 0.0; });
    if (label_smoothing != 0)  // 0 * mean would be NaN where a class is ruled out
        loss -= label_smoothing * row_sum(C, [=](int j) { return y[j]; }) / C;
    if (LANE == 0)
        losses[row] = loss;
}

// loss = the mean of all losses, by one warp.
extern "C" __global__ void mean(const double* __restrict__ losses, REAL* __restrict__ loss, int rows)
{
    double total = row_sum(rows, [=](int i) { return losses[i]; });
    if (LANE == 0)
        *loss = total / rows;
}

extern "C" __global__ void backward(const REAL* __restrict__ log_probability, const long long* __restrict__ target,
                                    const REAL* __restrict__ gloss, REAL* __restrict__ gx, long long rows, int C,
                                    REAL label_smoothing)
{
    long long row = ROW;
    if (row >= rows)
        return;
    log_probability += row * C, gx += row * C;
    long long wanted = target[row];
    REAL scale = *gloss / rows, elsewhere = label_smoothing / C, here = elsewhere + (1 - label_smoothing);
    for (int j = LANE; j < C; j += WARP)
        gx[j] = scale * (exp(log_probability[j]) - (j == wanted ? here : elsewhere));
}
