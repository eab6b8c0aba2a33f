#pragma once

// Ways from global to shared memory, COUNT numbers per thread and tile.  Each has
//
//     fetch(i, to, offset, valid)    the i-th number is from[offset], or 0 unless valid; it is meant for `to`
//     store(i, to)                   the i-th number is there; call it once `wait_for_copies` has returned

// From sm_80 on, a number travels to shared memory on its own while its thread goes on (cp.async).  Before that it
// travels by way of a register: the load is issued here, the store after the multiplications that it overlaps with.
template <class T, int COUNT>
struct Copied {
    const T* from;

#if __CUDA_ARCH__ >= 800
    __device__ void fetch(int, T* to, int offset, bool valid)
    {
        unsigned shared = __cvta_generic_to_shared(to);
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     :: "r"(shared), "l"(from + offset), "n"(sizeof(T)), "r"(valid ? int(sizeof(T)) : 0));
    }

    __device__ void store(int, T*) {}
#else
    T value[COUNT];

    __device__ void fetch(int i, T*, int offset, bool valid) { value[i] = valid ? from[offset] : T{}; }
    __device__ void store(int i, T* to) { *to = value[i]; }
#endif

    __device__ void advance(long long count) { from += count; }
};

// A gradient behind a ReLU counts only where the output was positive.  The outputs come along, to a strip of shared memory
// where each thread finds its own again, and strike out the numbers that do not count.
template <int COUNT>
struct Masked {
    Copied<float, COUNT> numbers, outputs;

    __device__ float* output(int i)
    {
        __shared__ float strip[COUNT][THREADS];
        return &strip[i][threadIdx.x];
    }

    __device__ void fetch(int i, float* to, int offset, bool valid)
    {
        numbers.fetch(i, to, offset, valid);
        outputs.fetch(i, output(i), offset, valid);
    }

    __device__ void store(int i, float* to)
    {
        numbers.store(i, to);
        outputs.store(i, output(i));
        if (!(*output(i) > 0))
            *to = 0;
    }

    __device__ void advance(long long count)
    {
        numbers.advance(count);
        outputs.advance(count);
    }
};

// The gradient gy, behind a ReLU that made y where the host says so by MASKED.
template <int COUNT>
#if MASKED
struct Gradient : Masked<COUNT> {
    __device__ Gradient(const float* gy, const float* y) : Masked<COUNT>{{gy}, {y}} {}
};
#else
struct Gradient : Copied<float, COUNT> {
    __device__ Gradient(const float* gy, const float*) : Copied<float, COUNT>{gy} {}
};
#endif

__device__ inline void wait_for_copies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}
