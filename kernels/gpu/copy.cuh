#pragma once

// How numbers get from global to shared memory.

// `value`, computed once.  The compiler, short of registers, would rather compute it anew in each round of the loop.
template <class T>
__device__ T kept(T value)
{
    if constexpr (sizeof(T) == 8)
        asm volatile("" : "+l"(value));
    else
        asm volatile("" : "+r"(value));
    return value;
}

// The same for where something is in shared memory.  (A pointer of 64 bits would no longer be known to lead there.)
template <class T>
__device__ T* kept_shared(T* pointer)
{
    unsigned address = kept(unsigned(__cvta_generic_to_shared(pointer)));
    return static_cast<T*>(__cvta_shared_to_generic(address));
}

// Ways from global to shared memory, COUNT numbers per thread and tile.  Each has
//
//     fetch(i, to, offset, valid)    the i-th number is here[offset], or 0 unless valid; it is meant for `to`
//     arrive()                       to be called once `wait_for_copies` has returned, and before
//     store(i, to)                   the i-th number is there
//     advance(count)                 here is `count` numbers on
//     move_to(image, bytes, at)      here is number `at` of that image, of so many bytes each

// From sm_80 on, a number travels to shared memory on its own while its thread goes on (cp.async).  Before that it
// travels by way of a register: the load is issued here, the store after the multiplications that it overlaps with.
template <class T, int COUNT_>
struct Copied {
    static constexpr int COUNT = COUNT_;
    const T* from;
    const T* here = from;

#if __CUDA_ARCH__ >= 800
    __device__ void fetch(int, T* to, int offset, bool valid)
    {
        unsigned shared = __cvta_generic_to_shared(to);
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     :: "r"(shared), "l"(here + offset), "n"(sizeof(T)), "r"(valid ? int(sizeof(T)) : 0));
    }

    __device__ void store(int, T*) {}
#else
    T value[COUNT];

    __device__ void fetch(int i, T*, int offset, bool valid) { value[i] = valid ? here[offset] : T{}; }
    __device__ void store(int i, T* to) { *to = value[i]; }
#endif

    __device__ void arrive() {}
    __device__ void advance(long long count) { here += count; }

    // Two steps, which are two instructions: an offset that is worked out first is six.
    __device__ void move_to(unsigned image, unsigned bytes, int at)
    {
        const char* start = reinterpret_cast<const char*>(from) + (unsigned long long)image * bytes;
        here = kept(reinterpret_cast<const T*>(kept(start)) + at);
    }
};

// A gradient behind a ReLU counts only where the output was positive.  The outputs come along, to a strip of shared
// memory where each thread finds its own again, and strike out the numbers that do not count.
template <class T, int COUNT_>
struct Masked {
    static constexpr int COUNT = COUNT_;
    Copied<T, COUNT> numbers, outputs;
    T* strip = own_strip();
    T seen[COUNT];

    static __device__ T* own_strip()
    {
        __shared__ T strip[COUNT][THREADS];
        return kept_shared(&strip[0][threadIdx.x]);
    }

    __device__ T* output(int i) const { return strip + i * THREADS; }

    __device__ void fetch(int i, T* to, int offset, bool valid)
    {
        numbers.fetch(i, to, offset, valid);
        outputs.fetch(i, output(i), offset, valid);
    }

    // All loads come before the first store: after one, the compiler could not move them up.
    __device__ void arrive()
    {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            outputs.store(i, output(i));
            seen[i] = *output(i);
        }
    }

    __device__ void store(int i, T* to)
    {
        numbers.store(i, to);
        strike(seen[i], to);
    }

    // *to = 0 unless seen > 0.  Of an `if` the compiler makes a branch, behind which it works out the address anew.
    static __device__ void strike(float seen, float* to)
    {
        unsigned shared = __cvta_generic_to_shared(to);
        asm volatile("{ .reg .pred counts; setp.gt.f32 counts, %1, 0f00000000; @!counts st.shared.f32 [%0], %2; }"
                     :: "r"(shared), "f"(seen), "f"(0.0f) : "memory");
    }

    static __device__ void strike(float4 seen, float4* to)
    {
        strike(seen.x, &to->x);
        strike(seen.y, &to->y);
        strike(seen.z, &to->z);
        strike(seen.w, &to->w);
    }

    __device__ void advance(long long count)
    {
        numbers.advance(count);
        outputs.advance(count);
    }

    __device__ void move_to(unsigned image, unsigned bytes, int at)
    {
        numbers.move_to(image, bytes, at);
        outputs.move_to(image, bytes, at);
    }
};

// The gradient gy, behind a ReLU that made y where the host says so by MASKED.
template <class T, int COUNT>
#if MASKED
struct Gradient : Masked<T, COUNT> {
    __device__ Gradient(const T* gy, const T* y) : Masked<T, COUNT>{{gy}, {y}} {}
};
#else
struct Gradient : Copied<T, COUNT> {
    __device__ Gradient(const T* gy, const T*) : Copied<T, COUNT>{gy} {}
};
#endif

// The numbers of this thread have arrived, the i-th at place(i).
template <class Way, class Place>
__device__ void store_all(Way& source, Place place)
{
    source.arrive();
#pragma unroll
    for (int i = 0; i < Way::COUNT; i++)
        source.store(i, place(i));
}

__device__ inline void wait_for_copies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}
