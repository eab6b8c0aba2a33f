"""Check mode catches each kind of bug, and says where; the kernel without the bug passes in every order of threads.

A pair of kernels is one text: BUG marks lines that the correct twin does not have, OK lines that the wrong one lacks.
Lines are counted from 1, the first being the kernel's head.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tinyconv.emulator.module import EmulatorError, Module, Region

from .runner import ORDERS, kernel, launch

pytestmark = pytest.mark.usefixtures("tools")


@dataclass(frozen=True)
class Bug:
    """A body of ``kernel(const float* x, float* y, unsigned char* bytes, int* count, int n)`` with a bug."""

    name: str
    body: str
    message: str  # what the error must match
    lines: tuple[int, ...]  # one of which it must name: which of two racing accesses comes first is chance
    grid: int = 1
    block: int = 64
    shared: int = 0

    def kernel(self, wrong: bool, arch: int = 80) -> Any:
        dropped, kept = ("OK", "BUG") if wrong else ("BUG", "OK")
        lines = ["" if re.match(rf"\s*{dropped}:", line) else re.sub(rf"^\s*{kept}:", "", line)
                 for line in self.body.strip("\n").split("\n")]
        head = 'extern "C" __global__ void kernel(const float* x, float* y, unsigned char* bytes, int* count, int n) {'
        return kernel("\n".join([head, *lines, "}"]), arch=arch)

    def launch(self, kernel: Any, **options: Any) -> np.ndarray:
        x, y = np.arange(64, dtype=np.float32), np.zeros(256, np.float32)
        launch(kernel, self.grid, self.block, x, y, np.zeros(64, np.uint8), np.zeros(4, np.int32), np.int32(64),
               shared=self.shared, **options)
        return y


BUGS = [
    Bug("read_after_write", """
    __shared__ float tile[64]; int i = threadIdx.x;
    tile[i] = x[i];
    OK: __syncthreads();
    y[i] = tile[(i + 33) % 64];""", "(data race|uninitialised).*shared memory", (3, 5)),
    Bug("write_after_read", """
    __shared__ float tile[64]; int i = threadIdx.x;
    for (int k = 0; k < 3; ++k) {
        tile[i] = x[i] + k;
        __syncthreads();
        y[i] = tile[63 - i];
        OK: __syncthreads();
    }""", "data race.*shared memory", (4, 6)),
    Bug("write_after_write", """
    int i = threadIdx.x;
    BUG: y[i / 2] = x[i];
    OK: if (i % 2) y[i / 2] = x[i];""",
        "data race: this thread writes byte .* of y, which thread .* wrote at test.cu:3", (3,)),
    Bug("between_blocks", """
    int i = threadIdx.x + blockIdx.x * 64;
    BUG: y[i % 100] = i;
    OK: y[i] = i;""", r"data race: this thread writes byte .* of y, which thread .* of block \(.,0,0\) wrote", (3,),
    grid=2),
    Bug("no_atomic", """
    BUG: *count = *count + 1;
    OK: atomicAdd(count, 1);""", "data race.*count", (2,)),
    Bug("atomic_and_plain", """
    atomicAdd(count, 1);
    OK: __syncthreads();
    if (threadIdx.x == 9) y[0] = *count;""", "data race.*count", (2, 4)),
    Bug("warp_without_syncwarp", """
    __shared__ float tile[32]; int i = threadIdx.x;
    tile[i] = x[i];
    OK: __syncwarp();
    y[i] = tile[31 - i];""", "(data race|uninitialised).*shared memory", (3, 5), block=32),
    Bug("shuffle_does_not_order_memory", """
    __shared__ float tile[32]; int i = threadIdx.x;
    tile[i] = __shfl_sync(~0u, x[i], 3);
    OK: __syncwarp();
    float other = __shfl_sync(~0u, x[i], 5);
    y[i] = tile[31 - i] + other;""", "data race.*shared memory", (3, 6), block=32),
    Bug("syncwarp_orders_only_its_own_warp", """
    __shared__ float tile[64]; int i = threadIdx.x;
    tile[i] = x[i];
    BUG: __syncwarp();
    OK: __syncthreads();
    y[i] = tile[63 - i];""", "(data race|uninitialised).*shared memory", (3, 6)),
    Bug("last_block_without_fence", """
    __shared__ bool last;
    if (threadIdx.x == 0) {
        y[blockIdx.x] = 1 + blockIdx.x;
        OK: __threadfence();
        last = atomicAdd(count, 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 5) y[200] = y[0] + y[1] + y[2];""", "data race.*of y, which thread", (9,), grid=3),
    Bug("fence_of_a_block_between_blocks", """
    if (threadIdx.x == 0) {
        y[blockIdx.x] = 1 + blockIdx.x;
        BUG: __threadfence_block();
        OK: __threadfence();
        if (atomicAdd(count, 1) == gridDim.x - 1) y[200] = y[0] + y[1] + y[2];
    }""", "data race.*of y, which thread", (6,), grid=3),
    Bug("atomic_of_a_block_between_blocks", """
    BUG: atomicAdd_block(count, 1);
    OK: atomicAdd(count, 1);
    y[threadIdx.x + 64 * blockIdx.x] = 1;""",
        "atomically updates byte 0 of count, which thread .* of block .*: an atomic of a block's scope is none",
        (2,), grid=3),
    Bug("last_warp_of_a_block", """
    if (threadIdx.x % 32 == 0) {
        y[blockIdx.x * 2 + threadIdx.x / 32] = 1 + threadIdx.x;
        OK: __threadfence_block();
        if (atomicAdd_block(count + blockIdx.x, 1)) y[100 + blockIdx.x] = y[blockIdx.x * 2] + y[blockIdx.x * 2 + 1];
    }""", "data race.*of y, which thread", (5,), grid=3),
    Bug("shuffle_does_not_tell_of_other_blocks", """
    int before = 0;
    if (threadIdx.x == 0) {
        y[blockIdx.x] = 1 + blockIdx.x;
        __threadfence();
        before = atomicAdd(count, 1);
    }
    before = __shfl_sync(~0u, before, 0);
    OK: __syncwarp();
    if (before == 2 && threadIdx.x == 5) y[200] = y[0] + y[1] + y[2];""", "data race.*of y, which thread", (10,),
        grid=3, block=32),
    Bug("lane_that_publishes_what_its_warp_wrote", """
    int before = 0, i = threadIdx.x;
    y[blockIdx.x * 32 + i] = i;
    OK: __syncwarp();
    if (i == 0) {
        __threadfence();
        before = atomicAdd(count, 1);
    }
    before = __shfl_sync(~0u, before, 0);
    __syncwarp();
    if (before == 2 && i == 5) y[200] = y[7] + y[39] + y[71];""", "data race.*of y, which thread", (11,),
        grid=3, block=32),
    Bug("constant_after_a_write", """
    int i = threadIdx.x;
    y[i] = x[i];
    __syncthreads();
    BUG: y[i + 64] = __ldg(y + 63 - i);
    OK: y[i + 64] = *(volatile float*)(y + 63 - i);""", "not constant: this thread (reads|writes) byte .* of y",
        (3, 5)),
    Bug("constant_before_a_write", """
    int i = threadIdx.x;
    BUG: float v = __ldg(y + i);
    OK: float v = *(volatile float*)(y + i);
    __syncthreads();
    y[63 - i] = v + 1;""",
        r"not constant: this thread writes .* of y, which .* read as constant \(ld.global.nc.* at test.cu:3", (6,)),
    Bug("neighbouring_bytes", """
    int i = threadIdx.x;
    bytes[i] = i;
    BUG: if (i < 63) y[i] = bytes[i + 1];
    OK: y[i] = bytes[i];""", "data race.*bytes", (3, 4)),
    Bug("cp_async_without_wait", """
    __shared__ float tile[64]; int i = threadIdx.x;
    unsigned to = (unsigned)__cvta_generic_to_shared(tile + i);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.commit_group;" :: "r"(to), "l"(x + i));
    OK: asm volatile("cp.async.wait_group 0;");
    __syncthreads();
    y[i] = tile[63 - i];""", "data race.*in flight, issued at test.cu:4", (7,)),
    Bug("cp_async_without_barrier", """
    __shared__ float tile[64]; int i = threadIdx.x;
    unsigned to = (unsigned)__cvta_generic_to_shared(tile + i);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" :: "r"(to), "l"(x + i));
    asm volatile("cp.async.wait_all;");
    OK: __syncthreads();
    y[i] = tile[63 - i];""", "(data race|uninitialised).*shared memory", (4, 7)),
    Bug("cp_async_into_a_tile_in_use", """
    __shared__ float tile[64]; int i = threadIdx.x;
    unsigned to = (unsigned)__cvta_generic_to_shared(tile + i);
    tile[i] = 1;
    __syncthreads();
    y[i] = tile[63 - i];
    OK: __syncthreads();
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.commit_group;" :: "r"(to), "l"(x + i));
    __syncthreads();
    asm volatile("cp.async.wait_all;");
    __syncthreads();
    y[i + 64] = tile[i];""", "data race", (6, 8)),
    Bug("cp_async_source_overwritten_by_its_thread", """
    __shared__ float tile[64]; int i = threadIdx.x;
    unsigned to = (unsigned)__cvta_generic_to_shared(tile + i);
    y[i] = x[i];
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" :: "r"(to), "l"(y + i) : "memory");
    OK: asm volatile("cp.async.wait_all;" ::: "memory");
    y[i] = 7;
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    y[i + 64] = tile[63 - i];""", "data race.*writes .* of y while .* cp.async from there in flight.*test.cu:5", (7,)),
    Bug("cp_async_source_overwritten_after_a_barrier", """
    __shared__ float tile[64]; int i = threadIdx.x;
    unsigned to = (unsigned)__cvta_generic_to_shared(tile + i);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" :: "r"(to), "l"(y + i) : "memory");
    OK: asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    y[63 - i] = 7;
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    y[i + 64] = tile[63 - i];""", "data race.* of y", (4, 7, 8)),
    Bug("after_the_end", """
    int i = threadIdx.x;
    BUG: y[i] = x[i + 1];
    OK: y[i] = i + 1 < n ? x[i + 1] : 0;""",
        r"thread \(63,0,0\): out of bounds: 4 bytes at byte 256 of x, which has 256", (3,)),
    Bug("before_the_beginning", """
    int i = threadIdx.x;
    BUG: y[i - 1] = x[i];
    OK: if (i) y[i - 1] = x[i];""", r"thread \(0,0,0\): out of bounds: 4 bytes at byte (-4 of y|\d+ of)", (3,)),
    Bug("outside_shared_memory", """
    extern __shared__ float tile[]; int i = threadIdx.x;
    BUG: tile[i * 2] = x[i];
    OK: tile[i] = x[i];""",
        r"thread \(32,0,0\): out of bounds: 4 bytes at byte 256 of shared memory, which has 256", (3,), shared=256),
    Bug("misaligned", """
    int i = threadIdx.x;
    BUG: if (i == 3) *(float4*)(y + 4) = *(const float4*)(x + i);
    OK: if (i == 3) *(float4*)(y + 4) = *(const float4*)(x + i + 1);""",
    r"thread \(3,0,0\): misaligned: an access of 16 bytes.*byte 12 of x", (3,)),
    Bug("uninitialised_shared", """
    __shared__ float tile[64]; int i = threadIdx.x;
    BUG: if (i < 60)
    tile[i] = x[i];
    __syncthreads();
    y[i] = tile[63 - i];""", r"thread \(0,0,0\): uninitialised: this thread reads byte 252 of shared memory", (6,)),
    Bug("uninitialised_local", """
    float values[8]; int i = threadIdx.x;
    for (int k = 0; k < n / 8; ++k) if (k != 5) values[(k + i) % 8] = k;
    OK: values[(5 + i) % 8] = 1;
    y[i] = values[(n + i + 5) % 8];""", "uninitialised: this thread reads a thread-local array", (5,)),
    Bug("barrier_in_a_branch", """
    BUG: if (threadIdx.x < 40) __syncthreads();
    OK: __syncthreads();
    y[threadIdx.x] = 1;""",
        r"barrier divergence: 40 threads wait at this barrier, but 24 have returned.*thread \(40,0,0\)", (2,)),
    Bug("return_before_a_barrier", """
    BUG: if (threadIdx.x >= 40) return;
    __syncthreads();
    y[threadIdx.x] = 1;""", r"barrier divergence: 40 threads.*24 have returned.*thread \(40,0,0\)", (3,)),
    Bug("two_barriers", """
    if (threadIdx.x < 32) { BARRIER
        y[threadIdx.x] = 1; }
    else { BARRIER
        y[threadIdx.x] = 2; }""".replace("BARRIER\n", "\n    BUG: __syncthreads();\n"),
        r"barrier divergence: this thread waits at this barrier, thread \(0,0,0\) at another one, at test.cu:3", (6,)),
    Bug("absent_lane", """
    int i = threadIdx.x;
    BUG: if (i < 16) y[i] = __shfl_sync(0xffffu, x[i], 20);
    OK: if (i < 16) y[i] = __shfl_sync(0xffffu, x[i], 10);""",
    "the shuffle reads from lane 20, which does not take part", (3,), block=32),
    Bug("not_in_its_mask", """
    int i = threadIdx.x;
    BUG: y[i] = __shfl_sync(0xffffu, x[i], 3);
    OK: y[i] = __shfl_sync(~0u, x[i], 3);""", "lane 16 calls a warp operation for the lanes of mask 0x0000ffff", (3,),
    block=32),
    Bug("warp_not_complete", """
    int i = threadIdx.x;
    BUG: if (i >= 20) return;
    y[i] = __shfl_down_sync(~0u, x[i], 1);""",
        "a warp operation that is never complete: lane 20 of its mask 0xffffffff has returned", (4,), block=32),
    Bug("warp_against_barrier", """
    int i = threadIdx.x;
    if (i == 7) __syncthreads();
    OK: else __syncthreads();
    y[i] = __shfl_down_sync(~0u, x[i], 1);
    BUG: if (i != 7) __syncthreads();""",
        "never complete: lane 7 of its mask 0xffffffff waits at a barrier, at test.cu:3", (5,), block=32),
    Bug("endless", """
    volatile int* flag = count;
    BUG: while (threadIdx.x == 3 && *flag == 0) { }
    y[threadIdx.x] = *flag;""", r"thread \(3,0,0\): an endless loop", (3,)),
    Bug("trap", """
    BUG: if (threadIdx.x == 3) __trap();
    y[threadIdx.x] = 1;""", r"thread \(3,0,0\): the kernel stops itself", (2,)),
]
SPIN = """extern "C" __global__ void kernel(volatile int* y) {
    while (y[0] == 0) { } }"""
# `if (i == 7) barrier else barrier` is one barrier to the compiler, or divergence: no correct twin.
_NO_TWIN = {"warp_against_barrier"}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_caught(bug: Bug) -> None:
    for order in ORDERS:
        with pytest.raises(EmulatorError) as error:
            bug.launch(bug.kernel(wrong=True), order=order, seed=5)
        message = str(error.value)
        where = re.match(r"kernel: test.cu:(\d+): block \(\d+,0,0\), thread \(\d+,0,0\): ", message)
        assert where and int(where[1]) in bug.lines, message
        # In another order another thread is the first to do it, but it is the same bug.
        expected = bug.message if order == "forward" else re.sub(r"\d+", r"[0-9]+", bug.message)
        assert re.search(expected, message), message


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name not in _NO_TWIN], ids=lambda bug: bug.name)
@pytest.mark.parametrize("arch", [80, 120])
def test_the_correct_twin_passes_and_does_the_same_in_every_order(bug: Bug, arch: int) -> None:
    correct = bug.kernel(wrong=False, arch=arch)
    results = [bug.launch(correct, order=order, seed=5) for order in ORDERS]
    assert results[0].any() or bug.name in ("outside_shared_memory", "no_atomic", "endless")
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_launch_with_an_error_leaves_what_came_before_and_does_not_do_the_access() -> None:
    x, y = np.zeros(4, np.float32), np.zeros(5, np.float32)
    scale = kernel("""
extern "C" __global__ void kernel(const float* x, float* y) { int i = threadIdx.x; y[i] = x[i] + 1; }""")
    where = r"test.cu:1: block \(0,0,0\), thread \(4,0,0\)"
    with pytest.raises(EmulatorError, match=where + ": out of bounds: 4 bytes at byte 16 of x"):
        launch(scale, 1, 5, x, y)
    assert y.tolist() == [1, 1, 1, 1, 0]
    launch(scale, 1, 4, x, y)  # and the next launch is as good as any


def test_global_memory_that_nothing_wrote() -> None:
    copy = kernel('extern "C" __global__ void kernel(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }')
    x, y, z = (np.zeros(8, np.float32) for _ in range(3))
    regions = [Region(x.ctypes.data, x.nbytes, "x"), Region(y.ctypes.data, y.nbytes, "y", initialised=False),
               Region(z.ctypes.data, z.nbytes, "z", initialised=False)]

    def run(source: np.ndarray, target: np.ndarray, threads: int) -> None:
        copy.launch((1, 1, 1), (threads, 1, 1), [np.uint64(source.ctypes.data), np.uint64(target.ctypes.data)],
                    regions=regions)

    run(x, y, 6)
    run(y, z, 6)  # a launch before wrote those
    with pytest.raises(EmulatorError, match=r"thread \(6,0,0\): uninitialised: this thread reads byte 24 of y"):
        run(y, z, 8)


def test_an_atomic_store_is_no_read() -> None:
    code = '''
extern "C" __global__ void kernel(int* y) { asm volatile("st.release.gpu.s32 [%0], 3;" :: "l"(y) : "memory"); }'''
    y = np.zeros(1, np.int32)
    region = Region(y.ctypes.data, y.nbytes, "y", initialised=False)
    kernel(code).launch((1, 1, 1), (1, 1, 1), [np.uint64(y.ctypes.data)], regions=[region])
    assert y[0] == 3 and region.written is not None and region.written.all()


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("meet", ["", "__syncthreads();"])
def test_a_recursion_without_end_does_not_take_python_along(check: bool, meet: str) -> None:
    code = f"""
__device__ __noinline__ int down(volatile int* y, int n)
{{
    y[1] = n;
    if (n == 0) return 1;
    return 1 + down(y, n - 1) + y[1];
}}
extern "C" __global__ void kernel(int* y, int n) {{ {meet} y[0] = down(y, n); }}"""
    recursive, y = kernel(code, check=check), np.zeros(2, np.int32)
    launch(recursive, 1, 1, y, np.int32(20))
    assert y[0] == 21
    with pytest.raises(EmulatorError, match=r"kernel: test.cu:\d: .*calls are nested so deep that the stack is full"):
        launch(recursive, 1, 1, y, np.int32(-1))


def test_what_is_too_long_to_check_is_named() -> None:
    code = 'extern "C" __global__ void kernel(int n) { for (int i = 0; i < n; ++i) __syncthreads(); }'
    launch(kernel(code), 1, 1, np.int32(65534))
    with pytest.raises(EmulatorError, match="kernel: a block synchronises more than 65535 times; check mode needs"):
        launch(kernel(code), 1, 1, np.int32(65535))


def test_ctrl_c_ends_a_loop_without_end() -> None:
    program = f"""
import os, signal, threading
import numpy as np
from tests.emulator.runner import kernel, launch
spin = kernel('''{SPIN}''', check=False)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    launch(spin, 1, 1, np.zeros(1, np.int32))
except KeyboardInterrupt as error:
    print("stopped:", error)
signal.raise_signal(signal.SIGINT)  # which is Python's again
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert re.search(r"stopped: kernel: test.cu:2: block \(0,0,0\), thread \(0,0,0\): interrupted", run.stdout), run
    assert run.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(("load", "race"), [
    ("flag = *(volatile int*)count;", True), ("flag = *(volatile int*)count; __threadfence();", False),
    ('asm volatile("ld.acquire.gpu.s32 %0, [%1];" : "=r"(flag) : "l"(count) : "memory");', False),
    ('asm volatile("ld.acquire.cta.s32 %0, [%1];" : "=r"(flag) : "l"(count) : "memory");', True)])
def test_a_flag_that_another_block_set(load: str, race: bool) -> None:
    """Who finds it by a mere load needs a fence of its own before it reads what the flag stands for."""
    code = f"""
extern "C" __global__ void kernel(int* count, float* y)
{{
    int flag = 0;
    if (blockIdx.x == 0) {{ y[0] = 5; __threadfence(); atomicExch(count, 1); }}
    else {{ {load} if (flag) y[1] = y[0]; }}
}}"""
    count, y = np.zeros(1, np.int32), np.zeros(2, np.float32)
    if race:
        with pytest.raises(EmulatorError, match="data race"):
            launch(kernel(code), 2, 1, count, y)
    else:
        launch(kernel(code), 2, 1, count, y)
        assert y.tolist() == [5, 5]


@pytest.mark.parametrize(("head", "grid", "block", "shared", "message"), [
    ("", 1, 1025, 0, "1025 threads; the limit is 1024|block of"), ("", 1, (8, 8, 65), 0, "block of"),
    ("", (1, 70_000), 1, 0, "grid of"),
    ("__launch_bounds__(128)", 1, 129, 0, "129 threads; its __launch_bounds__ allow 128"),
    ("", 1, 1, 163 * 1024 - 1023, "1024 bytes of static and 165889 of dynamic shared memory; sm_80 gives.*166912")])
def test_limits(head: str, grid: Any, block: Any, shared: int, message: str) -> None:
    code = f"""
extern "C" __global__ void {head} kernel(float* y)
{{
    __shared__ float tile[256];
    tile[threadIdx.x & 255] = 1;
    y[0] = tile[0];
}}"""
    with pytest.raises(EmulatorError, match=message):
        launch(kernel(code), grid, block, np.zeros(1, np.float32), shared=shared)


def test_too_many_registers() -> None:
    """A kernel that keeps 100 numbers may have 512 threads on no card; with fewer it may run."""
    code = """
extern "C" __global__ void kernel(const float* x, float* y, int n)
{
    float v[100];
    for (int j = 0; j < 100; ++j) v[j] = x[j];
    for (int k = 0; k < n; ++k) {
#pragma unroll
        for (int j = 0; j < 100; ++j) v[j] = v[j] * v[(j + 1) % 100] + k;
    }
    float sum = 0;
    for (int j = 0; j < 100; ++j) sum += v[j];
    y[threadIdx.x] = sum;
}"""
    many = kernel(code)
    assert 100 < many.registers <= 255
    x, y = np.zeros(100, np.float32), np.zeros(1024, np.float32)
    with pytest.raises(EmulatorError, match="1024 threads with .* registers each"):
        launch(many, 1, 1024, x, y, np.int32(1))
    launch(many, 1, 256, x, y, np.int32(1))
    assert (y[:256] == 0).all()


@pytest.mark.parametrize("check", [False, True])
def test_barriers_in_fast_mode_do_not_wait_for_those_that_returned(check: bool) -> None:
    """As the hardware does; check mode is stricter, as CUDA's guide is."""
    code = """
extern "C" __global__ void kernel(float* y)
{
    __shared__ float tile[64]; int i = threadIdx.x;
    if (i >= 40) return;
    tile[i] = i;
    __syncthreads();
    y[i] = tile[39 - i] + __shfl_sync(~0u, 1.0f, 0);
}"""
    y = np.zeros(64, np.float32)
    if check:
        with pytest.raises(EmulatorError, match="barrier divergence"):
            launch(kernel(code), 1, 64, y)
    else:
        launch(kernel(code, check=False), 1, 64, y)
        assert y[:40].tolist() == [40 - i for i in range(40)]


@pytest.mark.parametrize("word, byte, race", [(3, 6, True), (3, 2, False), (3, 7, False), (3, 3, True)])
def test_words_that_begin_between_two_of_memorys_are_told_apart_byte_by_byte(word: int, byte: int, race: bool) -> None:
    """An array of bytes at an address that is 1 more than a multiple of 4: the word at byte 3 of it is aligned."""
    code = f"""
extern "C" __global__ void kernel(unsigned char* y)
{{
    if (threadIdx.x == 0) *(int*)(y + {word}) = 7;
    else y[{byte}] = 1;
}}"""
    memory = np.zeros(64, np.uint8)
    start = -memory.ctypes.data % 4 + 1
    found = Module(code, file="test.cu", check=True).kernels["kernel"]
    address = memory.ctypes.data + start

    def run() -> None:
        found.launch((1, 1, 1), (2, 1, 1), [np.uint64(address)], regions=[Region(address, 32, "y")])

    if not race:
        return run()
    with pytest.raises(EmulatorError, match="data race"):
        run()
    return None
