"""A step recorded once and launched as a whole: CUDA graphs.

Of a small network's step the GPU needs less time than Python does to give it out, launch by launch.
A recorded step is given out at once. It repeats what was launched, on the same arrays in the same
memory; what Python decides anew at every step is kept in device memory, and written there before
each launch of the whole (`each_time`).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
from cupy.cuda import runtime

from gpunet.backend.base import Array
from gpunet.errors import DeviceError

WORKSPACE = 32 << 20  # bytes that cuBLAS asks for on the largest GPUs
_READ = "the step must read nothing from the device while it is recorded (no item, no print, no if)"


class Recording:
    """What is noted while a step is recorded, and must live as long as it.

    Attributes:
        pool: that the arrays lie in which only the recorded step uses.
        offset: (1,) uint64, by how many calls the random numbers are ahead of the recorded ones.
        constants: arrays, and what they hold: copies from the host wait until the end.
        each_time: what is to be done before each launch.
    """

    def __init__(self, offset: Array, stream: Any):
        self.offset, self.pool = offset, cupy.cuda.MemoryPool()
        self.constants: list[tuple[Array, Any]] = []
        self.each_time: list[Callable[[], None]] = []
        self._workspace = cupy.cuda.alloc(WORKSPACE)
        self._handle = _handle(runtime.getDevice())
        _call("SetStream_v2", self._handle, ctypes.c_void_p(stream.ptr))
        # cuBLAS would ask for memory by itself, which must not happen while a stream is recorded.
        memory = ctypes.c_void_p(self._workspace.ptr), ctypes.c_size_t(WORKSPACE)
        _call("SetWorkspace_v2", self._handle, *memory)

    def constant(self, array: Array, values: Any) -> Array:
        """`array`, which will hold `values`."""
        self.constants.append((array, np.array(values, array.dtype, order="C")))
        return array

    def gemm(self, *arguments: Any) -> None:
        """cublasGemmStridedBatchedEx: CuPy's own refuses to be recorded.

        `arguments` are those of CuPy's function, but for the handle.
        """
        matrix: list[Any] = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
        kinds = [ctypes.c_int] * 5 + [ctypes.c_void_p] + matrix * 2
        kinds += [ctypes.c_void_p] + matrix + [ctypes.c_int] * 3
        words = [kind(value) for kind, value in zip(kinds, arguments, strict=True)]
        _call("GemmStridedBatchedEx", self._handle, *words)


def _call(name: str, *arguments: Any) -> None:
    status = getattr(_cublas(), f"cublas{name}")(*arguments)
    if status:
        raise DeviceError("capture", f"cublas{name} failed with status {status}")


@functools.cache
def _cublas() -> ctypes.CDLL:
    from cuda.pathfinder import load_nvidia_dynamic_lib  # CuPy finds its libraries by it, too

    return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)


@functools.cache
def _handle(number: int) -> ctypes.c_void_p:
    """cuBLAS's handle of the current GPU, `number`, for all that is recorded there."""
    handle = ctypes.c_void_p()
    _call("Create_v2", ctypes.byref(handle))
    return handle


def record(device: Any, work: Callable[[], Any], offset: Array) -> tuple[Recording, Any]:
    """The recording of `work`, and the graph that launches it, which has not run yet.

    Raises:
        DeviceError: `work` does what cannot be recorded.
    """
    stream = cupy.cuda.Stream(non_blocking=True)
    recording = Recording(offset, stream)
    device.synchronize()
    device.recording = recording
    try:
        with stream, cupy.cuda.using_allocator(recording.pool.malloc):
            stream.begin_capture()
            try:
                work()
            except BaseException:
                with contextlib.suppress(runtime.CUDARuntimeError):
                    stream.end_capture()
                raise
            graph = stream.end_capture()
    except RuntimeError as error:  # CuPy's own, or CUDA's
        raise DeviceError("capture", f"the step cannot be recorded: {error}", _READ) from error
    finally:
        device.recording = None
    for array, values in recording.constants:
        array.set(values)
    device.synchronize()
    return recording, graph
