// Max-pooling.  Forward a thread makes one output, backward one element of gx: it asks the windows that cover it
// whether they chose it, so that nobody writes where another does, and each sum has one order.  Neighbouring threads
// take neighbouring columns.

#include "pool/window.cuh"

extern "C" __global__ void max_forward(const REAL* __restrict__ x, REAL* __restrict__ y, PLACE* __restrict__ index,
                                       long long count, int H, int W, int P, int Q, WINDOW)
{
    long long i = thread_index();
    if (i >= count)
        return;
    Pixel at = pixel(i, P, Q);
    int top = at.row * stride_h - pad_h, left = at.column * stride_w - pad_w;
    Best chosen = best(x + (at.plane * H + top) * W + left, W, top, left, H, W, R, S);
    y[i] = chosen.value;
    index[i] = chosen.place;
}

extern "C" __global__ void max_backward(const REAL* __restrict__ gy, const PLACE* __restrict__ index,
                                        REAL* __restrict__ gx, long long count, int H, int W, int P, int Q, WINDOW)
{
    long long i = thread_index();
    if (i >= count)
        return;
    Pixel at = pixel(i, H, W);
    long long plane = at.plane * P * Q;
    gx[i] = gathered(gy + plane, index + plane, covered(at.row, at.column, P, Q, THE_WINDOW), Q, THE_WINDOW);
}
