// What the fast rungs read: the weights in the order in which their tiles want them, and tables of offsets.  Made anew
// at each launch, in its scratch memory; a few MB where the convolution itself moves hundreds.

#include "conv/phase.cuh"
#include "conv/shape.cuh"
#include "gpu/threads.cuh"

// Forward.  packed[group][d][k] is the weight of filter k of the group at depth d = (c * R + r) * S + s, and
// table[d] = {where that tap is, from the start of a window; the bits of its row and its column}.  Beyond the last tap
// (up to `depth`) and the last filter (up to `pitch`) there are zeros, which add nothing.
//
// weight lies filter by filter, packed depth by depth.  So a block turns a square of 32 x 32 by way of shared memory,
// where a column more than needed puts the numbers of a column in different banks: a warp reads and writes 128 bytes.
extern "C" __global__ void __launch_bounds__(256)
pack_forward(const float* __restrict__ weight, float* __restrict__ packed, int2* __restrict__ table, int depth,
             int pitch, SHAPE)
{
    __shared__ float square[32][33];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, across = pitch / 32;
    int first_k = blockIdx.x % across * 32, first_d = blockIdx.x / across * 32, group = blockIdx.y;
    int filters = K / groups, taps = C / groups * R * S;
    for (int i = warp; i < 32; i += 8) {
        int k = first_k + i, d = first_d + lane;
        square[i][lane] = k < filters && d < taps ? weight[((long long)group * filters + k) * taps + d] : 0;
    }
    __syncthreads();
    for (int i = warp; i < 32 && first_d + i < depth; i += 8)
        packed[((long long)group * depth + first_d + i) * pitch + first_k + lane] = square[lane][i];

    int d = first_d + threadIdx.x;
    if (first_k == 0 && group == 0 && threadIdx.x < 32 && d < depth) {
        int c = d / (R * S), r = d / S % R, s = d % S;
        table[d] = d < taps ? make_int2((c * H + r) * W + s, bits(r, R + s)) : make_int2(0, END);
    }
}

// The input gradient.  packed[phase][group][d][c] is the weight of channel c of the group at depth
// d = (k * taps down + i) * taps across + j, where tap (i, j) of the phase is tap (f + i * stride, f' + j * stride) of
// the filter, and table[phase][d] = {where that output is, from the one of tap (0, 0); the bits of i and j}.
extern "C" __global__ void pack_backward_input(const float* __restrict__ weight, float* __restrict__ packed,
                                               int2* __restrict__ table, int depth, int pitch, SHAPE)
{
    long long at = thread_index();
    if (at >= (long long)stride_h * stride_w * groups * depth * pitch)
        return;
    int c = at % pitch, d = at / pitch % depth, layer = at / ((long long)depth * pitch);
    int phase = layer / groups, group = layer % groups, filters = K / groups, per_group = C / groups;
    int f_h = phase / stride_w, f_w = phase % stride_w;
    Phase down(f_h, H, R, stride_h, padding_h), across(f_w, W, S, stride_w, padding_w);
    int taps = max(1, down.taps * across.taps);
    bool inside = d < filters * down.taps * across.taps;
    int k = d / taps, i = d % taps / max(1, across.taps), j = d % max(1, across.taps);
    long long filter = ((long long)group * filters + k) * per_group + c;
    packed[at] = inside && c < per_group ? weight[(filter * R + f_h + i * stride_h) * S + f_w + j * stride_w] : 0;
    if (c == 0 && group == 0)
        table[phase * depth + d] = inside ? make_int2((k * P - i) * Q - j, bits(i, R + j)) : make_int2(0, END);
}

// The weight gradient.  table[pixel of y] = {where its window starts, from the start of an image; the bits of the rows
// and the columns of taps that it does not see}.
extern "C" __global__ void windows(int2* __restrict__ table, SHAPE)
{
    int at = thread_index();
    if (at >= P * Q)
        return;
    int h = at / Q * stride_h - padding_h, w = at % Q * stride_w - padding_w;
    table[at] = make_int2(h * W + w, overhang(0, R, h, 1, H) | overhang(R, S, w, 1, W));
}
