// Numbers of elements as places on four axes, and places as offsets, for arrays of any strides: see strides.py.
#pragma once

// Parameters of a kernel: the sizes of the three inner axes, and an array's steps along all four.
#define INNER(n) long long n##1, long long n##2, long long n##3
#define STEPS(x) long long x##0, INNER(x)

struct Place {
    long long at0, at1, at2, at3;
};

// Number i, counted with the last axis fastest.  64-bit division takes a hundred instructions (for numbers below 2^32
// the compiler branches to a short one), so where an axis is missing there is none.
__device__ inline Place place(unsigned long long i, INNER(n))
{
    long long row = n3 == 1 ? i : i / n3, plane = n2 == 1 ? row : (unsigned long long)row / n2;
    long long block = n1 == 1 ? plane : (unsigned long long)plane / n1;
    return {block, plane - block * n1, row - plane * n2, (long long)i - row * n3};
}

// The place `by` numbers on: added digit by digit with carries, as on an odometer, and nothing is divided.
__device__ inline Place advanced(Place at, Place by, INNER(n))
{
    at.at3 += by.at3;
    long long carry = at.at3 >= n3;
    at.at3 -= carry * n3, at.at2 += by.at2 + carry;
    carry = at.at2 >= n2;
    at.at2 -= carry * n2, at.at1 += by.at1 + carry;
    carry = at.at1 >= n1;
    at.at1 -= carry * n1, at.at0 += by.at0 + carry;
    return at;
}

__device__ inline long long offset(Place p, STEPS(step))
{
    return p.at0 * step0 + p.at1 * step1 + p.at2 * step2 + p.at3 * step3;
}
