// The weight gradient, gw = gy' x, on the main rung: rows are neurons, columns inputs, the depth goes over the images.
// Where it is cut into parts (parts.cu), gw is the array of parts.

#define PAD 4
#include "linear/matrix.cuh"

extern "C" __global__ void BOUNDS
backward_weight(const float* __restrict__ x, const float* __restrict__ gy, float* __restrict__ gw,
                const float* __restrict__ y, int per_part, int N, int C, int K)
{
    Corner corner(C);
    AcrossDepth<Left, Gradient> left({vectors(gy), vectors(y)}, K, corner.row, K, N);
    AcrossDepth<Right, Copied> right({vectors(x)}, C, corner.column, C, N);
    Sums sums;
    part_of_product(sums, left, right, (N + DEPTH - 1) / DEPTH, per_part);
    write(sums, gw, K, C, [](float sum, long long) { return sum; });
}
