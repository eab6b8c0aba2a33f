// Rung 1, naive: the definition, one thread per element of the result.
//
// Each multiply-accumulate loads its two numbers from memory, or from a cache if it is lucky: 8 bytes per FMA, where a
// GPU that is to be kept busy has about 0.1.  Its virtues are that it is short, and written for any REAL.

#include "gpu/threads.cuh"

// y[n,k] = bias[k] + sum over c of weight[k,c] x[n,c].
extern "C" __global__ void forward(const REAL* __restrict__ x, const REAL* __restrict__ weight,
                                   const REAL* __restrict__ bias, REAL* __restrict__ y, int relu, int N, int C, int K)
{
    long long i = thread_index();
    if (i >= (long long)N * K)
        return;
    long long n = i / K, k = i % K;
    REAL sum = 0;
    for (int c = 0; c < C; c++)
        sum += weight[k * C + c] * x[n * C + c];
    sum += bias ? bias[k] : REAL(0);
    y[i] = relu && sum < 0 ? REAL(0) : sum;
}

// gx[n,c] = sum over k of gy[n,k] weight[k,c].
extern "C" __global__ void backward_input(const REAL* __restrict__ gy, const REAL* __restrict__ weight,
                                          REAL* __restrict__ gx, const REAL* __restrict__ y, int N, int C, int K)
{
    long long i = thread_index();
    if (i >= (long long)N * C)
        return;
    long long n = i / C, c = i % C;
    REAL sum = 0;
    for (long long k = 0; k < K; k++)
        if (!y || y[n * K + k] > 0)
            sum += gy[n * K + k] * weight[k * C + c];
    gx[i] = sum;
}

// gw[k,c] = sum over n of gy[n,k] x[n,c].
extern "C" __global__ void backward_weight(const REAL* __restrict__ x, const REAL* __restrict__ gy,
                                           REAL* __restrict__ gw, const REAL* __restrict__ y, int N, int C, int K)
{
    long long i = thread_index();
    if (i >= (long long)K * C)
        return;
    long long k = i / C, c = i % C;
    REAL sum = 0;
    for (long long n = 0; n < N; n++)
        if (!y || y[n * K + k] > 0)
            sum += gy[n * K + k] * x[n * C + c];
    gw[i] = sum;
}

// gb[k] = sum over n of gy[n,k], image after image: neighbouring threads read neighbouring numbers.
extern "C" __global__ void bias_gradient(const REAL* __restrict__ gy, const REAL* __restrict__ y,
                                         REAL* __restrict__ gb, int N, int K)
{
    long long k = thread_index();
    if (k >= K)
        return;
    REAL sum = 0;
    for (long long n = 0; n < N; n++)
        if (!y || y[n * K + k] > 0)
            sum += gy[n * K + k];
    gb[k] = sum;
}
