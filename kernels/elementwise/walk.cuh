// The walk over arrays of any strides: which element thread i takes.  See kernels/strides.py.
#pragma once

#include "threads.cuh"

// Parameters of a kernel: the sizes of four axes (all, and the three inner ones), and an array with its four steps.
#define SIZES long long count, long long n1, long long n2, long long n3
#define WALKED(type, x) type *x, long long x##0, long long x##1, long long x##2, long long x##3

struct Place {
    long long at0, at1, at2, at3;
};

// Index i, counted with the last axis fastest, as four.  Where the outer axes are of size 1 (the usual case: dense
// arrays are one long axis) nothing is divided; all threads decide alike.
__device__ inline Place place(long long i, SIZES)
{
    if (n3 == count)
        return {0, 0, 0, i};
    unsigned long long row = (unsigned long long)i / n3, at3 = i - row * n3;
    if (n2 * n3 == count)
        return {0, 0, (long long)row, (long long)at3};
    unsigned long long plane = row / n2, block = plane / n1;
    return {(long long)block, (long long)(plane - block * n1), (long long)(row - plane * n2), (long long)at3};
}

// Inside a kernel that has SIZES: what its thread does, if there is an element for it.
#define EACH_ELEMENT                                                                                                   \
    long long i = thread_index();                                                                                      \
    if (i >= count)                                                                                                    \
        return;                                                                                                        \
    Place p = place(i, count, n1, n2, n3);

#define AT(x) x[p.at0 * x##0 + p.at1 * x##1 + p.at2 * x##2 + p.at3 * x##3]
