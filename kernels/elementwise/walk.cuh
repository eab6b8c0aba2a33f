// The walk over arrays of any strides: which element thread i takes.  See kernels/strides.py.
#pragma once

#include "threads.cuh"

// Parameters of a kernel: the sizes of four axes (all, and the three inner ones), and an array with its four steps.
#define SIZES long long count, long long n1, long long n2, long long n3
#define WALKED(type, x) type *x, long long x##0, long long x##1, long long x##2, long long x##3

struct Place {
    long long at0, at1, at2, at3;
};

#define AT(x) x[p.at0 * x##0 + p.at1 * x##1 + p.at2 * x##2 + p.at3 * x##3]

// Index i, counted with the last axis fastest, as four.
__device__ inline Place place(unsigned long long i, SIZES)
{
    unsigned long long row = i / n3, plane = n2 == 1 ? row : row / n2, block = n1 == 1 ? plane : plane / n1;
    return {static_cast<long long>(block), static_cast<long long>(plane - block * n1),
            static_cast<long long>(row - plane * n2), static_cast<long long>(i - row * n3)};
}

// For each element of this thread: write(p, result(p)).  Dense arrays of any shape are one axis, the usual case: then
// nothing is divided, and all loads of a thread are under way together, before its first store.
template <class Result, class Write>
__device__ inline void walk(SIZES, Result result, Write write)
{
    if (n3 == count) {
        decltype(result(Place())) results[EACH];
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (element(j) < count)
                results[j] = result({0, 0, 0, element(j)});
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (element(j) < count)
                write({0, 0, 0, element(j)}, results[j]);
    } else {
#pragma unroll 1
        for (int j = 0; j < EACH; j++)
            if (element(j) < count) {
                Place p = place(element(j), count, n1, n2, n3);
                write(p, result(p));
            }
    }
}
