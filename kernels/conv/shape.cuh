#pragma once

// What every kernel of this folder is told, in this order.  The letters are those of the lesson.  Tensors may have more
// than 2^31 elements, one image of them may not: offsets are 64-bit up to an image, and int within it.
#define SHAPE                                                                                                           \
    int N, int C, int H, int W, int K, int P, int Q, int R, int S, int stride_h, int stride_w, int padding_h,           \
        int padding_w, int groups
