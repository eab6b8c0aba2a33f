// Max-pooling.  Forward a thread makes one output, backward one element of gx: it asks the windows that cover it whether
// they chose it, so that nobody writes where another does, and each sum has one order.  Neighbouring threads take
// neighbouring columns.

#include "pool/window.cuh"

extern "C" __global__ void max_forward(const REAL* __restrict__ x, REAL* __restrict__ y, PLACE* __restrict__ index,
                                       long long count, int H, int W, int P, int Q, WINDOW)
{
    long long i = thread_index();
    if (i >= count)
        return;
    Pixel at = pixel(i, P, Q);
    int top = at.row * stride_h - pad_h, left = at.column * stride_w - pad_w;
    int h0 = max(top, 0), h1 = min(top + R, H), w0 = max(left, 0), w1 = min(left + S, W);
    x += at.plane * H * W;
    REAL best = x[(long long)h0 * W + w0];
    int place = (h0 - top) * S + w0 - left;
    for (int h = h0; h < h1; h++)
        for (int w = w0; w < w1; w++) {
            REAL candidate = x[(long long)h * W + w];
            if (wins(candidate, best))
                best = candidate, place = (h - top) * S + w - left;
        }
    y[i] = best;
    index[i] = place;
}

extern "C" __global__ void max_backward(const REAL* __restrict__ gy, const PLACE* __restrict__ index,
                                        REAL* __restrict__ gx, long long count, int H, int W, int P, int Q, WINDOW)
{
    long long i = thread_index();
    if (i >= count)
        return;
    Pixel at = pixel(i, H, W);
    long long plane = at.plane * P * Q;
    gx[i] = gathered(gy + plane, index + plane, at.row, at.column, P, Q, R, S, stride_h, stride_w, pad_h, pad_w);
}
