#pragma once

// What every kernel of this folder is told, in this order.  The letters are those of the lesson.  Tensors may have more
// than 2^31 elements, one image of them may not: offsets are 64-bit up to an image, and int within it.
#define SHAPE                                                                                                 \
    int N, int C, int H, int W, int K, int P, int Q, int R, int S, int stride_h, int stride_w, int padding_h, \
        int padding_w, int groups
#define SHAPE_NAMES N, C, H, W, K, P, Q, R, S, stride_h, stride_w, padding_h, padding_w, groups

// Two bits for a tap: of its row, and of its column, which come after all rows.
__device__ inline unsigned bits(int row, int column) { return 1u << row | 1u << column; }

constexpr unsigned END = 1u << 31;  // the bit of entries of a table beyond the last tap: outside of every window

// What a window does not see, as such bits: for i from 0 to count - 1, bit first + i is set if position + i * step is
// outside 0 .. size - 1.
__device__ inline unsigned overhang(int first, int count, int position, int step, int size)
{
    unsigned bits = 0;
    for (int i = 0; i < count; i++)
        bits |= unsigned(position + i * step < 0 || position + i * step >= size) << (first + i);
    return bits;
}
