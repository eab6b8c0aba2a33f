"""Which arrays a kernel writes to: read off its code, where the source does not say."""

import pytest

from tinyconv.emulator.module import Module

CODE = """
#define ARRAY(name) float *name
struct Pair { float *first; };
__device__ __noinline__ void put(float *where) { *where = 1; }

extern "C" __global__ void plain(ARRAY(x), float *y, int n) { if (threadIdx.x < n) y[threadIdx.x] = x[threadIdx.x]; }
extern "C" __global__ void walks(float *x, float *y, int n)
{
    for (int i = 0; i < n; i++, x += 2, y++)
        *y += *x;
}
extern "C" __global__ void chooses(float *x, float *y, float *z, int n) { *(n > 3 ? x : y) = *z; }
extern "C" __global__ void adds(float *x, float *y) { atomicAdd(y, *x); }
extern "C" __global__ void gathers(int *index, float *x, float *y) { y[threadIdx.x] = x[index[threadIdx.x]]; }
extern "C" __global__ void scatters(int *index, float *y) { y[index[threadIdx.x]] = 2; }
extern "C" __global__ void calls(float *x, float *y) { put(y + (int)*x); }
extern "C" __global__ void hides(float *x, Pair *pair) { pair->first = x; }
extern "C" __global__ void copies(float *x, float *y)
{
    __shared__ float there;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;"
                 :: "r"((unsigned)__cvta_generic_to_shared(&there)), "l"(x) : "memory");
    asm volatile("cp.async.wait_all;" ::: "memory");
    y[0] = there;
}
"""
EXPECTED = {"plain": "y", "walks": "y", "chooses": "xy", "adds": "y", "gathers": "y", "scatters": "y", "calls": "y",
            "hides": "x pair", "copies": "y"}


@pytest.fixture(scope="module")
def module() -> Module:
    return Module(CODE)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_it_writes(module: Module, name: str) -> None:
    """Never less than what it does; and not more, where addresses do not go by way of memory."""
    pointers = [p for p in module.kernels[name].parameters if p.name not in ("n",)]
    assert {p.name for p in pointers if p.written} == set(EXPECTED[name].split() if " " in EXPECTED[name] else
                                                          EXPECTED[name])
