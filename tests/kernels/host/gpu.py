"""A pretended GPU for the whole CUDA backend: the thin layer of `gpunet.backend.cuda` on the host.

The same `.cu` text runs as on a GPU, thread by thread, under one schedule. It is small (two
processors of 512 threads), so that loops over a grid go round more than once.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Iterator
from typing import Any
from weakref import finalize

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gpunet.backend import cuda
from gpunet.backend.cuda.device import Limits, Memory, allocate
from gpunet.backend.random import random
from gpunet.errors import DeviceError
from tests.kernels.dtypes import DTYPES
from tests.kernels.host import build
from tests.kernels.host.array import HostArray, HostModule, wrapped
from tests.kernels.host.device import FORWARD, KernelFault, Schedule, started

_DTYPES = {dtype.name: dtype for dtype in DTYPES}


class OutOfMemory(Exception):
    """What CuPy's error of this name is."""


class HostGPU:
    """See `gpunet.backend.cuda.device.Device`.

    Args:
        capacity: bytes it pretends to have; arrays from `empty` count, and stay counted after their
            end until `release`, as in a pool that keeps everything.

    Attributes:
        launches: how many kernels were started.
    """

    name = "host"
    array = HostArray
    recording: Any = None
    limits = Limits(processors=2, threads=512, shared=227 << 10)

    def __init__(self, number: int = 0, capacity: int = 1 << 40):
        self.number, self.xp = number, HostModule(number)
        self.schedule = Schedule(FORWARD, depth_first=True)
        self.launches, self.capacity, self.used, self.kept = 0, capacity, 0, 0

    # --- arrays

    def empty(self, shape: Any, dtype: Any) -> Any:
        shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = allocate(self, self._ask, size, OutOfMemory)
        start = -memory.ctypes.data % 64
        array = wrapped(memory[start : start + size].view(dtype).reshape(shape), self.number)
        finalize(memory, self._keep, size)
        return array

    def _ask(self, size: int) -> Any:
        if self.used + self.kept + size > self.capacity:
            raise OutOfMemory
        self.used += size
        return np.full(size + 64, 0xFF, np.uint8)  # NaN to all that read before they write

    def _keep(self, size: int) -> None:
        self.used, self.kept = self.used - size, self.kept + size

    def from_host(self, values: Any, dtype: Any = None) -> Any:
        return wrapped(np.array(values, dtype, order="C"), self.number)

    def to_host(self, array: Any) -> Any:
        return array.get()

    def copy(self, array: Any) -> Any:
        return array.copy(order="C")

    def shared_word(self, value: int) -> Any:
        word = self.from_host(np.full(1, value, np.uint64))
        return word, word.view(np.ndarray)

    def number_of(self, array: Any) -> int:
        return array.number

    def span(self, array: Any) -> Any:
        if not array.flags.c_contiguous or array.number != self.number:
            return None
        start = _address(array)
        return start, start + array.nbytes

    def address(self, array: Any) -> int:
        return _address(array)

    def contiguous(self, array: Any) -> bool:
        return array.flags.c_contiguous

    # --- kernels

    def scalar(self, value: Any) -> Any:
        return value

    def load(self, family: str, dtype: str) -> Any:
        return build.load(family, _DTYPES[dtype])

    def launch(
        self,
        function: Any,
        grid: tuple[int, int],
        block: int,
        values: list[Any],
        shared: int,
        cooperative: bool,
    ) -> None:
        self.launches += 1
        assert shared <= self.limits.shared, "the launch would be refused"
        if cooperative and grid[0] * grid[1] > self.limits.processors:
            raise KernelFault(f"{function.name}: more blocks than run at once")
        words = [
            np.array([0 if value is None else _address(value)], np.uint64)
            if value is None or isinstance(value, HostArray)
            else np.array([value])
            for value in values
        ]
        addresses = (ctypes.c_void_p * len(words))(*[word.ctypes.data for word in words])
        error = started(function, grid, block, addresses, shared, self.schedule)
        if error:
            raise KernelFault(f"{function.name}: {error.decode()}")

    def gemm(
        self,
        transpose: tuple[bool, bool],
        sizes: tuple[int, int, int],
        a: tuple[Any, int, int],
        b: tuple[Any, int, int],
        c: tuple[Any, int, int],
        batch: int,
        tf32: bool,
    ) -> None:
        """cuBLAS's contract, word by word: matrices column by column, one after the other."""
        m, n, k = sizes
        first = _columns(a, (k, m) if transpose[0] else (m, k), batch)
        second = _columns(b, (n, k) if transpose[1] else (k, n), batch)
        result = _columns(c, (m, n), batch)
        first = first.swapaxes(1, 2) if transpose[0] else first
        second = second.swapaxes(1, 2) if transpose[1] else second
        sums = np.float64 if result.dtype == np.float64 else np.float32
        first, second = first.astype(sums), second.astype(sums)
        if tf32 and result.dtype == np.float32:
            first, second = _tf32(first), _tf32(second)
        if batch == 1:  # BLAS is called for two axes only
            first, second, result = first[0], second[0], result[0]
        result[...] = np.matmul(first, second)

    # --- order and time

    @contextlib.contextmanager
    def stream(self) -> Iterator[Any]:
        yield self  # all work is done when its call returns, whatever the stream

    def record(self, work: Any, offset: Any) -> tuple[Any, Any]:
        """Here nothing is recorded: a launch of the graph does the work anew.

        The first one was done here already. As little may be read meanwhile as on a GPU.
        """
        graph = HostGraph(self, work, offset)
        graph.run()
        return graph, graph

    def event(self) -> HostEvent:
        return HostEvent()

    def synchronize(self) -> None:
        HostArray.reads += 1

    # --- memory

    def memory(self) -> Memory:
        free = self.capacity - self.used - self.kept
        return Memory(self.capacity, free, self.used, self.kept)

    def largest_block(self) -> int:
        return self.capacity - self.used - self.kept

    def release(self) -> None:
        self.kept = 0


class _AtOnce(list[Any]):
    """Actions, which the first run needs to be done already."""

    def append(self, action: Any) -> None:
        action()
        super().append(action)


class HostGraph:
    """A recording and its graph; see `HostGPU.record`."""

    def __init__(self, gpu: HostGPU, work: Any, offset: Any):
        self.gpu, self.work, self.offset, self.counter = gpu, work, offset, random.counter
        self.each_time: list[Any] = _AtOnce()
        self.done = 0

    def launch(self) -> None:
        self.done += 1
        if self.done > 1:
            known, counter = self.each_time, random.counter
            self.each_time, random.counter = [], self.counter  # as recorded; `offset` moved on
            self.run()
            self.each_time, random.counter = known, counter

    def run(self) -> None:
        reads, self.gpu.recording = HostArray.reads, self
        try:
            self.work()
        finally:
            self.gpu.recording = None
        if HostArray.reads > reads:
            raise DeviceError("capture", "the step cannot be recorded: it read from the device")


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]


class HostEvent:
    """See `gpunet.backend.cuda.device.Event`."""

    def __init__(self) -> None:
        self.at = time.perf_counter()

    def milliseconds_since(self, earlier: HostEvent) -> float:
        return 1000 * (self.at - earlier.at)


def _columns(operand: tuple[Any, int, int], shape: tuple[int, int], batch: int) -> Any:
    """The matrices of a batch, as cuBLAS finds them behind an address."""
    array, dimension, distance = operand
    assert dimension >= max(1, shape[0]), "cuBLAS refuses this leading dimension"
    size = array.dtype.itemsize
    strides = (distance * size, size, dimension * size)
    return as_strided(array.view(np.ndarray), (batch, *shape), strides)


def _tf32(x: Any) -> Any:
    """float32 rounded to TF32's ten bits of fraction."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


@contextlib.contextmanager
def pretended(*gpus: HostGPU) -> Iterator[None]:
    """Inside, these are the machine's GPUs, and `gpunet.backend.get("cuda:0")` is the first."""
    before = cuda.probe, cuda.open_device, dict(cuda._backends)
    cuda._backends.clear()

    def open_device(number: int) -> Any:
        from gpunet.errors import DeviceError

        if number >= len(gpus):
            raise DeviceError("device", f"cuda:{number} does not exist: {len(gpus)} GPU found")
        return gpus[number]

    cuda.probe, cuda.open_device = lambda: "", open_device  # type: ignore[assignment]
    try:
        yield
    finally:
        cuda.probe, cuda.open_device = before[:2]  # type: ignore[assignment]
        cuda._backends.clear()
        cuda._backends.update(before[2])
