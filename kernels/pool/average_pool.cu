// Average pooling, with windows that slide and with bins that adapt.  The two differ in one thing: which pixels an
// output covers along an axis, and which outputs cover a pixel.
//
// Forward an output has one thread, or where windows are large, a warp with its threads side by side along a row of the
// window.  Sums are in double precision: a window may be a whole image.  Backward a thread makes one element of gx.

#include "pool/strip.cuh"

struct Cover {
    Range pixels;
    int count;  // what their sum is divided by
};

struct Sliding {
    int kernel, stride, pad, size, outputs;
    bool count_include_pad;

    __device__ Cover cover(int output) const
    {
        int begin = output * stride - pad;
        Range pixels = window_under(output, kernel, stride, pad, size);
        return {pixels, (count_include_pad ? min(begin + kernel, size + pad) - begin : pixels.to - pixels.from)};
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
        return {pixels, pixels.to - pixels.from};
    }

    __device__ Range covered(int position) const { return part(position, outputs, size); }
};

template <class Axis>
__device__ void forward(const REAL* x, REAL* y, long long count, int per_block, int lanes, Axis rows, Axis columns)
{
    extern __shared__ double memory[];
    Plane image{int(rows.size), int(columns.size)}, outputs{int(rows.outputs), int(columns.outputs)};
    Strip strip(count, per_block, outputs, image, [=](int p) { return rows.cover(p).pixels; });
    const REAL* pixels = strip.bring(x, (REAL*)memory);
    __syncthreads();
    strip.each(lanes, [=](long long i, long long plane, int p, int q) {
        int lane = threadIdx.x % lanes;
        Cover down = rows.cover(p), across = columns.cover(q);
        double total = 0;
        for (int h = down.pixels.from; h < down.pixels.to; h++)
            for (int w = across.pixels.from + lane; w < across.pixels.to; w += lanes)
                total += pixels[plane + (long long)h * image.columns + w];
        if (lanes == WARP)
            total = warp_sum(total);
        if (lane == 0)
            y[i] = total / ((double)down.count * across.count);
    });
}

template <class Axis>
__device__ void backward(const REAL* gy, REAL* gx, long long count, int per_block, Axis rows, Axis columns)
{
    extern __shared__ double memory[];
    Plane image{int(rows.size), int(columns.size)}, outputs{int(rows.outputs), int(columns.outputs)};
    Strip strip(count, per_block, image, outputs, [=](int h) { return rows.covered(h); });
    const REAL* gradient = strip.bring(gy, (REAL*)memory);
    __syncthreads();
    strip.each(1, [=](long long i, long long plane, int h, int w) {
        Range down = rows.covered(h), across = columns.covered(w);
        REAL total = 0;
        for (int p = down.from; p < down.to; p++)
            for (int q = across.from; q < across.to; q++)
                total += gradient[plane + (long long)p * outputs.columns + q]
                         / (REAL(rows.cover(p).count) * columns.cover(q).count);
        gx[i] = total;
    });
}

#define SLIDING                                                                                                        \
    Sliding rows = {R, stride_h, pad_h, H, P, count_include_pad != 0};                                                 \
    Sliding columns = {S, stride_w, pad_w, W, Q, count_include_pad != 0};

extern "C" __global__ void average_forward(const REAL* __restrict__ x, REAL* __restrict__ y, long long count,
                                           int per_block, int H, int W, int P, int Q, WINDOW, int count_include_pad,
                                           int lanes)
{
    SLIDING
    forward(x, y, count, per_block, lanes, rows, columns);
}

extern "C" __global__ void average_backward(const REAL* __restrict__ gy, REAL* __restrict__ gx, long long count,
                                            int per_block, int H, int W, int P, int Q, WINDOW, int count_include_pad)
{
    SLIDING
    backward(gy, gx, count, per_block, rows, columns);
}

extern "C" __global__ void adaptive_average_forward(const REAL* __restrict__ x, REAL* __restrict__ y, long long count,
                                                    int per_block, int H, int W, int P, int Q, int lanes)
{
    forward(x, y, count, per_block, lanes, Adaptive{H, P}, Adaptive{W, Q});
}

extern "C" __global__ void adaptive_average_backward(const REAL* __restrict__ gy, REAL* __restrict__ gx,
                                                     long long count, int per_block, int H, int W, int P, int Q)
{
    backward(gy, gx, count, per_block, Adaptive{H, P}, Adaptive{W, Q});
}
