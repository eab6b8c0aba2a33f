// The weight gradient, gw = gy' x, on the main rung: rows are neurons, columns inputs, the depth goes over the images.

#define PAD 4
#include "linear/matrix.cuh"

extern "C" __global__ void BOUNDS
backward_weight(const float* __restrict__ x, const float* __restrict__ gy, float* __restrict__ gw,
                const float* __restrict__ y, int N, int C, int K)
{
    Corner corner(C);
    using LeftSource = Gradient<DEPTH * ROWS / THREADS>;
    using RightSource = Copied<float, DEPTH * COLUMNS / THREADS>;
    AcrossDepth<Left, LeftSource> left(LeftSource(gy, y), K, corner.row, K, N);
    AcrossDepth<Right, RightSource> right({x}, C, corner.column, C, N);
    Sums sums;
    product(sums, left, right, (N + DEPTH - 1) / DEPTH);
    write(sums, corner, gw, K, C, [](float sum, long long) { return sum; });
}
