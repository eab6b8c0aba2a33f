#pragma once

// Ways from global to shared memory, COUNT numbers per thread and tile.  Each has
//
//     fetch(i, to, offset, valid)    the i-th number is from[offset], or 0 unless valid; it is meant for `to`
//     store(i, to)                   the i-th number is there

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

    __device__ void advance(long long numbers) { from += numbers; }
};

// A gradient behind a ReLU counts only where the output was positive, so it has to pass through a register.
template <int COUNT>
struct Masked {
    const float *from, *mask;  // mask: null for none
    float value[COUNT];

    __device__ Masked(const float* from, const float* mask) : from(from), mask(mask) {}

    __device__ void fetch(int i, float*, int offset, bool valid)
    {
        value[i] = valid ? from[offset] : 0;
        if (mask && valid && !(mask[offset] > 0))
            value[i] = 0;
    }

    __device__ void store(int i, float* to) { *to = value[i]; }

    __device__ void advance(long long numbers)
    {
        from += numbers;
        mask = mask ? mask + numbers : mask;
    }
};

__device__ inline void wait_for_copies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}
