// The walk over arrays of any strides: a kernel says what it does for one element.
#pragma once

#include "gpu/place.cuh"
#include "gpu/threads.cuh"

// Parameters of a kernel: how many elements and on which axes; and an array with its steps.
#define SIZES long long count, INNER(n)
#define WALKED(type, x) type *x, STEPS(x)

// The element of x at place p.
#define AT(x) x[offset(p, x##0, x##1, x##2, x##3)]

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
                Place p = place(element(j), n1, n2, n3);
                write(p, result(p));
            }
    }
}
