"""The thin layer on CuPy: arrays, memory, streams, cuBLAS and launches of a real GPU.

This module and `recording.py` import CuPy, besides `probe.py`, which finds out whether it can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any
from weakref import WeakSet

import cupy
import numpy as np
from cupy.cuda import driver, runtime
from cupy.cuda.function import CNumpyArray

from gpunet.backend.base import Array, DType, Shape
from gpunet.backend.cuda import loader, nvrtc
from gpunet.backend.cuda.device import Limits, Memory, allocate
from gpunet.backend.cuda.recording import Recording, record
from gpunet.errors import DeviceError, MissingPackageError

CUBLAS = {12: "nvidia-cublas-cu12", 13: "'nvidia-cublas==13.*'"}  # its wheels, by version of CUDA
_TRANSPOSE, _DEFAULT_ALGORITHM = 1, -1
# cudaDataType_t of the elements and cublasComputeType_t of the sums, by the letter of each dtype.
_GEMM = {"f": (0, 68), "d": (1, 70), "e": (2, 68), "E": (14, 68)}
_TF32 = 77
# What cuBLAS multiplies the product and the old result by, in the type of the sums; the addresses.
_FACTORS = {dtype: np.array([1, 0], dtype) for dtype in ("float32", "float64")}
_SCALARS = {
    sums: (factors.ctypes.data, factors.ctypes.data + factors.itemsize)
    for sums, dtype in ((68, "float32"), (77, "float32"), (70, "float64"))
    for factors in (_FACTORS[dtype],)
}


class CuPyDevice:
    """See `gpunet.backend.cuda.device.Device`."""

    array = cupy.ndarray
    recording: Recording | None = None

    def __init__(self, number: int):
        """Makes GPU `number` the current one of this thread, and sets it up.

        Raises:
            DeviceError: there is no such GPU, or it does not answer.
        """
        count = runtime.getDeviceCount()
        if number >= count:
            raise DeviceError(
                "device", f"cuda:{number} does not exist: {count} GPU{'s' * (count > 1)} found"
            )
        self.number, self._several = number, count > 1
        try:
            runtime.setDevice(number)
            properties = runtime.getDeviceProperties(number)
            runtime.free(0)  # makes the context: from here on, the GPU is known to work
        except runtime.CUDARuntimeError as error:
            raise DeviceError("device", f"cuda:{number} does not answer: {error}") from error
        self.name = properties["name"].decode()
        self.architecture = properties["major"] * 10 + properties["minor"]
        self.limits = Limits(
            properties["multiProcessorCount"],
            properties["maxThreadsPerMultiProcessor"],
            runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, number),
        )
        self.xp = _OnDevice(number) if self._several else cupy
        self._pool = cupy.get_default_memory_pool()
        self._recordings: WeakSet[Recording] = WeakSet()
        self._report_shortage()

    def _make_current(self) -> None:
        """CuPy works on the GPU that is current on this thread; with one, that is always it."""
        if self._several:
            runtime.setDevice(self.number)

    def _report_shortage(self) -> None:
        """Puts our message around CuPy's allocator, whichever is in force."""
        inner = cupy.cuda.get_allocator()
        if getattr(inner, "of_gpunet", False):
            return

        refused = cupy.cuda.memory.OutOfMemoryError

        def allocator(size: int) -> Any:
            try:
                return inner(size)  # without a further call in between: a step asks often
            except refused:
                return allocate(self, inner, size, refused)

        allocator.of_gpunet = True  # type: ignore[attr-defined]
        cupy.cuda.set_allocator(allocator)

    # --- arrays

    def empty(self, shape: Shape, dtype: DType) -> Array:
        self._make_current()
        return cupy.ndarray(shape, dtype)

    def from_host(self, values: Any, dtype: DType | None = None) -> Array:
        self._make_current()
        if self.recording is not None:
            values = np.asarray(values, dtype)
            # What the graph writes into its own pool it may write again where this array begins.
            with cupy.cuda.using_allocator(self._pool.malloc):
                array = cupy.empty(values.shape, values.dtype)
            return self.recording.constant(array, values)
        # CuPy copies into pinned memory of its own, starts the transfer on the current stream and
        # does not wait for it: a batch travels while the step before it is computed.
        return cupy.asarray(values, dtype)

    def to_host(self, array: Array) -> Any:
        return array.get()

    def copy(self, array: Array) -> Array:
        if not array._c_contiguous or not array.size:
            return array.copy(order="C")
        copy = self.empty(array.shape, array.dtype)
        # Half of the time that CuPy's own takes to be asked for, which launches a kernel.
        copy.data.copy_from_device_async(array.data, array.nbytes)
        return copy

    def shared_word(self, value: int) -> tuple[Array, Any]:
        self._make_current()
        pinned = cupy.cuda.alloc_pinned_memory(8)
        on_host = np.frombuffer(pinned, np.uint64, 1)
        on_host[0] = value
        memory = cupy.cuda.UnownedMemory(pinned.ptr, 8, pinned, self.number)
        word = cupy.ndarray((1,), np.uint64, cupy.cuda.MemoryPointer(memory, 0))
        return word, on_host

    def number_of(self, array: Array) -> int:
        return array.data.device_id

    def span(self, array: Array) -> tuple[int, int] | None:
        data = array.data
        if not array._c_contiguous or data.device_id != self.number:
            return None
        start = data.ptr
        return start, start + array.nbytes

    def address(self, array: Array) -> int:
        return array.data.ptr

    def contiguous(self, array: Array) -> bool:
        return array._c_contiguous  # a tenth of the time that `flags` takes

    # --- kernels

    def scalar(self, value: Any) -> Any:
        return CNumpyArray(np.array(value))  # what CuPy would make of it at every launch

    @cached_property
    def compiler(self) -> nvrtc.Compiler:
        """NVRTC of the version of CUDA that CuPy was built for: the driver can load what it makes.

        Raises:
            MissingPackageError: it is not installed.
        """
        return nvrtc.get(runtime.runtimeGetVersion() // 1000)

    def load(self, family: str, dtype: str) -> dict[str, Any]:
        return _Loaded(self, str(loader.binary(family, dtype, self.architecture, self.compiler)))

    def launch(
        self,
        function: Any,
        grid: tuple[int, int],
        block: int,
        values: list[Any],
        shared: int,
        cooperative: bool,
    ) -> None:
        self._make_current()
        # CuPy passes an array's address; None it passes in a longer way.
        arguments = [_NULL if value is None else value for value in values]
        if not cooperative and not shared:  # the most frequent way, by the shortest path
            return function(grid, (block,), arguments)
        if shared > _UNASKED:
            most = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            driver.funcSetAttribute(function.ptr, most, shared)
        function(grid, (block,), arguments, shared, enable_cooperative_groups=cooperative)

    @cached_property
    def _cublas(self) -> Any:
        try:
            from cupy.cuda import cublas
        except ImportError as error:
            wheel = CUBLAS.get(runtime.runtimeGetVersion() // 1000, "nvidia-cublas")
            raise MissingPackageError(
                "matmul", f"cuBLAS is missing ({error}); pip install {wheel}"
            ) from error
        return cublas

    def gemm(
        self,
        transpose: tuple[bool, bool],
        sizes: tuple[int, int, int],
        a: tuple[Array, int, int],
        b: tuple[Array, int, int],
        c: tuple[Array, int, int],
        batch: int,
        tf32: bool,
    ) -> None:
        element, sums = _GEMM[a[0].dtype.char]
        if tf32 and sums == 68 and element == 0:
            sums = _TF32
        self._make_current()
        one, zero = _SCALARS[sums]
        arguments = (
            *(_TRANSPOSE if transpose[0] else 0, _TRANSPOSE if transpose[1] else 0),
            *sizes,
            one,
            *(a[0].data.ptr, element, a[1], a[2]),
            *(b[0].data.ptr, element, b[1], b[2]),
            zero,
            *(c[0].data.ptr, element, c[1], c[2]),
            *(batch, sums, _DEFAULT_ALGORITHM),
        )
        if self.recording is not None:
            self.recording.gemm(*arguments)
        else:
            handle = cupy.cuda.device.get_cublas_handle()
            self._cublas.gemmStridedBatchedEx(handle, *arguments)

    # --- order and time

    @contextlib.contextmanager
    def stream(self) -> Iterator[Any]:
        self._make_current()
        with cupy.cuda.Stream(non_blocking=True) as stream:
            yield stream

    def record(self, work: Callable[[], Any], offset: Array) -> tuple[Recording, Any]:
        self._make_current()
        recording, graph = record(self, work, offset)
        self._recordings.add(recording)
        return recording, graph

    def event(self) -> CuPyEvent:
        self._make_current()
        return CuPyEvent()

    def synchronize(self) -> None:
        self._make_current()
        runtime.deviceSynchronize()

    # --- memory

    def memory(self) -> Memory:
        self._make_current()
        free, total = runtime.memGetInfo()
        recorded = sum(recording.pool.total_bytes() for recording in self._recordings)
        return Memory(total, free, self._pool.used_bytes() + recorded, self._pool.free_bytes())

    def largest_block(self) -> int:
        self._make_current()
        low, high = 0, runtime.memGetInfo()[0]
        while high - low > _MEGABYTE:
            size = (low + high) // 2
            try:
                runtime.free(runtime.malloc(size))
                low = size
            except runtime.CUDARuntimeError:
                high = size
        return low

    def release(self) -> None:
        self._make_current()
        self._pool.free_all_blocks()


_NULL, _MEGABYTE = CNumpyArray(np.array(0, np.uint64)), 1 << 20
_UNASKED = 48 << 10  # bytes of shared memory that a launch gets without asking


class _Loaded(dict[str, Any]):
    """The functions of a binary, each looked up when it is first asked for."""

    def __init__(self, device: CuPyDevice, path: str):
        super().__init__()
        self._module, self._make_current = cupy.RawModule(path=path), device._make_current

    def __missing__(self, name: str) -> Any:
        self._make_current()
        # `RawKernel` looks its `Function` up anew at each launch; the wrapper keeps it.
        self[name] = function = self._module.get_function(name).kernel
        return function


class CuPyEvent:
    """See `gpunet.backend.cuda.device.Event`."""

    def __init__(self) -> None:
        self.event = cupy.cuda.Event()
        self.event.record()

    def milliseconds_since(self, earlier: CuPyEvent) -> float:
        self.event.synchronize()
        return cupy.cuda.get_elapsed_time(earlier.event, self.event)


class _OnDevice:
    """CuPy's functions, each run with one GPU current: only where there are several."""

    def __init__(self, number: int):
        self._number = number

    def __getattr__(self, name: str) -> Any:
        function = getattr(cupy, name)
        if isinstance(function, type) or not callable(function):
            return function
        number = self._number

        def call(*arguments: Any, **keywords: Any) -> Any:
            runtime.setDevice(number)
            return function(*arguments, **keywords)

        if hasattr(function, "at"):
            call.at = function.at  # type: ignore[attr-defined]
        setattr(self, name, call)
        return call
