// Average pooling, with windows that slide and with bins that adapt.  The two differ in one thing: which pixels an
// output covers along an axis, and which outputs cover a pixel.
//
// Forward an output has one thread, or where windows are large, a warp with its threads side by side along a row of the
// window.  Sums are in double precision: a window may be a whole image.  Backward a thread makes one element of gx.

#include "pool/window.cuh"

struct Cover {
    int from, to, count;  // these pixels of the image; `count` is what their sum is divided by
};

struct Sliding {
    int kernel, stride, pad, size, outputs;
    bool count_include_pad;

    __device__ Cover cover(int output) const
    {
        int begin = output * stride - pad, from = max(begin, 0), to = min(begin + kernel, size);
        return {from, to, count_include_pad ? min(begin + kernel, size + pad) - begin : to - from};
    }

    __device__ Range covered(int position) const { return windows_over(position, kernel, stride, pad, outputs); }
};

struct Adaptive {
    long long size, outputs;

    // Rows floor(p H / P) to ceil((p + 1) H / P) - 1: mirrored, the outputs that have a row are cut out the same way.
    static __device__ Range part(long long i, long long from, long long into)
    {
        return {int(i * from / into), int(((i + 1) * from + into - 1) / into)};
    }

    __device__ Cover cover(int output) const
    {
        Range pixels = part(output, size, outputs);
        return {pixels.from, pixels.to, pixels.to - pixels.from};
    }

    __device__ Range covered(int position) const { return part(position, outputs, size); }
};

template <class Axis>
__device__ void forward(const REAL* x, REAL* y, long long count, Axis rows, Axis columns, int lanes)
{
    unsigned long long thread = thread_index(), i = thread / lanes;
    if (i >= count)
        return;
    int lane = thread - i * lanes;
    Pixel at = pixel(i, rows.outputs, columns.outputs);
    Cover down = rows.cover(at.row), across = columns.cover(at.column);
    x += at.plane * rows.size * columns.size;
    double total = 0;
    for (int h = down.from; h < down.to; h++)
        for (int w = across.from + lane; w < across.to; w += lanes)
            total += x[(long long)h * columns.size + w];
    if (lanes == WARP)
        total = warp_sum(total);
    if (lane == 0)
        y[i] = total / ((double)down.count * across.count);
}

template <class Axis>
__device__ void backward(const REAL* gy, REAL* gx, long long count, Axis rows, Axis columns)
{
    long long i = thread_index();
    if (i >= count)
        return;
    Pixel at = pixel(i, rows.size, columns.size);
    gy += at.plane * rows.outputs * columns.outputs;
    Range down = rows.covered(at.row), across = columns.covered(at.column);
    REAL total = 0;
    for (int p = down.from; p < down.to; p++)
        for (int q = across.from; q < across.to; q++)
            total += gy[(long long)p * columns.outputs + q] / (REAL(rows.cover(p).count) * columns.cover(q).count);
    gx[i] = total;
}

#define SLIDING                                                                                                        \
    Sliding rows = {R, stride_h, pad_h, H, P, count_include_pad != 0};                                                 \
    Sliding columns = {S, stride_w, pad_w, W, Q, count_include_pad != 0};

extern "C" __global__ void average_forward(const REAL* __restrict__ x, REAL* __restrict__ y, long long count, int H,
                                           int W, int P, int Q, WINDOW, int count_include_pad, int lanes)
{
    SLIDING
    forward(x, y, count, rows, columns, lanes);
}

extern "C" __global__ void average_backward(const REAL* __restrict__ gy, REAL* __restrict__ gx, long long count, int H,
                                            int W, int P, int Q, WINDOW, int count_include_pad)
{
    SLIDING
    backward(gy, gx, count, rows, columns);
}

extern "C" __global__ void adaptive_average_forward(const REAL* __restrict__ x, REAL* __restrict__ y, long long count,
                                                    int H, int W, int P, int Q, int lanes)
{
    forward(x, y, count, Adaptive{H, P}, Adaptive{W, Q}, lanes);
}

extern "C" __global__ void adaptive_average_backward(const REAL* __restrict__ gy, REAL* __restrict__ gx,
                                                     long long count, int H, int W, int P, int Q)
{
    backward(gy, gx, count, Adaptive{H, P}, Adaptive{W, Q});
}
