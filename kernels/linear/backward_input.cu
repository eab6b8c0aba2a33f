// The input gradient, gx = gy w, on the main rung: rows are images, columns inputs, the depth goes over the neurons.
// Where it is cut into parts (parts.cu), gx is the array of parts.

#define PAD 4
#include "linear/matrix.cuh"

extern "C" __global__ void BOUNDS
backward_input(const float* __restrict__ gy, const float* __restrict__ weight, float* __restrict__ gx,
               const float* __restrict__ y, int per_part, int N, int C, int K)
{
    Corner corner(C);
    AlongDepth<Left, Gradient> left({gy, y}, K, corner.row, N, K);
    AcrossDepth<Right, Copied> right({vectors(weight)}, C, corner.column, C, K);
    Sums sums;
    part_of_product(sums, left, right, (K + DEPTH - 1) / DEPTH, per_part);
    write(sums, gx, N, C, [](float sum, long long) { return sum; });
}
