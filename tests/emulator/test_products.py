"""Matrix products on the emulator, as kernels write them: register tiles, asynchronous copies, tensor cores."""

from __future__ import annotations

import numpy as np
import pytest

from tinyconv.emulator.module import EmulatorError

from .runner import ORDERS, kernel, launch

pytestmark = pytest.mark.usefixtures("tools")

# One block makes a tile of 32 x 32; a thread makes 4 x 4 of it, from 8 columns of a and 8 rows of b at a time.
REGISTER_TILES = """
extern "C" __global__ void __launch_bounds__(64) kernel(const float* a, const float* b, float* c, int M, int N, int K)
{
    __shared__ float left[8][32 + 1], right[8][32];
    int thread = threadIdx.x, row = thread / 8 * 4, column = thread % 8 * 4;
    int row0 = blockIdx.y * 32, column0 = blockIdx.x * 32;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += 8) {
        for (int q = thread; q < 256; q += 64) {
            int r = row0 + q / 8, k = k0 + q % 8;
            left[q % 8][q / 8] = r < M && k < K ? a[r * K + k] : 0;
            int s = column0 + q % 32, l = k0 + q / 32;
            right[q / 32][q % 32] = s < N && l < K ? b[l * N + s] : 0;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < 8; ++k)
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sum[i][j] += left[k][row + i] * right[k][column + j];
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            int r = row0 + row + i, s = column0 + column + j;
            if (r < M && s < N) c[r * N + s] = sum[i][j];
        }
}"""

# A warp makes 16 x 8; tiles arrive by cp.async, a stage ahead; what lies outside of the matrices arrives as zeros.
TENSOR_CORES = """
__device__ void fetch(float* to, const float* from, bool inside)
{
    unsigned shared = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" :: "r"(shared), "l"(from), "r"(inside ? 4 : 0));
}
__device__ unsigned tf32(float x) { unsigned y; asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x)); return y; }
extern "C" __global__ void kernel(const float* a, const float* b, float* c, int M, int N, int K)
{
    __shared__ float left[2][16][12], right[2][8][12];
    int lane = threadIdx.x, g = lane / 4, t = lane % 4, row0 = blockIdx.y * 16, column0 = blockIdx.x * 8;
    float d[4] = {};
    for (int k0 = 0; k0 < K + 8; k0 += 8) {
        if (k0 < K) {
            int stage = k0 / 8 % 2;
            for (int q = lane; q < 128; q += 32) {
                int r = row0 + q / 8, k = k0 + q % 8;
                bool inside = r < M && k < K;
                fetch(&left[stage][q / 8][q % 8], inside ? a + r * K + k : a, inside);
            }
            for (int q = lane; q < 64; q += 32) {
                int k = k0 + q / 8, s = column0 + q % 8;
                bool inside = k < K && s < N;
                fetch(&right[stage][q / 8][q % 8], inside ? b + k * N + s : b, inside);
            }
        }
        asm volatile("cp.async.commit_group;");
        if (k0 == 0) continue;
        asm volatile("cp.async.wait_group 1;");
        __syncthreads();
        int stage = (k0 / 8 + 1) % 2;
        unsigned x[4], y[2];
        LOAD
        y[0] = tf32(right[stage][t][g]); y[1] = tf32(right[stage][t + 4][g]);
        MMA
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i) {
        int r = row0 + g + 8 * (i / 2), s = column0 + 2 * t + i % 2;
        if (r < M && s < N) c[r * N + s] = d[i];
    }
}"""
_BY_ELEMENT = "for (int i = 0; i < 4; ++i) x[i] = tf32(left[stage][g + 8 * (i % 2)][t + 4 * (i / 2)]);"
# ldmatrix takes 8 rows of 16 bytes; to it, four floats are eight halves.
_BY_LDMATRIX = """
        unsigned at = (unsigned)__cvta_generic_to_shared(&left[stage][lane % 16][lane / 16 * 4]);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(at));
        for (int i = 0; i < 4; ++i) x[i] = tf32(__uint_as_float(x[i]));"""
_K8 = """asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));"""
_K4 = """for (int h = 0; h < 2; ++h)
        asm("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(x[2 * h]), "r"(x[2 * h + 1]), "r"(y[h]));"""


def _product(code: str, rows: int, columns: int, threads: int, check: bool, order: str,
             arch: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """The product of two ragged matrices, and the same in float64."""
    random = np.random.default_rng(0)
    M, N, K = 37, 45, 27
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((M, K), (K, N)))
    c = np.full((M, N), np.nan, np.float32)
    launch(kernel(code, check=check, arch=arch), (-(-N // columns), -(-M // rows)), threads, a, b, c,
           *map(np.int32, (M, N, K)), order=order)
    return c, a.astype(np.float64) @ b.astype(np.float64)


@pytest.mark.parametrize("arch", [75, 120])
@pytest.mark.parametrize("check", [False, True])
def test_register_tiles(check: bool, arch: int) -> None:
    results = [_product(REGISTER_TILES, 32, 32, 64, check, order, arch) for order in ORDERS]
    c, expected = results[0]
    # 27 sums in float: 27 roundings of at most 2^-24 each, of partial sums that are not much larger than the largest.
    assert np.abs(c - expected).max() <= 27 * 2.0 ** -24 * np.abs(expected).max()
    assert all((other == c).all() for other, _ in results)


@pytest.mark.parametrize("mma", [_K8, _K4], ids=["k8", "k4"])
@pytest.mark.parametrize("load", [_BY_ELEMENT, _BY_LDMATRIX], ids=["by element", "ldmatrix"])
@pytest.mark.parametrize("check", [False, True])
def test_tensor_cores(load: str, mma: str, check: bool) -> None:
    code = TENSOR_CORES.replace("LOAD", load).replace("MMA", mma)
    results = [_product(code, 16, 8, 32, check, order) for order in ORDERS]
    c, expected = results[0]
    # TF32 keeps 11 bits of each factor: a product is off by up to 2^-10, the sum by less, as errors of both signs meet.
    assert 2.0 ** -14 < np.abs(c - expected).max() / np.abs(expected).max() <= 2.0 ** -10
    assert all((other == c).all() for other, _ in results)


def test_half_a_warp_has_no_tensor_core() -> None:
    code = TENSOR_CORES.replace("LOAD", _BY_ELEMENT).replace("MMA", _K8)
    with pytest.raises(EmulatorError, match="mma.sync needs all 32 lanes of a warp; taking part: 0x0000ffff"):
        _product(code, 16, 8, 16, False, "forward")


def test_ldmatrix_transposed() -> None:
    code = """
extern "C" __global__ void kernel(const unsigned short* x, unsigned short* y)
{
    __shared__ __align__(16) unsigned short tile[64];
    for (int i = threadIdx.x; i < 64; i += 32) tile[i] = x[i];
    __syncthreads();
    unsigned at = (unsigned)__cvta_generic_to_shared(tile + threadIdx.x % 8 * 8), two;
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(two) : "r"(at));
    y[2 * threadIdx.x] = two; y[2 * threadIdx.x + 1] = two >> 16;
}"""
    x, y = np.arange(64, dtype=np.uint16), np.zeros(64, np.uint16)
    launch(kernel(code), 1, 32, x, y)
    np.testing.assert_array_equal(y.reshape(8, 8), x.reshape(8, 8).T)
