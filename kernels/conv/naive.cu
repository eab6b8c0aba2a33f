// Rung 1, naive: the definition, one thread per element of the result.
//
// Each multiply-accumulate loads its two numbers from memory, or from a cache if it is lucky: 8 bytes per FMA, where a
// GPU that is to be kept busy has about 0.1.  Its virtues are that it is short, and written for any REAL.

#include "conv/shape.cuh"
#include "gpu/threads.cuh"

// y[n,k,p,q] = bias[k] + sum over c,r,s of weight[k,c,r,s] x[n, c0+c, p*stride-padding+r, q*stride-padding+s].
extern "C" __global__ void forward(const REAL* __restrict__ x, const REAL* __restrict__ weight,
                                   const REAL* __restrict__ bias, REAL* __restrict__ y, int relu, SHAPE)
{
    long long i = thread_index();
    if (i >= (long long)N * K * P * Q)
        return;
    int q = i % Q, p = i / Q % P;
    long long k = i / ((long long)P * Q) % K, n = i / ((long long)K * P * Q);
    int per_group = C / groups, c0 = k / (K / groups) * per_group;
    REAL sum = 0;
    for (int c = 0; c < per_group; c++)
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++) {
                int h = p * stride_h - padding_h + r, w = q * stride_w - padding_w + s;
                if (0 <= h && h < H && 0 <= w && w < W)
                    sum += weight[((k * per_group + c) * R + r) * S + s] * x[((n * C + c0 + c) * H + h) * W + w];
            }
    sum += bias ? bias[k] : REAL(0);
    y[i] = relu && sum < 0 ? REAL(0) : sum;
}

// gx[n,c,h,w] = sum over k,r,s and the p,q that see (h,w) through tap (r,s) of weight[k,c,r,s] gy[n,k,p,q].
extern "C" __global__ void backward_input(const REAL* __restrict__ gy, const REAL* __restrict__ weight,
                                          REAL* __restrict__ gx, const REAL* __restrict__ y, SHAPE)
{
    long long i = thread_index();
    if (i >= (long long)N * C * H * W)
        return;
    int w = i % W, h = i / W % H, channel = i / ((long long)H * W) % C;
    long long n = i / ((long long)C * H * W);
    int per_group = C / groups, filters = K / groups, c = channel % per_group, k0 = channel / per_group * filters;
    REAL sum = 0;
    for (long long k = k0; k < k0 + filters; k++)
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++) {
                int down = h + padding_h - r, across = w + padding_w - s;
                if (down < 0 || across < 0 || down % stride_h || across % stride_w)
                    continue;
                int p = down / stride_h, q = across / stride_w;
                if (p >= P || q >= Q)
                    continue;
                long long at = ((n * K + k) * P + p) * Q + q;
                if (!y || y[at] > 0)
                    sum += weight[((k * per_group + c) * R + r) * S + s] * gy[at];
            }
    gx[i] = sum;
}

// gw[k,c,r,s] = sum over n,p,q of gy[n,k,p,q] x[n, c0+c, p*stride-padding+r, q*stride-padding+s].
extern "C" __global__ void backward_weight(const REAL* __restrict__ x, const REAL* __restrict__ gy,
                                           REAL* __restrict__ gw, const REAL* __restrict__ y, SHAPE)
{
    long long i = thread_index();
    int per_group = C / groups;
    if (i >= (long long)K * per_group * R * S)
        return;
    int s = i % S, r = i / S % R, c = i / (R * S) % per_group, k = i / ((long long)per_group * R * S);
    int channel = k / (K / groups) * per_group + c;
    REAL sum = 0;
    for (long long n = 0; n < N; n++)
        for (int p = 0; p < P; p++)
            for (int q = 0; q < Q; q++) {
                int h = p * stride_h - padding_h + r, w = q * stride_w - padding_w + s;
                long long at = ((n * K + k) * P + p) * Q + q;
                if (0 <= h && h < H && 0 <= w && w < W && (!y || y[at] > 0))
                    sum += gy[at] * x[((n * C + channel) * H + h) * W + w];
            }
    gw[i] = sum;
}
