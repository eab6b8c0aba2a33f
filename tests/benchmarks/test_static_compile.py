"""From CUDA C++ to figures, on small kernels that show one thing each."""

from pathlib import Path

import pytest
from tinyconv.kernels import gpu

from benchmarks.cuda import compiler, figures, functions
from benchmarks.cuda.__main__ import main
from benchmarks.cuda.architectures import ARCHITECTURES
from benchmarks.cuda.launches import Launch, launches
from tinyconv.emulator import cubin

pytestmark = pytest.mark.skipif(compiler.unavailable() is not None, reason=str(compiler.unavailable()))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_folder", lambda: tmp_path)


def figures_of(code: str, *options: str, shared: int = 0, architecture: int = 80) -> figures.Figures:
    """With blocks of 128 threads."""
    program = compiler.Program("test.cu", code, options)
    (found,) = figures.measure([(Launch("test", "test", "test", program, 128, shared), architecture)])
    return found


# Eight sums per thread of what is loaded: 8 multiply-adds and 2 loads of 16 bytes a turn, which is not unrolled.
EIGHT = """
extern "C" __global__ void test(const float4* __restrict__ x, float* y, float a, int n)
{
    float sum[8] = {};
    #pragma unroll 1
    for (int i = 0; i < n; i++) {
        float4 u = x[2 * i], v = x[2 * i + 1];
        sum[0] += a * u.x; sum[1] += a * u.y; sum[2] += a * u.z; sum[3] += a * u.w;
        sum[4] += a * v.x; sum[5] += a * v.y; sum[6] += a * v.z; sum[7] += a * v.w;
    }
    for (int i = 0; i < 8; i++)
        y[i * 128 + threadIdx.x] = sum[i];
}"""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loop_of_eight_multiply_adds(architecture: int) -> None:
    found = figures_of(EIGHT, architecture=architecture)
    assert (found.fma, found.looped, found.spills, found.stack) == (8, True, 0, 0)
    assert (found.load_bytes, found.loads_in_flight) == (16, 2)
    assert (found.global_bytes_per_fma, found.shared_bytes_per_fma) == (4, 0)
    assert 12 <= found.instructions <= 20  # 8 + 2, and counter, address, comparison and branch
    assert found.fma_share == 8 / found.instructions


# More sums than registers, each of them alive through the loop.
MANY = """
extern "C" __global__ void __launch_bounds__(LIMIT) test(const float* x, float* y, int n)
{
    float sum[96];
    for (int i = 0; i < 96; i++)
        sum[i] = x[i * 128 + threadIdx.x];
    for (int k = 0; k < n; k++)
        for (int i = 0; i < 96; i++)
            sum[i] = sum[i] * x[k] + sum[(i + 37) % 96];
    for (int i = 0; i < 96; i++)
        y[i * 128 + threadIdx.x] = sum[i];
}"""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_kernel_that_spills_is_told(architecture: int) -> None:
    """1024 threads leave 64 registers for each, 32 bits a register: the 96 sums do not fit."""
    tight = figures_of(MANY, "-DLIMIT=1024", architecture=architecture)
    assert tight.registers <= 64 and tight.spills > 0 and tight.stack >= 4 * (96 - 64)
    roomy = figures_of(MANY, "-DLIMIT=128", architecture=architecture)
    assert roomy.registers > 96 and (roomy.spills, roomy.stack) == (0, 0)


SHARED = """
extern __shared__ float more[];
extern "C" __global__ void test(float* x)
{
    __shared__ float some[100];
    some[threadIdx.x % 100] = more[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = some[threadIdx.x % 99 + 1] + more[threadIdx.x ^ 1];
}"""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_static_shared_memory_without_what_the_system_takes(architecture: int) -> None:
    found = figures_of(SHARED, shared=512, architecture=architecture)
    assert (found.shared, found.dynamic_shared) == (400, 512)


def test_occupancy_counts_both_kinds_of_shared_memory() -> None:
    """sm_80: 400 + 32 KiB + the system's 1 KiB are 34192 bytes, in units of 128: 34304, and 164 KiB hold four."""
    found = figures_of(SHARED, shared=32 * 1024)
    assert (found.blocks, found.occupancy_limiter, found.occupancy) == (4, "shared", 4 * 128 / 2048)


def test_packed_multiply_adds_count_twice() -> None:
    code = """
    extern "C" __global__ void test(unsigned long long* x, int n)
    {
        unsigned long long sum = x[threadIdx.x], a = x[128];
        #pragma unroll 1
        for (int i = 0; i < n; i++)
            asm volatile("fma.rn.f32x2 %0, %1, %1, %0;" : "+l"(sum) : "l"(a));
        x[threadIdx.x] = sum;
    }"""
    job = compiler.Program("test.cu", code, ()), 100
    assert sum(each.fma for each in functions.compiled([job])[job]["test"].instructions) == 2
    assert figures_of(code, architecture=100).fma == 1  # one instruction


def test_an_error_in_the_code_is_told_with_its_line() -> None:
    with pytest.raises(RuntimeError, match=r"test\.cu does not compile for sm_80.*\n?.*test\.cu\(2\).*nonsense"):
        figures_of('extern "C" __global__ void test()\n{ nonsense; }')


def test_what_is_no_cubin() -> None:
    with pytest.raises(ValueError, match="not a cubin"):
        cubin.read(b"PTX")


def test_a_second_time_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = figures_of(EIGHT)
    monkeypatch.setattr(compiler, "build", None)
    assert figures_of(EIGHT) == first
    with pytest.raises(TypeError):  # other options are another program
        figures_of(EIGHT, "-DANY=1")


def test_launches_are_noted_and_cupy_is_put_back() -> None:
    before = gpu._cupy
    noted = {each.name: each for each in launches(90)}
    assert gpu._cupy is before
    relu = noted["relu/relu.cu:forward"]
    assert (relu.asked, relu.kernel, relu.program.file) == ("relu.forward", "forward", "relu/relu.cu")
    assert relu.threads == 256 and relu.shared == 0 and "-DREAL=float" in relu.program.options
    assert noted["linear/naive.cu:forward"].asked == "linear.forward=naive"


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--arch", "80", "90", "--filter", "^relu", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("relu/relu.cu:forward, 256 threads")
    assert [line.split()[0] for line in lines[at + 1:at + 3]] == ["sm_80", "sm_90"]
    assert lines[at + 1].split()[2:6] == ["0", "0", "100%", "threads"]
    assert (tmp_path / "out" / "kernels.json").exists() and (tmp_path / "out" / "kernels.png").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--filter", "nothing like this"], "no kernel matches"), (["--arch", "81"], "invalid choice"),
    (["--filter", "("], "no regular expression")])
def test_wrong_arguments_get_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1


def test_a_missing_tool_gets_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing() -> str:
        raise compiler.toolkit.ToolMissing("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")

    monkeypatch.setattr(compiler, "version", missing)
    assert main(["--arch", "80"]) == 1
    assert capsys.readouterr().err == "kernels: nvdisasm is not installed: pip install nvidia-cuda-nvdisasm\n"
