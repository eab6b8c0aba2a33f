// Max-pooling.  Forward a thread makes outputs, backward elements of gx: it asks the windows that cover one whether
// they chose it, so that nobody writes where another does, and each sum has one order.  Neighbouring threads take
// neighbouring elements.

#include "pool/strip.cuh"

extern "C" __global__ void max_forward(const REAL* __restrict__ x, REAL* __restrict__ y, PLACE* __restrict__ index,
                                       long long count, int per_block, int H, int W, int P, int Q, WINDOW)
{
    extern __shared__ double memory[];
    Strip strip(count, per_block, {P, Q}, {H, W}, [=](int p) { return window_under(p, R, stride_h, pad_h, H); });
    const REAL* image = strip.bring(x, (REAL*)memory);
    __syncthreads();
    strip.each(1, [=](long long i, long long plane, int p, int q) {
        int top = p * stride_h - pad_h, left = q * stride_w - pad_w;
        Best chosen = best(image + plane + (long long)top * W + left, W, top, left, H, W, R, S);
        y[i] = chosen.value;
        index[i] = chosen.place;
    });
}

extern "C" __global__ void max_backward(const REAL* __restrict__ gy, const PLACE* __restrict__ index,
                                        REAL* __restrict__ gx, long long count, int per_block, int H, int W, int P,
                                        int Q, WINDOW)
{
    extern __shared__ double memory[];
    Strip strip(count, per_block, {H, W}, {P, Q}, [=](int h) { return windows_over(h, R, stride_h, pad_h, P); });
    const REAL* gradient = strip.bring(gy, (REAL*)memory);
    const PLACE* chosen = strip.bring(index, (PLACE*)((REAL*)memory + strip.size));
    __syncthreads();
    strip.each(1, [=](long long i, long long plane, int h, int w) {
        gx[i] = gathered(gradient + plane, chosen + plane, covered(h, w, P, Q, THE_WINDOW), Q, THE_WINDOW);
    });
}
