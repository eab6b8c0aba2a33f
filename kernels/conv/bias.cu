// The gradient of the bias: gb[k] = sum over n,p,q of gy[n,k,p,q], and only where y > 0 if y is given.
//
// A block for each filter.  Its threads go through the pixels of the filter's images side by side, so that a warp reads
// 128 bytes in a row, each number once; then the sums of pairs of threads, of pairs of pairs, and so on: an order that
// depends on the number of threads only, which is fixed.

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS)
bias_gradient(const REAL* __restrict__ gy, const REAL* __restrict__ y, REAL* __restrict__ gb, int N, int K, int pixels)
{
    __shared__ REAL sums[THREADS];
    int k = blockIdx.x, i = threadIdx.x;
    REAL sum = 0;
    for (int n = 0; n < N; n++) {
        long long image = ((long long)n * K + k) * pixels;
        for (; i < pixels; i += THREADS)
            if (!y || y[image + i] > 0)
                sum += gy[image + i];
        i -= pixels;  // where this thread's stride lands in the next image
    }
    sums[threadIdx.x] = sum;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        gb[k] = sums[0];
}
