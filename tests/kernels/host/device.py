"""A pretended GPU: guarded memory, and launches under every schedule of scheduler.cpp."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunet.backend.cuda.source import Parameter, cooperative
from tests.kernels.dtypes import Array
from tests.kernels.host.build import Kernel

FORWARD, REVERSE, RANDOM = range(3)
GUARD = 64  # random bytes on either side of an array, other ones for each array
FILL = 0xFF  # in new arrays: as a number of any floating dtype this is NaN


class KernelFault(AssertionError):
    """A kernel did what no kernel may do."""


@dataclass(frozen=True)
class Schedule:
    """Which thread runs next; see scheduler.cpp."""

    order: int
    depth_first: bool


SCHEDULES = tuple(
    Schedule(order, depth_first)
    for order in (FORWARD, REVERSE, RANDOM)
    for depth_first in (False, True)
)


class Device:
    """Memory with guards, and launches under one schedule."""

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self._random = np.random.default_rng(0)
        self._memory: list[tuple[Array, Array, slice]] = []

    def empty(self, shape: Any, dtype: Any, aligned: bool = True) -> Array:
        """An array full of NaN between two guards, aligned to 16 bytes or else not."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        length = GUARD + 16 + dtype.itemsize + size + GUARD
        memory = self._random.integers(0, 256, length, np.uint8)
        start = GUARD + -(memory.ctypes.data + GUARD) % 16 + (0 if aligned else dtype.itemsize)
        inside = slice(start, start + size)
        self._memory.append((memory, memory.copy(), inside))
        memory[inside] = FILL
        return memory[inside].view(dtype).reshape(shape)

    def array(self, values: Array, aligned: bool = True) -> Array:
        """A copy of `values` between two guards."""
        copy = self.empty(values.shape, values.dtype, aligned)
        copy[...] = values
        return copy

    def launch(
        self,
        kernel: Kernel,
        grid: int | tuple[int, int],
        block: int,
        *arguments: Any,
        shared: int = 0,
    ) -> None:
        """Runs a kernel. An array or None goes where it takes a pointer, a number elsewhere.

        Args:
            shared: bytes of dynamic shared memory.

        Raises:
            KernelFault: threads wait for ever, or memory outside an array was written.
            TypeError: an argument is not what the kernel's signature says.
        """
        if len(arguments) != len(kernel.parameters):
            raise TypeError(
                f"{kernel.name} takes {len(kernel.parameters)} arguments, got {len(arguments)}"
            )
        values = [
            _as_c(kernel, parameter, argument)
            for parameter, argument in zip(kernel.parameters, arguments, strict=True)
        ]
        addresses = (ctypes.c_void_p * len(values))(*[value.ctypes.data for value in values])
        grid_x, grid_y = grid if isinstance(grid, tuple) else (grid, 1)
        error = started(kernel, (grid_x, grid_y), block, addresses, shared, self.schedule)
        if error:
            raise KernelFault(f"{kernel.name}: {error.decode()}")
        for memory, original, inside in self._memory:
            changed = memory != original
            changed[inside] = False
            if changed.any():
                size = inside.stop - inside.start
                raise KernelFault(f"{kernel.name} writes outside an array of {size} bytes")


def started(
    kernel: Kernel,
    grid: tuple[int, int],
    block: int,
    addresses: Any,
    shared: int,
    schedule: Schedule,
) -> bytes | None:
    """Calls `launch` of scheduler.cpp; what went wrong, if anything did."""
    how = int(cooperative(kernel.parameters)), schedule.order, int(schedule.depth_first)
    error: bytes | None = kernel.library.launch(kernel.entry, addresses, *grid, block, shared, *how)
    return error


def _as_c(kernel: Kernel, parameter: Parameter, argument: Any) -> Array:
    """The argument as the kernel reads it: a number or an address, in an array of one element."""
    words = {
        "T": kernel.dtype.storage,
        "acc_t": kernel.dtype.accumulator,
        "double": np.float64,
        "long long": np.int64,
        "unsigned long long": np.uint64,
        "bool": np.bool_,
    }
    if not parameter.pointer:
        return np.array([argument], words[parameter.type])
    if argument is None:
        return np.zeros(1, np.uint64)
    expected = words.get(parameter.type, argument.dtype)
    if not argument.flags.c_contiguous or expected != argument.dtype:
        raise TypeError(
            f"{kernel.name}: {parameter.name} must be a contiguous array of {parameter.type}, "
            f"got {argument.dtype}"
        )
    return np.array([argument.ctypes.data], np.uint64)


def everywhere(program: Callable[[Device], Any]) -> Any:
    """What `program` returns (an array or a tuple of them), the same bits under every schedule.

    Raises:
        KernelFault: two schedules give different bits.
    """
    first = None
    for schedule in SCHEDULES:
        result = program(Device(schedule))
        arrays = result if isinstance(result, tuple) else (result,)
        bits = [np.ascontiguousarray(array).tobytes() for array in arrays]
        if first is None:
            first, expected = result, bits
        elif bits != expected:
            raise KernelFault(
                f"the result depends on the order of the threads: {SCHEDULES[0]}, {schedule}"
            )
    return first
