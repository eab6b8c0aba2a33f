"""The stand-in for CuPy: its arrays behave as NumPy's views do, and every misuse of a launch is an error that says what
was wrong.  Each planted bug has a correct twin that passes, so that no check can refuse everything."""

import copy
import inspect
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinyconv.emulator import cupy, devices
from tinyconv.emulator.arguments import Argument, regions
from tinyconv.emulator.errors import CUDADriverError, CUDARuntimeError, OutOfMemoryError
from tinyconv.emulator.limits import check_registers
from tinyconv.emulator.module import EmulatorError, Region
from tinyconv.emulator.orders import restored
from tinyconv.emulator.settings import Settings, checking, current, device_count

CODE = r"""
extern "C" __global__ void twice(const float* x, float* y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2 * x[i];
}

extern "C" __global__ void half(const float* x, float* y) { y[threadIdx.x] = 0.5f * x[threadIdx.x]; }

extern "C" __global__ void scale(double* y, double factor, long long n)
{
    if (threadIdx.x < n) y[threadIdx.x] *= factor;
}

extern "C" __global__ void reversed(float* x)  // through dynamic shared memory; 16 bytes of it are static
{
    extern __shared__ float elements[];
    __shared__ float first[4];
    if (threadIdx.x < 4) first[threadIdx.x] = x[threadIdx.x];
    elements[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    int i = blockDim.x - 1 - threadIdx.x;
    x[threadIdx.x] = i < 4 ? first[i] : elements[i];
}

extern "C" __global__ void sum(float* total, const float* x)  // rounds as the order of threads will have it
{
    atomicAdd(total, x[threadIdx.x]);
}

extern "C" __global__ void count(int* total, const float* x)  // exact in any order
{
    if (x[threadIdx.x] > 0) atomicAdd(total, 1);
}

extern "C" __global__ void __launch_bounds__(64) few(float* x) { x[threadIdx.x] = 1; }

extern "C" __global__ void chase(float* const* where) { where[0][threadIdx.x] = 7; }
"""
F4 = np.float32


@pytest.fixture(autouse=True)
def _check_mode() -> Iterator[None]:
    with checking():
        yield


@pytest.fixture(scope="module")
def module() -> Any:
    return cupy.RawModule(code='#line 1 "planted.cu"\n' + CODE, options=("-std=c++17",))


def on_device(values: Any, dtype: Any = F4) -> Any:
    host = np.asarray(values, dtype)
    array = cupy.empty(host.shape, host.dtype)
    array.set(host)
    return array


# -- arrays

VIEWS = {
    "integer": lambda a: a[1],
    "negative integer": lambda a: a[-1, 0],
    "one element": lambda a: a[1, 2, 3],
    "slices": lambda a: a[:, 1:, ::2],
    "negative step": lambda a: a[::-1, :, 3:0:-2],
    "None and Ellipsis": lambda a: a[None, ..., 1],
    "transpose": lambda a: a.transpose(2, 0, 1),
    "transpose by a tuple": lambda a: a.transpose((1, 2, 0)),
    "T": lambda a: a.T,
    "reshape": lambda a: a.reshape(6, -1),
    "reshape by a tuple": lambda a: a.reshape((4, 6)),
    "reshape of a slice": lambda a: a[1].reshape(2, 6),
    "ravel": lambda a: a.ravel(),
    "view as bytes": lambda a: a.view(np.uint8),
    "view": lambda a: a.view(),
    "view of a view": lambda a: a[1].T[1:3],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_views_are_numpys(view: Any) -> None:
    host = np.arange(24, dtype=F4).reshape(2, 3, 4)
    expected, got = view(host), view(on_device(host))
    np.testing.assert_array_equal(got.get(), expected)
    assert (got.shape, got.dtype, got.size, got.nbytes, got.ndim, got.itemsize) == (
        expected.shape, expected.dtype, expected.size, expected.nbytes, expected.ndim, expected.itemsize)
    if expected.ndim:  # NumPy indexes to a number, CuPy to an array of no axes
        assert got.strides == expected.strides
        assert got.flags.c_contiguous == expected.flags.c_contiguous
        assert got.flags.f_contiguous == expected.flags.f_contiguous


def test_moveaxis_is_numpys() -> None:
    host = np.arange(24, dtype=F4).reshape(2, 3, 4)
    np.testing.assert_array_equal(cupy.moveaxis(on_device(host), 1, -1).get(), np.moveaxis(host, 1, -1))


def test_a_view_shares_memory_and_keeps_it() -> None:
    array = on_device(np.zeros((3, 4)))
    view = array[1:, ::2]
    view.fill(5)
    np.testing.assert_array_equal(array.get(), [[0, 0, 0, 0], [5, 0, 5, 0], [5, 0, 5, 0]])
    assert view.data.ptr == array.data.ptr + 16 and view.base is array and view[0].base is array
    used = cupy.get_default_memory_pool().used_bytes()
    del array
    assert cupy.get_default_memory_pool().used_bytes() == used
    assert view.get()[0, 0] == 5
    del view
    assert cupy.get_default_memory_pool().used_bytes() == used - 512


def test_a_deep_copy_is_dense_and_of_the_same_device() -> None:
    with cupy.cuda.Device(1):
        array = on_device(np.arange(12).reshape(3, 4))
    twin = copy.deepcopy({"a": array[:, ::2]})["a"]
    assert twin.device.id == 1 and twin.flags.c_contiguous and twin.base is None
    np.testing.assert_array_equal(twin.get(), [[0, 2], [4, 6], [8, 10]])
    whole = copy.deepcopy(array)
    with cupy.cuda.Device(1):
        array.fill(-1)
    np.testing.assert_array_equal(whole.get(), np.arange(12).reshape(3, 4))


def test_the_array_interface_tells_where_and_how() -> None:
    array = on_device(np.zeros((3, 4)))
    plain, strided = array.__cuda_array_interface__, array[:, ::2].__cuda_array_interface__
    assert plain["shape"] == (3, 4) and plain["strides"] is None and plain["typestr"] == "<f4"
    assert plain["data"] == (array.data.ptr, False) and plain["version"] == 3
    assert strided["shape"] == (3, 2) and strided["strides"] == (16, 8)


def test_scalars_and_empty_arrays() -> None:
    assert on_device(3.5).get() == 3.5 and on_device(3.5).shape == ()
    assert cupy.empty((0, 5), F4).get().shape == (0, 5)
    assert len(cupy.empty(7, F4)) == 7


@pytest.mark.parametrize("misuse", [
    lambda a: a + 1, lambda a: 2 * a, lambda a: F4(2) * a, lambda a: a @ a, lambda a: -a, lambda a: a == a,
    lambda a: a.__setitem__(0, 1), lambda a: a[[0, 1]], lambda a: a[np.array([0])], lambda a: a[True], bool,
    lambda a: float(a[0, 0]), list, lambda a: 1.0 in a])
def test_what_cupy_would_compute_is_refused(misuse: Any) -> None:
    with pytest.raises(NotImplementedError, match="engine launches its own|call get"):
        misuse(on_device(np.ones((2, 2))))


@pytest.mark.parametrize("misuse", [np.asarray, np.array, lambda a: np.copyto(np.empty((2, 2)), a)])
def test_implicit_conversion_is_refused_as_in_cupy(misuse: Any) -> None:
    with pytest.raises(TypeError, match=r"Implicit conversion to a NumPy array.*get\(\)"):
        misuse(on_device(np.ones((2, 2))))


def test_a_reshape_that_would_copy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\).*would copy.*contiguous"):
        on_device(np.zeros((3, 4))).T.reshape(12)


@pytest.mark.parametrize("host, error, message", [
    ([1.0, 2.0], TypeError, "Only numpy.ndarray"),
    (np.zeros(2, np.float64), TypeError, "float64 array cannot be set to float32 array"),
    (np.zeros(3, F4), ValueError, r"Shape mismatch.*\(2,\).*\(3,\)")])
def test_set_wants_the_same_shape_and_type(host: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        cupy.empty(2, F4).set(host)


def test_set_and_get_of_other_layouts() -> None:
    host = np.arange(6, dtype=F4).reshape(2, 3)
    array = on_device(np.zeros((3, 2)))
    array.T.set(host)  # Fortran order is contiguous, too
    np.testing.assert_array_equal(array.get(), host.T)
    out = np.zeros((3, 2), F4)
    assert array.get(out=out) is out
    np.testing.assert_array_equal(out, host.T)
    assert array.get(order="F").flags.f_contiguous
    with pytest.raises(RuntimeError, match="Cannot set to non-contiguous"):
        array[:, ::2].set(np.zeros((3, 1), F4))
    with pytest.raises(TypeError, match=r"out must be .* \(3, 2\)"):
        array.get(out=np.zeros((2, 3), F4))


# -- memory

def test_new_memory_is_poison_also_when_it_is_reused() -> None:
    assert np.isnan(cupy.empty(5, F4).get()).all()
    assert (cupy.empty(5, np.int32).get() == -1).all()
    address = on_device(np.ones(5)).data.ptr  # freed at once, since nobody keeps the array
    again = cupy.empty(5, F4)
    assert again.data.ptr == address and np.isnan(again.get()).all()


def test_a_pool_counts_and_limits() -> None:
    pool = cupy.cuda.MemoryPool()
    cupy.cuda.set_allocator(pool.malloc)
    try:
        a, b = cupy.empty(1, np.uint8), cupy.empty(513, np.uint8)
        assert (pool.used_bytes(), pool.total_bytes()) == (512 + 1024, 512 + 1024)
        del a
        assert (pool.used_bytes(), pool.free_bytes()) == (1024, 512)
        with cupy.cuda.Device(1):
            assert pool.total_bytes() == 0  # the numbers are the current device's
        pool.free_all_blocks()
        assert pool.total_bytes() == 1024
        pool.set_limit(size=2048)
        with pytest.raises(OutOfMemoryError, match=r"allocating 1,500 bytes .*so far: 1,024 .*limit set to: 2,048"):
            cupy.empty(1500, np.uint8)
        del b
        assert pool.used_bytes() == 0
    finally:
        cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)


def test_memory_beyond_the_device_is_an_error() -> None:
    free, total = cupy.cuda.Device(0).mem_info
    assert 0 < free <= total
    with pytest.raises(OutOfMemoryError):
        cupy.empty(total + 1, np.uint8)


def test_copies_by_pointer() -> None:
    a, b = on_device([1, 2, 3, 4]), on_device([0, 0, 0, 0])
    (b.data + 8).copy_from_device_async(a.data, 8)
    np.testing.assert_array_equal(b.get(), [0, 0, 1, 2])
    b.data.memset_async(0, 12)
    np.testing.assert_array_equal(b.get(), [0, 0, 0, 2])
    host = np.array([8, 9], F4)
    b.data.copy_from_host_async(host.ctypes.data, 8)
    (b.data + 8).copy_to_host_async(host.ctypes.data, 8)
    assert np.isnan(host).all()
    cupy.cuda.Device().synchronize()
    np.testing.assert_array_equal(b.get(), [8, 9, 0, 2])
    np.testing.assert_array_equal(host, [0, 2])
    with pytest.raises(CUDARuntimeError, match="16 bytes from byte 8 on reach beyond a block of 16 bytes"):
        (b.data + 8).copy_from_device_async(a.data, 16)


# -- launches

def test_a_correct_launch(module: Any) -> None:
    x, y = on_device(np.arange(100)), cupy.empty(100, F4)
    module.get_function("twice")((4,), (32,), (x, y, np.int32(100)))
    np.testing.assert_array_equal(y.get(), 2 * np.arange(100))


def test_every_type_of_number_arrives(module: Any) -> None:
    y = on_device(np.arange(8), np.float64)
    module.get_function("scale")((1,), (32,), (y, np.float64(0.1), np.int64(5)))
    np.testing.assert_array_equal(y.get(), [0.0, 0.1, 0.2, 3 * 0.1, 0.4, 5, 6, 7])


@pytest.mark.parametrize("arguments, error, message", [
    (lambda x, y: (x, y), TypeError, "twice: 2 arguments given, and the kernel takes 3"),
    (lambda x, y: [x, y, np.int32(8)], TypeError, "twice: args is a list"),
    (lambda x, y: (x, y, 8), TypeError, r"twice: argument 2 \(\w\) is the Python number 8.* 64 bits.* takes int: wrap"),
    (lambda x, y: (x, y, 8.0), TypeError, r"argument 2 \(\w\) is the Python number 8.0"),
    (lambda x, y: (x, y, np.int64(8)), TypeError, r"argument 2 \(\w\) is a NumPy int64, and the kernel takes int"),
    (lambda x, y: (on_device(range(8), np.float64), y, np.int32(8)), TypeError,
     r"argument 0 \(\w\) is an array of float64, and the kernel reads float32"),
    (lambda x, y: (x, on_device(range(8), np.int32), np.int32(8)), TypeError,
     r"argument 1 \(\w\) is an array of int32, and the kernel reads float32"),
    (lambda x, y: (x, y, F4(8)), TypeError, r"argument 2 \(\w\) is a NumPy float32, and the kernel takes int"),
    (lambda x, y: (x, y, y), TypeError, r"argument 2 \(\w\) is an array, and the kernel takes int"),
    (lambda x, y: (np.int32(3), y, np.int32(8)), TypeError, r"argument 0 \(\w\) is a NumPy int32, .* takes a pointer"),
    (lambda x, y: (x, np.zeros(8, F4), np.int32(8)), TypeError, r"argument 1 \(\w\) is a numpy.ndarray; pass a cupy"),
    (lambda x, y: (None, y, np.int32(8)), TypeError, r"argument 0 \(\w\) is a builtins.NoneType"),
    (lambda x, y: (x, y[::2], np.int32(4)), ValueError, r"argument 1 \(y\), of .* strides \(8,\), is not cont"),
    (lambda x, y: (x.reshape(2, 4).T, y, np.int32(8)), ValueError, "argument 0.* is not contiguous"),
])
def test_arguments_that_do_not_fit(module: Any, arguments: Any, error: Any, message: str) -> None:
    x, y = on_device(np.arange(8)), cupy.empty(8, F4)
    with pytest.raises(error, match=message):
        module.get_function("twice")((1,), (32,), arguments(x, y))


@pytest.mark.parametrize("grid, block, error, message", [
    ((0,), (32,), CUDADriverError, r"twice: grid is \(0, 1, 1\)"),
    ((1, 65536), (32,), CUDADriverError, r"grid is \(1, 65536, 1\).*65535"),
    ((1,), (1, 1, 65), CUDADriverError, r"block is \(1, 1, 65\).*64"),
    ((1,), (1025,), CUDADriverError, r"block is \(1025, 1, 1\)"),
    ((1,), (32, 33), CUDADriverError, "1056 threads.* 1024"),
    ((1,), (np.int64(32),), TypeError, "block is .* Python ints"),
    (1, (32,), TypeError, "grid is 1; it must be a tuple")])
def test_sizes_that_no_device_takes(module: Any, grid: Any, block: Any, error: Any, message: str) -> None:
    x = on_device(np.arange(8))
    with pytest.raises(error, match=message):
        module.get_function("twice")(grid, block, (x, x, np.int32(8)))


def test_launch_bounds_are_kept(module: Any) -> None:
    few, x = module.get_function("few"), cupy.empty(128, F4)
    assert few.max_threads_per_block == 64
    few((1,), (64,), (x,))
    with pytest.raises(CUDADriverError, match="128 threads; this kernel may have 64"):
        few((1,), (128,), (x,))


def test_shared_memory_has_to_be_asked_for(module: Any) -> None:
    x, host = cupy.empty(256, F4), np.arange(256, dtype=F4)
    kernel = module.get_function("reversed")
    assert kernel.shared_size_bytes == 16
    x.set(host)
    kernel((1,), (256,), (x,), shared_mem=1024)
    np.testing.assert_array_equal(x.get(), host[::-1])
    with pytest.raises(CUDADriverError, match="reversed: shared_mem is 50000 .*49136.*max_dynamic_shared_size_bytes"):
        kernel((1,), (256,), (x,), shared_mem=50000)
    kernel.max_dynamic_shared_size_bytes = 50000
    kernel((1,), (256,), (x,), shared_mem=50000)
    np.testing.assert_array_equal(x.get(), host)
    most = 163 * 1024 - 16  # of sm_80, beside the static bytes
    kernel.max_dynamic_shared_size_bytes = most
    with pytest.raises(CUDADriverError, match=f"{most + 1} bytes .* can have {most} on sm_80"):
        kernel.max_dynamic_shared_size_bytes = most + 1


STRUCT = """struct Shape { int rows, columns; double factor; };
typedef float* row;
extern "C" __global__ void fill(row y, Shape shape) {
    if (threadIdx.x < shape.rows * shape.columns) y[threadIdx.x] = shape.factor; }"""
SHAPE = np.dtype([("rows", np.int32), ("columns", np.int32), ("factor", np.float64)])


def test_structs_are_passed_as_arrays_of_one_element() -> None:
    fill, y = cupy.RawModule(code=STRUCT).get_function("fill"), on_device(np.zeros(8))
    shape = np.array((2, 3, 0.5), SHAPE)
    fill((1,), (8,), (y, shape))
    shape["factor"] = 9  # the launch has its own copy
    np.testing.assert_array_equal(y.get(), [0.5] * 6 + [0, 0])


@pytest.mark.parametrize("value, message", [
    (3, "is the Python number 3.* takes a struct of 16 bytes: pass a NumPy array of one element"),
    (np.int64(3), "is a NumPy int64, and the kernel takes a struct of 16 bytes"),
    (np.zeros(3), "is a NumPy array of 24 bytes, and the kernel takes a struct of 16 bytes")])
def test_what_is_no_struct(value: Any, message: str) -> None:
    fill, y = cupy.RawModule(code=STRUCT).get_function("fill"), on_device(np.zeros(8))
    with pytest.raises(TypeError, match=rf"fill: argument 1 \(shape\) {message}"):
        fill((1,), (8,), (y, value))
    with pytest.raises(TypeError, match=r"fill: argument 0 \(y\) is a NumPy int32, and the kernel takes a pointer"):
        fill((1,), (8,), (np.int32(3), np.zeros((), SHAPE)))


def test_a_macro_for_several_parameters_leaves_those_after_it_without_a_name() -> None:
    code = """#define SIZES int n, int m
extern "C" __global__ void fill(float* y, SIZES, const float* x) { y[n] = x[m]; }"""
    fill, y = cupy.RawModule(code=code).get_function("fill"), on_device(np.zeros(8))
    fill((1,), (1,), (y, np.int32(3), np.int32(0), on_device([7])))
    assert y.get()[3] == 7
    with pytest.raises(TypeError, match="fill: argument 2 is a NumPy int64, and the kernel takes int"):
        fill((1,), (1,), (y, np.int32(3), np.int64(0), y))


def test_variables_of_the_file_belong_to_a_device_and_to_a_module() -> None:
    code = '__device__ int seen; extern "C" __global__ void count(int* y) { y[0] = ++seen; }'
    first, second = (cupy.RawModule(code=code).get_function("count") for _ in range(2))

    def call(kernel: Any, device: int) -> int:
        with cupy.cuda.Device(device):
            y = cupy.empty(1, np.int32)
            kernel((1,), (1,), (y,))
            return int(y.get()[0])

    assert [call(first, 0), call(first, 0), call(first, 1), call(second, 0), call(first, 0)] == [1, 2, 1, 1, 3]


def test_a_kernel_that_is_not_there(module: Any) -> None:
    with pytest.raises(CUDADriverError, match="NOT_FOUND: planted.cu has no kernel 'thrice'; it has .*twice"):
        module.get_function("thrice")


def test_an_argument_brings_only_its_own_bytes(module: Any) -> None:
    """A view of 8 of 100 elements: the kernel may not write the ninth, though the memory is there."""
    x, y = on_device(np.arange(100)), on_device(np.zeros(100))
    twice = module.get_function("twice")
    twice((1,), (32,), (x[:8], y[:8], np.int32(8)))
    np.testing.assert_array_equal(y.get()[:9], [0, 2, 4, 6, 8, 10, 12, 14, 0])
    twice((1,), (32,), (x[:9], y[:8], np.int32(9)))
    with pytest.raises(EmulatorError, match=r"twice.*argument 1"):
        y.get()


def test_a_raw_address_brings_its_whole_block(module: Any) -> None:
    x, y = on_device(np.arange(8)), on_device(np.zeros(8))
    twice = module.get_function("twice")
    twice((1,), (32,), (np.uint64(x.data.ptr), np.uint64(y.data.ptr), np.int32(8)))
    np.testing.assert_array_equal(y.get(), 2 * np.arange(8))
    twice((1,), (32,), (np.uint64(0), y, np.int32(0)))  # null, which the kernel does not touch
    with pytest.raises(CUDARuntimeError, match=r"argument 1 \(\w\) is the address 0x5, and no memory of device 0"):
        twice((1,), (32,), (x, np.uint64(5), np.int32(8)))
    with cupy.cuda.Device(1):
        other = cupy.empty(8, F4)
    with pytest.raises(CUDARuntimeError, match=r"argument 1 \(\w\) is the address"):
        twice((1,), (32,), (x, np.uint64(other.data.ptr), np.int32(8)))


def test_a_raw_address_may_point_into_the_middle(module: Any) -> None:
    x, y = on_device(np.arange(8)), on_device(np.zeros(8))
    twice = module.get_function("twice")
    twice((1,), (32,), (np.uint64(x.data.ptr + 16), np.uint64(y.data.ptr + 8), np.int32(4)))
    np.testing.assert_array_equal(y.get(), [0, 0, 8, 10, 12, 14, 0, 0])
    twice((1,), (32,), (np.uint64(x.data.ptr + 16), np.uint64(y.data.ptr + 8), np.int32(5)))
    with pytest.raises(EmulatorError, match="twice.*x"):  # beyond the end of x, though its address is not its start
        y.get()


def test_arguments_may_overlap(module: Any) -> None:
    """In place, and a part of an array beside the whole: the kernel may touch what either may."""
    x = on_device(np.arange(8))
    twice = module.get_function("twice")
    twice((1,), (32,), (x, x, np.int32(8)))
    np.testing.assert_array_equal(x.get(), 2 * np.arange(8))
    twice((1,), (32,), (x[:2], x, np.int32(8)))
    twice((1,), (32,), (x, x[6:], np.int32(2)))
    np.testing.assert_array_equal(x.get(), [0, 4, 8, 12, 16, 20, 0, 8])


def test_regions_of_arguments_that_overlap() -> None:
    """One inside another, and a third that begins where the second ends: two regions."""
    spans = {"whole": (100, 80), "part": (120, 8), "next": (180, 40), "number": (0, 0)}
    joined = regions([Argument(np.uint64(start), name, name, None, start, n) for name, (start, n) in spans.items()])
    assert [(r.address, r.nbytes, r.name) for r in joined] == [(100, 80, "whole and part"), (180, 40, "next")]


def test_registers_are_counted_where_they_can_be_too_many() -> None:
    check_registers("kernel", (1024, 1, 1), lambda: 64)  # 1024 * 64 = 65536, all there are
    check_registers("kernel", (256, 1, 1), lambda: 1 // 0)  # cannot be too many, so nobody asks
    with pytest.raises(CUDADriverError, match="kernel: 1024 threads of 65 registers .* 65536 .*launch_bounds__.1024"):
        check_registers("kernel", (1024, 1, 1), lambda: 65)
    check_registers("kernel", (896, 1, 1), lambda: 72)  # 28 warps of 72 * 32 = 2304 = 9 * 256: 64512
    with pytest.raises(CUDADriverError):
        check_registers("kernel", (896, 1, 1), lambda: 73)  # 2336, of which 2560 are handed out


def test_memory_that_was_never_written(module: Any) -> None:
    x, y = cupy.empty(8, F4), cupy.empty(8, F4)
    twice = module.get_function("twice")
    x[:4].set(np.ones(4, F4))
    twice((1,), (32,), (x, y, np.int32(4)))  # reads what was set, and writes
    twice((1,), (32,), (y, x, np.int32(4)))  # reads what the kernel wrote
    twin = cupy.empty(8, F4)
    twin.data.copy_from_device_async(x.data, 32)
    np.testing.assert_array_equal(twin.get()[:4], 4)
    for half_written in (x, twin, copy.deepcopy(x)):
        twice((1,), (32,), (half_written, y, np.int32(5)))
        with pytest.raises(EmulatorError, match=r"twice.*argument 0 \(x\)"):
            y.get()
    x.fill(3)
    twice((1,), (32,), (x, y, np.int32(8)))
    np.testing.assert_array_equal(y.get(), 6)


def test_what_fast_mode_wrote_counts_as_written(module: Any) -> None:
    x, y, z = on_device(np.ones(8)), cupy.empty(8, F4), cupy.empty(8, F4)
    with checking(mode="fast"):
        module.get_function("twice")((1,), (32,), (x, y, np.int32(8)))
    module.get_function("twice")((1,), (32,), (y, z, np.int32(8)))
    np.testing.assert_array_equal(z.get(), 4)


# -- order of threads

def test_a_result_that_depends_on_the_order_of_threads(module: Any) -> None:
    x = on_device([1e8, -1e8, 1] + 29 * [0])  # 1 forwards; backwards the 1 is lost beside the large number
    total = on_device([0.0])
    with checking(order="each"):
        module.get_function("sum")((1,), (32,), (total, x))
        with pytest.raises(EmulatorError, match="sum: the result depends on the order .* argument 0.* reverse"):
            total.get()


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled", "each"])
def test_a_result_that_does_not(module: Any, order: str) -> None:
    x, total = on_device([1, -1] * 16), on_device([5], np.int32)
    with checking(order=order):
        module.get_function("count")((1,), (32,), (total, x))
    assert total.get() == 5 + 16  # once, however often it ran


def test_memory_is_put_back_with_what_is_known_of_it() -> None:
    host = np.arange(4, dtype=np.uint8)
    region = Region(host.ctypes.data, 4, "x", initialised=False)
    assert region.written is not None
    region.written[1] = 1
    with restored([region]):
        host[:], region.written[:] = 7, 1
    assert host.tolist() == [0, 1, 2, 3] and region.written.tolist() == [0, 1, 0, 0]


# -- devices

def test_an_array_of_another_device(module: Any) -> None:
    x = on_device(np.arange(8))
    twice = module.get_function("twice")
    with cupy.cuda.Device(1):
        y = cupy.empty(8, F4)
        with pytest.raises(CUDARuntimeError, match=r"twice: argument 0 \(\w\) lives on device 0, .* on device 1: copy"):
            twice((1,), (32,), (x, y, np.int32(8)))
        there = cupy.empty(8, F4)
        cupy.cuda.Device(0).synchronize()
        there.data.copy_from_device_async(x.data, x.nbytes)
        cupy.cuda.runtime.deviceSynchronize()
        twice((1,), (32,), (there, y, np.int32(8)))
    np.testing.assert_array_equal(y.get(), 2 * np.arange(8))
    with pytest.raises(ValueError, match="device = 1 while current = 0"):
        y.fill(0)


def test_peer_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = cupy.cuda.runtime
    assert runtime.deviceCanAccessPeer(0, 1) == 1 and runtime.deviceCanAccessPeer(0, 0) == 0
    x = on_device([1, 2, 3])
    with cupy.cuda.Device(1):
        y, stream = cupy.empty(3, F4), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device(0).synchronize()
    runtime.memcpyPeerAsync(y.data.ptr, 1, x.data.ptr, 0, 12, stream.ptr)
    np.testing.assert_array_equal(y.get(stream=stream), [1, 2, 3])
    with pytest.raises(CUDARuntimeError, match="no memory of device 0"):
        runtime.memcpyPeerAsync(y.data.ptr, 0, x.data.ptr, 0, 12, stream.ptr)
    with pytest.raises(CUDARuntimeError, match="InvalidDevice"):
        runtime.deviceEnablePeerAccess(0)
    monkeypatch.setattr(devices.state(0), "peers", set())
    runtime.deviceEnablePeerAccess(1)
    with pytest.raises(CUDARuntimeError, match="PeerAccessAlreadyEnabled") as error:
        runtime.deviceEnablePeerAccess(1)
    assert error.value.status == 704  # as programs ask, which may find it enabled


def test_devices_say_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = cupy.cuda.runtime
    with checking(arch=90):
        properties = runtime.getDeviceProperties(0)
        assert cupy.cuda.Device(0).compute_capability == "90"
    assert properties["name"] == b"emulated H100 (sm_90)" and properties["sharedMemPerBlockOptin"] == 227 * 1024
    assert cupy.cuda.is_available() and runtime.getDeviceCount() == device_count()
    monkeypatch.setenv("TINYCONV_EMULATED_DEVICES", "3")
    assert runtime.getDeviceCount() == 3 and cupy.cuda.Device(2).id == 2
    with pytest.raises(CUDARuntimeError, match="InvalidDevice: there is no device 3: 3 are emulated; set TINYCONV"):
        cupy.cuda.Device(3)


def test_the_current_device_is_put_back() -> None:
    with cupy.cuda.Device(1) as device:
        assert cupy.cuda.Device() == device and cupy.cuda.runtime.getDevice() == 1
        with cupy.cuda.Device(0):
            assert cupy.cuda.runtime.getDevice() == 0
        assert cupy.cuda.runtime.getDevice() == 1
    assert cupy.cuda.runtime.getDevice() == 0


# -- CuPy

def test_the_stand_in_offers_nothing_that_cupy_does_not() -> None:
    """So that what runs on it does not fail on a GPU for want of a name.  (How it behaves cannot be compared without a
    driver: CuPy makes no arrays and streams then.)"""
    real = pytest.importorskip("cupy")
    internal = {"queue", "host_elements", "compiled", "source_line"}  # used within the emulator only
    for name in ("ndarray", "RawModule", "RawKernel", "cuda", "cuda.Device", "cuda.Stream", "cuda.Event",
                 "cuda.MemoryPool", "cuda.MemoryPointer", "cuda.driver", "cuda.memory"):
        ours, theirs = operator.attrgetter(name)(cupy), operator.attrgetter(name)(real)
        missing = {each for each in dir(ours) if not each.startswith("_")} - set(dir(theirs)) - internal
        assert not missing, f"{name}: CuPy has no {missing}"
    functions = {name for name, _ in inspect.getmembers(cupy.cuda.runtime, inspect.isfunction) if name[0] != "_"}
    assert functions and functions <= set(dir(real.cuda.runtime))
    assert set(cupy.__all__) <= set(dir(real))


# -- settings

@pytest.mark.parametrize("variable, value, message", [
    ("TINYCONV_EMULATOR", "slow", "mode is 'slow'; it must be one of fast, check"),
    ("TINYCONV_EMULATOR_ORDER", "random", "order is 'random'.* each"),
    ("TINYCONV_EMULATOR_STREAMS", "no", "streams is 'no'"),
    ("TINYCONV_EMULATED_ARCH", "70", "arch is 70.* 75, 80"),
    ("TINYCONV_EMULATED_ARCH", "sm_80", "TINYCONV_EMULATED_ARCH is 'sm_80'"),
    ("TINYCONV_EMULATED_DEVICES", "0", "TINYCONV_EMULATED_DEVICES is '0'")])
def test_settings_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("tinyconv.emulator.settings._chosen", [])
    with pytest.raises(ValueError, match=message):
        current(), device_count()


def test_settings_nest() -> None:
    with checking(order="each", arch=90):
        with checking(mode="fast"):
            assert current() == Settings("fast", "each", "lazy", 90)
        assert current() == Settings("check", "each", "lazy", 90)


def test_subnormal_numbers_are_zeros_as_cupy_compiles(module: Any) -> None:
    """And only while a kernel runs: afterwards NumPy has them again."""
    x = on_device([3e-38, -1e-39, 1e-30, np.inf])
    y = cupy.empty(4, F4)
    module.get_function("half")((1,), (4,), (x, y))
    np.testing.assert_array_equal(y.get(), np.array([1.5e-38, 0, 5e-31, np.inf], F4))
    module.get_function("half")((1,), (4,), (y, y))
    assert y.get()[0] == 0, "7.5e-39 is below the smallest normal number, 1.2e-38"
    assert F4(1.5e-38) * F4(0.5) != 0
