// The rectified linear unit.  One thread per element; each element is read and written once, and neighbouring threads
// take neighbouring elements, so that a warp's 32 loads are four sectors of 32 bytes.

extern "C" __global__ void forward(const REAL* __restrict__ x, REAL* __restrict__ y, long long count)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        y[i] = x[i] < 0 ? REAL(0) : x[i];  // NaN is not less than 0 and passes
}

extern "C" __global__ void backward(const REAL* __restrict__ y, const REAL* __restrict__ gy, REAL* __restrict__ gx,
                                    long long count)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        gx[i] = y[i] > 0 ? gy[i] : REAL(0);
}
