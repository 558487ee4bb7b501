"""Backends: the CPU (NumPy + Numba) and CUDA (CuPy), behind one protocol (`base.Backend`).

`get("cpu")` gives one by device name, `of(array)` the one that owns an array, and `resolve("auto")`
takes the GPU where one works and says in one line why not otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from gpunet.backend import dtypes
from gpunet.backend.base import Array, Backend, DType, Shape
from gpunet.backend.cpu import CPUBackend
from gpunet.backend.random import random
from gpunet.errors import ArgumentError, DeviceError, DTypeError, GpunetError

__all__ = [
    "Array",
    "Backend",
    "DType",
    "Shape",
    "cpu",
    "dtype",
    "dtypes",
    "from_dlpack",
    "get",
    "of",
    "random",
    "resolve",
]

cpu: Backend = CPUBackend()
_DEVICE = re.compile(r"cuda(?::(\d+))?")


def get(device: str) -> Backend:
    """The backend of `"cpu"`, `"cuda"` or `"cuda:N"`.

    Raises:
        ArgumentError: another word.
        DeviceError: no such device works here; the message says why and how to mend it.
    """
    if device == "cpu":
        return cpu
    match = _DEVICE.fullmatch(device)
    if not match:
        raise ArgumentError("device", f'must be "cpu", "cuda" or "cuda:N", got {device!r}')
    from gpunet.backend import cuda

    return cuda.get(int(match[1] or 0))


def resolve(device: str, step_size: Callable[[], int] | None = None) -> tuple[Backend, str]:
    """The backend for `device`, which may be `"auto"`, and a line for the user.

    The line says what was chosen and why.

    Args:
        step_size: tells the multiply-adds of a training step, forward. `"auto"` then takes the CPU
            if `gpunet bench` found that the GPU here needs larger steps to be faster.
    """
    if device != "auto":
        backend = get(device)
        return backend, f"device {backend.device}"
    from gpunet.backend import crossover, cuda

    reason = cuda.probe()
    if not reason:
        try:
            found = cuda.get(0)
            least = crossover.known(found.gpu.name).get("step")
            if not least or step_size is None or (size := step_size()) >= least:
                return found, f"device {found.device} ({found.gpu.name})"
            reason = (
                f"a step has {size:,} multiply-adds, "
                f"and {found.gpu.name} is faster from {least:,} on, by gpunet bench"
            )
        except GpunetError as error:
            reason = error.problem
    return cpu, f"device cpu ({reason})"


def of(array: Any) -> Backend:
    """The backend that owns `array`.

    Raises:
        DeviceError: the object belongs to no backend.
    """
    if type(array) is np.ndarray:
        return cpu
    from gpunet.backend import cuda

    if found := cuda.of(array):
        return found
    if isinstance(array, np.ndarray):
        return cpu
    raise DeviceError("backend.of", f"must be a numpy or cupy array, got {type(array).__name__}")


def dtype(name: DType) -> Any:
    """The `numpy.dtype` of numbers by name or type.

    Raises:
        DTypeError: it names no dtype of numbers that gpunet computes with.
        MissingPackageError: it is bfloat16, and ml_dtypes is not installed.
    """
    if type(name) is str and name == "bfloat16":  # which NumPy knows when ml_dtypes is imported
        return dtypes.bfloat16()
    try:
        found = np.dtype(name)
    except TypeError:
        found = None
    if found is None or (found not in dtypes.ALL and found.char != "E"):
        known = ", ".join([*map(str, dtypes.ALL), "bfloat16"])
        raise DTypeError("dtype", f"must be one of {known}, got {name!r}")
    return found


def from_dlpack(values: Any) -> Array:
    """The array over the memory of another library's tensor.

    Raises:
        DeviceError: the memory lies on a device that cannot be used here.
    """
    kind, number = values.__dlpack_device__()
    if kind == 1:  # kDLCPU
        return np.from_dlpack(values)
    return get(f"cuda:{number}").xp.from_dlpack(values)
