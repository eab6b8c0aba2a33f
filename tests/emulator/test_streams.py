"""Streams: what runs when, and that memory shared by two streams without an order between them is an error.

Most tests come in pairs: a program that forgets to order something, and the same program with the order put in."""

import copy
import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinyconv.emulator import cupy
from tinyconv.emulator.errors import CUDADriverError, CUDARuntimeError
from tinyconv.emulator.module import EmulatorError
from tinyconv.emulator.settings import checking
from tinyconv.emulator.streams import alive

CODE = r"""
extern "C" __global__ void add(const float* x, float* y)
{
    y[threadIdx.x] += x[threadIdx.x];
}

extern "C" __global__ void beyond(float* y)
{
    y[4 + threadIdx.x] = 1;
}
"""
F4 = np.float32
Stream, Event, Device = cupy.cuda.Stream, cupy.cuda.Event, cupy.cuda.Device


@pytest.fixture(autouse=True)
def _check_mode() -> Iterator[None]:
    with checking():
        yield


@pytest.fixture(scope="module")
def add() -> Any:
    kernel = cupy.RawModule(code=CODE).get_function("add")
    return lambda x, y: kernel((1,), (4,), (x, y))


def ones(stream: Any = Stream.null) -> Any:
    with stream:  # memory goes back to the stream in which it was allocated, so that should be the one that uses it
        array = cupy.empty(4, F4)
        array.set(np.ones(4, F4))
    return array


# -- laziness

def test_work_waits_until_somebody_does() -> None:
    stream = Stream(non_blocking=True)
    array, out = ones(stream), np.zeros(4, F4)
    array.get(stream, out=out, blocking=False)
    assert np.isnan(out).all() and not stream.done  # a program that reads `out` here reads poison
    stream.synchronize()
    assert stream.done
    np.testing.assert_array_equal(out, 1)


def test_eager_streams_run_at_once() -> None:
    with checking(streams="eager"):
        stream = Stream(non_blocking=True)
        array, out = ones(stream), np.zeros(4, F4)
        array.get(stream, out=out, blocking=False)
        np.testing.assert_array_equal(out, 1)


def test_the_device_waits_for_all_its_streams_also_for_dropped_ones() -> None:
    out = np.zeros(4, F4)
    stream = Stream(non_blocking=True)
    ones(stream).get(stream, out=out, blocking=False)
    del stream
    Stream()  # which tidies up, but must not forget work
    with Device(1):
        Device(1).synchronize()
    assert np.isnan(out).all()
    Device(0).synchronize()
    np.testing.assert_array_equal(out, 1)


def test_ordinary_host_memory_is_read_at_once_and_pinned_memory_later() -> None:
    stream, array = Stream(non_blocking=True), cupy.empty(4, F4)
    ordinary = np.ones(4, F4)
    array.set(ordinary, stream)
    ordinary[:] = 2
    np.testing.assert_array_equal(array.get(stream), 1)

    pinned = np.frombuffer(cupy.cuda.alloc_pinned_memory(16), F4, 4)
    assert np.isnan(pinned).all()
    pinned[:] = 1
    array.set(pinned, stream)
    pinned[:] = 2  # too early: the copy has not run
    np.testing.assert_array_equal(array.get(stream), 2)
    array.set(pinned, stream)
    stream.synchronize()
    pinned[:] = 3
    np.testing.assert_array_equal(array.get(stream), 2)
    array.data.copy_from_host_async(pinned.ctypes.data, 16, stream)
    pinned[:] = 4
    np.testing.assert_array_equal(array.get(stream), 4)


def test_pinned_memory_is_rounded_up_as_in_cupy() -> None:
    memory = cupy.cuda.alloc_pinned_memory(16)
    assert memory.size() == 512 and np.frombuffer(memory, F4).size == 128  # so np.frombuffer needs its count


def test_an_error_surfaces_when_waited_for_and_the_stream_goes_on() -> None:
    kernel = cupy.RawModule(code=CODE).get_function("beyond")
    stream = Stream(non_blocking=True)
    array = ones(stream)
    with stream:
        kernel((1,), (1,), (array,))
    with pytest.raises(EmulatorError, match="beyond"):
        stream.synchronize()
    stream.synchronize()
    np.testing.assert_array_equal(array.get(stream), 1)


# -- order between streams

def test_a_read_that_nothing_orders_after_the_write(add: Any) -> None:
    a, b = Stream(non_blocking=True), Stream(non_blocking=True)
    x, y = ones(a), ones(b)
    with b, pytest.raises(EmulatorError, match=r"kernel add in stream .* reads what set\(\) .* writes in .*wait_event"):
        add(x, y)
    b.wait_event(a.record())
    with b:
        add(x, y)
    np.testing.assert_array_equal(y.get(b), 2)


def test_a_write_that_nothing_orders_after_the_read(add: Any) -> None:
    a, b = Stream(non_blocking=True), Stream(non_blocking=True)
    x, y = ones(a), ones(a)
    with a:
        add(x, y)
    with pytest.raises(EmulatorError, match=r"set\(\) of .* overwrites what set\(\) .* writes"):
        x.set(np.zeros(4, F4), b)
    copied = a.record()
    b.wait_event(copied)
    x.set(np.zeros(4, F4), b)
    np.testing.assert_array_equal(y.get(a), 2)


def test_two_reads_need_no_order(add: Any) -> None:
    a, b = Stream(non_blocking=True), Stream(non_blocking=True)
    x, y, z = ones(a), ones(a), ones(b)
    b.wait_event(a.record())
    for stream, target in ((a, y), (b, z)):
        with stream:
            add(x, target)
    with a, pytest.raises(EmulatorError, match=r"fill\(\) .* overwrites what kernel add reads"):
        x.fill(0)
    np.testing.assert_array_equal(y.get(a) + z.get(b), 4)
    with a:
        x.fill(0)  # the host has waited for both


def test_an_event_orders_only_what_came_before_it(add: Any) -> None:
    a, b = Stream(non_blocking=True), Stream(non_blocking=True)
    x, y = ones(a), ones(b)
    event = a.record()
    with a:
        x.fill(3)
    b.wait_event(event)
    with b, pytest.raises(EmulatorError, match="reads what fill"):
        add(x, y)


def test_order_is_transitive(add: Any) -> None:
    a, b, c = (Stream(non_blocking=True) for _ in range(3))
    x, y = ones(a), ones(c)
    b.wait_event(a.record())
    c.wait_event(b.record())
    with c:
        add(x, y)
    np.testing.assert_array_equal(y.get(c), 2)
    assert a.done and b.done


def test_the_host_orders_by_waiting(add: Any) -> None:
    a, b = Stream(non_blocking=True), Stream(non_blocking=True)
    x, y = ones(a), ones(b)
    event = a.record()
    assert not event.done
    event.synchronize()
    assert event.done
    with b:
        add(x, y)
    np.testing.assert_array_equal(y.get(b), 2)


def test_a_wait_does_not_order_the_other_stream_after_it(add: Any) -> None:
    """b waits for a, but a does not wait for b: a may not overwrite yet what b reads."""
    a, b = Stream(non_blocking=True), Stream(non_blocking=True)
    x, y = ones(a), ones(b)
    b.wait_event(a.record())
    with b:
        add(x, y)
    with a, pytest.raises(EmulatorError, match="overwrites what kernel add reads"):
        x.fill(0)
    a.wait_event(b.record())
    with a:
        x.fill(0)


def test_the_default_stream_waits_for_blocking_streams_and_they_for_it(add: Any) -> None:
    blocking = Stream()
    x, y = ones(blocking), ones()
    add(x, y)  # in the default stream, after the copy into x
    with blocking:
        y.fill(5)  # after the kernel
    np.testing.assert_array_equal(y.get(), 5)
    two, y = Stream(), ones()
    with two:
        add(x, y)  # the default stream stands between `blocking` and `two`
    np.testing.assert_array_equal(y.get(), 2)


def test_a_deep_copy_is_made_in_the_current_stream() -> None:
    for stream, array in [(stream, ones(stream)) for stream in (Stream(), Stream.null)]:
        np.testing.assert_array_equal(copy.deepcopy(array).get(stream=stream), 1)
    with Stream(non_blocking=True) as other:
        np.testing.assert_array_equal(copy.deepcopy(ones(other)).get(), 1)
    with pytest.raises(EmulatorError, match="copy .* in the default stream .* reads what set"):
        copy.deepcopy(ones(Stream(non_blocking=True)))


def test_two_blocking_streams_are_not_ordered_by_themselves(add: Any) -> None:
    a, b = Stream(), Stream()
    x, y = ones(a), ones(b)
    with b, pytest.raises(EmulatorError, match="reads what set"):
        add(x, y)


def test_the_default_stream_does_not_order_a_non_blocking_stream(add: Any) -> None:
    free = Stream(non_blocking=True)
    x, y = ones(free), ones()
    with pytest.raises(EmulatorError, match="kernel add in the default stream of device 0 reads what"):
        add(x, y)
    with free, pytest.raises(EmulatorError, match=r"fill\(\) .* in stream .* writes in the default stream"):
        y.fill(0)


# -- reused memory

def test_memory_that_is_freed_while_another_stream_reads_it(add: Any) -> None:
    """x is allocated and freed in stream a; b still has to read it; a takes the memory again and overwrites it."""
    a, b = Stream(non_blocking=True), Stream(non_blocking=True)
    x, y = ones(a), ones(b)
    b.wait_event(a.record())
    with b:
        add(x, y)
    address = x.data.ptr
    del x
    with a:
        new = cupy.empty(4, F4)
        assert new.data.ptr == address
        with pytest.raises(EmulatorError, match="first use of newly allocated memory.* what kernel add reads"):
            new.fill(0)
        a.wait_event(b.record())
        new.fill(0)
    np.testing.assert_array_equal(y.get(b), 2)
    np.testing.assert_array_equal(new.get(a), 0)


def test_memory_that_is_freed_and_taken_in_the_order_of_one_stream(add: Any) -> None:
    a = Stream(non_blocking=True)
    x, y = ones(a), ones(a)
    with a:
        add(x, y)
        address = x.data.ptr
        del x
        new = cupy.empty(4, F4)
        assert new.data.ptr == address
        new.fill(7)
    np.testing.assert_array_equal(y.get(a), 2)
    np.testing.assert_array_equal(new.get(a), 7)


# -- devices and events

def test_a_stream_belongs_to_its_device(add: Any) -> None:
    stream = Stream(non_blocking=True)
    with Device(1):
        with pytest.raises(RuntimeError, match=r"created on \(0\) does not match with the current device \(1\)"):
            stream.use()
        with pytest.raises(RuntimeError, match="does not match"), stream:
            pass
        assert cupy.cuda.get_current_stream() == Stream.null
        kernel = cupy.RawModule(code=CODE).get_function("add")
        with pytest.raises(CUDADriverError, match="of device 0 cannot run a launch while device 1 is current"):
            kernel((1,), (4,), (ones(), ones()), stream=stream)
    with stream:
        assert cupy.cuda.get_current_stream() is stream
    assert cupy.cuda.get_current_stream() == Stream.null


def test_copies_between_devices_need_order_too() -> None:
    a = Stream(non_blocking=True)
    x, copied = ones(a), a.record()
    with Device(1):
        b = Stream(non_blocking=True)
        with b:
            y = cupy.empty(4, F4)
            with pytest.raises(EmulatorError, match=r"copy from device 0 to device 1 in stream .* reads what set\(\)"):
                y.data.copy_from_device_async(x.data, x.nbytes)
            b.wait_event(copied)
            y.data.copy_from_device_async(x.data, x.nbytes)
        np.testing.assert_array_equal(y.get(b), 1)


def test_an_event_belongs_to_its_device() -> None:
    event = Event()
    with Device(1):
        stream = Stream()
        with pytest.raises(CUDARuntimeError, match="event of device 0 cannot be recorded in stream .* of device 1"):
            event.record(stream)
        Event().record(stream)


def test_elapsed_time_is_that_of_the_work() -> None:
    stream, start, end = Stream(non_blocking=True), Event(), Event()
    with pytest.raises(CUDARuntimeError, match="start event was never recorded"):
        cupy.cuda.get_elapsed_time(start, end)
    start.record(stream)
    stream.queue.push("a nap", lambda: time.sleep(0.02))
    end.record(stream)
    with pytest.raises(CUDARuntimeError, match="NotReady"):
        cupy.cuda.get_elapsed_time(start, end)
    end.synchronize()
    assert 19 < cupy.cuda.get_elapsed_time(start, end) < 2000  # milliseconds; sleep never returns early
    end.record(stream)  # again: what happened before does not count
    with pytest.raises(CUDARuntimeError, match="the end event has not happened yet"):
        cupy.cuda.get_elapsed_time(start, end)
    untimed = Event(disable_timing=True)
    untimed.record(stream)
    with pytest.raises(CUDARuntimeError, match="disable_timing"):
        cupy.cuda.get_elapsed_time(start, untimed)


def test_threads_share_a_pool() -> None:
    """No block is handed out twice at the same time, however often the interpreter changes threads."""
    stream, wrong, interval = Stream(non_blocking=True), [], sys.getswitchinterval()
    in_use: set[int] = set()

    def work() -> None:
        try:
            with stream:
                for _ in range(8000):
                    array = cupy.empty(4, F4)
                    address = array.data.ptr
                    assert address not in in_use
                    in_use.add(address)
                    in_use.remove(address)
                    del array
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


# -- streams that come and go

def test_streams_that_are_gone_are_forgotten(add: Any) -> None:
    """Their work, their clocks and their memory, once the host has waited for them."""
    weight, queues, pool = ones(), [], cupy.get_default_memory_pool()
    cupy.cuda.Device().synchronize()
    for _ in range(50):
        stream = Stream(non_blocking=True)
        queues.append(weakref.ref(stream.queue))
        with stream:
            add(weight, ones(stream))
        stream.synchronize()
    del stream
    ones(Stream(non_blocking=True))
    gc.collect()
    assert sum(queue() is not None for queue in queues) < 5  # of 50; what touched a block last is remembered
    assert sum(device_id == 0 and not alive(pointer) for device_id, pointer in pool._shelves) < 5


@pytest.mark.parametrize("wait", [False, True])
def test_a_stream_that_is_gone_still_counts_until_the_host_has_waited(add: Any, wait: bool) -> None:
    x, y = ones(), ones()
    cupy.cuda.Device().synchronize()
    stream, other = Stream(non_blocking=True), Stream(non_blocking=True)
    with stream:
        add(x, y)
    event = stream.record()
    del stream
    if wait:
        event.synchronize()
    Stream(non_blocking=True)  # the time at which those that are gone are forgotten
    with other:
        if wait:
            add(y, x)
            np.testing.assert_array_equal(x.get(other), [3] * 4)
        else:
            with pytest.raises(EmulatorError, match="nothing orders the two"):
                add(y, x)
    cupy.cuda.Device().synchronize()


def test_a_stream_that_is_gone_is_waited_for_with_its_device(add: Any) -> None:
    with checking(streams="eager"):  # its work is done at once, but that is luck
        x, y = ones(), ones()
        cupy.cuda.Device().synchronize()
        stream = Stream(non_blocking=True)
        with stream:
            add(x, y)
        del stream
        other = Stream(non_blocking=True)
        cupy.cuda.Device().synchronize()
        with other:
            add(y, x)
        cupy.cuda.Device().synchronize()
