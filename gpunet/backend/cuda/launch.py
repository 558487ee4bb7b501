"""Launches: their geometry, and the checks that stand between Python's arguments and a kernel.

CUDA takes arguments as bytes: a float64 array where a kernel reads float32, a view with strides, a
Python number of another width are all taken without a word and give garbage. So a wrapper is made
for each kernel from its own C signature.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from gpunet.backend.base import Array, DType
from gpunet.backend.cuda import source
from gpunet.backend.cuda.device import Device, Limits
from gpunet.backend.cuda.source import Parameter
from gpunet.errors import ArgumentError, DeviceError, DTypeError

WARP = 32
BLOCK = 256  # threads: the most that the kernels allow, see common.cuh
HELD = 16  # elements of a row that a thread has in registers, see Panel of common.cuh
MAX_GRID = (2**31 - 1, 65535)  # CUDA's own limits

Grid = tuple[int, int]

# --- geometry


def grid_stride(limits: Limits, items: int) -> tuple[Grid, int]:
    """For loops over `items` that all threads share: as many threads as the device holds, or fewer.

    Returns: grid and threads a block, as all functions here.
    """
    most = max(1, limits.processors * limits.threads // BLOCK)
    return (min(_ceil(items, BLOCK), most), 1), BLOCK


def block_per_row(limits: Limits, rows: int, columns: int) -> tuple[Grid, int]:
    """For loops over rows, a whole block to each: a thread a column, blocks as the device holds."""
    threads = min(BLOCK, max(1, _ceil(columns, WARP)) * WARP)
    most = max(1, limits.processors * limits.threads // threads)
    return (min(rows, most), 1), threads


def panel_per_row(limits: Limits, rows: int, columns: int) -> tuple[Grid, int]:
    """As `block_per_row`, for rows that lie in registers: a thread for HELD columns."""
    return block_per_row(limits, rows, _ceil(columns, HELD))


def warp_per_row(rows: int) -> tuple[Grid, int]:
    """For loops over rows, a warp to each, in blocks of four: blocks for all of them.

    Not as many as the device holds at once: that depends on a kernel's registers, and a last round
    that is half empty costs more than it takes to start a block.
    """
    return (min(_ceil(rows, 4), MAX_GRID[0]), 1), 4 * WARP


def column_tiles(limits: Limits, rows: int, columns: int) -> tuple[Grid, int]:
    """For sums over columns: blocks of 32 columns, times the pieces that the rows are cut into.

    A piece has at least eight rows for each warp: fewer would be more launch than sum.
    """
    tiles = _ceil(columns, WARP)
    most = limits.processors * limits.threads // BLOCK
    pieces = min(max(1, most // max(1, tiles)), _ceil(rows, 8 * BLOCK // WARP), MAX_GRID[1])
    return (tiles, max(1, pieces)), BLOCK


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


# --- one kernel

# What casts a number to each C type. Multiplying refuses texts, which NumPy's types would read;
# `index` refuses fractions.
_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "float": lambda value: np.float32(1.0 * value),
    "double": lambda value: np.float64(1.0 * value),
    "long long": lambda value: np.int64(operator.index(value)),
    "unsigned long long": lambda value: np.uint64(operator.index(value)),
    "bool": np.bool_,
}
_WORDS = {"long long": "int64", "unsigned long long": "uint64", "unsigned": "uint32"}
_ACCUMULATORS = {"float64": "float64"}  # of all others float32


class Kernel:
    """A kernel of one dtype, called with grid, threads a block, and its arguments in order.

    Each argument must be what the C signature says: a C-contiguous array of the pointer's dtype on
    this device, or None for an array that is only read; a number, which is cast. An array that is
    written may be an input too where the signature does not say `__restrict__`, but may not share a
    part of its memory with another.

    `shared` are bytes of dynamic shared memory. A kernel that takes a `GridBarrier` is launched
    cooperatively.

    Raises:
        DTypeError, ArgumentError, DeviceError: an argument is not.
    """

    layout = "C-contiguous"

    def __init__(
        self,
        device: Device,
        name: str,
        parameters: source.Signature,
        dtype: str,
        function: Any,
        numbers: dict[str, Callable[[Any], Any]],
    ):
        self.device, self.name, self.parameters = device, name, parameters
        self._function, self._array, self._span = function, device.array, device.span
        self._cooperative = source.cooperative(parameters)
        accumulator = _ACCUMULATORS.get(dtype, "float32")
        floats = {"T": dtype, "acc_t": accumulator, "double": "float64"}
        # By position: how to cast; the dtype, None of a structure, which comes as words of 8 bytes.
        self._numbers, self._pointers = [], []
        for i, p in enumerate(parameters):
            if p.pointer:
                word = floats.get(p.type) or _WORDS.get(p.type)
                self._pointers.append((i, word and _dtype(word), p.written))
            else:
                kind = source.CUDA_TYPES.get(floats.get(p.type, ""), p.type)
                self._numbers.append((i, numbers[kind]))
        # What is written is compared with all other arrays; (i, j, whether both may be the same).
        self._pairs = [
            (i, j, not (parameters[i].alone or parameters[j].alone))
            for i, _, written in self._pointers
            for j, _, other_written in self._pointers
            if written and (i < j or (i > j and not other_written))
        ]

    def __call__(self, grid: Grid, block: int, *arguments: Any, shared: int = 0) -> None:
        if not grid[0]:
            return  # nothing to do
        values = list(arguments)
        starts = [0] * len(self.parameters)
        stops = starts.copy()
        if len(values) != len(starts):
            raise self._refuse("arguments", f"be {len(starts)}", len(values))
        for i, cast in self._numbers:
            try:
                values[i] = cast(values[i])
            except (TypeError, ValueError, OverflowError):
                self._no_number(self.parameters[i], values[i])
        for i, dtype, written in self._pointers:
            x = values[i]
            if x is None and not written:
                continue
            span = None
            if type(x) is self._array and (x.itemsize == 8 if dtype is None else x.dtype == dtype):
                span = self._span(x)
            starts[i], stops[i] = span or self._look_closer(self.parameters[i], x, dtype)
        for i, j, may_be_same in self._pairs:
            if starts[i] < stops[j] and starts[j] < stops[i]:
                same = starts[i] == starts[j] and stops[i] == stops[j]
                if not (same and may_be_same) and not self._interleaved(values[i], values[j]):
                    names = f"{self.parameters[i].name} and {self.parameters[j].name}"
                    raise self._refuse(names, "not overlap", "shared memory")
        if grid[0] > MAX_GRID[0] or grid[1] > MAX_GRID[1] or not 0 < block <= BLOCK:
            raise self._refuse("the launch", f"have at most {MAX_GRID} blocks", f"{grid}, {block}")
        self.device.launch(self._function, grid, block, values, shared, self._cooperative)

    def _no_number(self, parameter: Parameter, value: Any) -> NoReturn:
        got = f"{type(value).__name__} {value!r}"
        raise self._refuse(parameter.name, f"be a {parameter.type}", got) from None

    def _look_closer(self, parameter: Parameter, x: Any, dtype: Any) -> tuple[int, int]:
        """What is wrong with an array; where it reaches, if its layout alone is another."""
        device, name = self.device, parameter.name
        if type(x) is not device.array:
            got = type(x).__name__
            raise DTypeError(self.name, f"{name} must be an array of the device, got {got}")
        if x.dtype.itemsize != 8 if dtype is None else x.dtype != dtype:
            rule = "of words of 8 bytes" if dtype is None else dtype
            raise DTypeError(self.name, f"{name} must be {rule}, got {x.dtype}")
        if device.number_of(x) != device.number:
            here, there = device.number, device.number_of(x)
            raise DeviceError(self.name, f"{name} must be on cuda:{here}, got cuda:{there}")
        span = self._reach(x)
        if span is None:
            raise self._refuse(name, f"be {self.layout}", f"strides {x.strides}")
        return span

    def _reach(self, x: Any) -> tuple[int, int] | None:
        """Where an array starts and ends; None if the kernel cannot take its layout."""
        return self.device.span(x)

    def _interleaved(self, x: Any, y: Any) -> bool:
        """Whether two arrays that reach into each other share no element."""
        return False

    def _refuse(self, what: str, rule: str, got: Any) -> ArgumentError:
        return ArgumentError(self.name, f"{what} must {rule}, got {got}")


def _dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":  # NumPy has it from this package, which whoever made the array has
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


# --- a family


class Family:
    """The kernels of one family on one device; a subclass adds what is around each launch.

    Attributes:
        name: of the family. signatures: of its kernels, read from the source.
        wrapper: what checks the arguments of its kernels.
    """

    wrapper = Kernel

    def __init__(self, backend: Any, name: str):
        self.backend, self.name = backend, name
        self.gpu: Device = backend.gpu
        self.empty, self.limits = self.gpu.empty, self.gpu.limits
        self.signatures = source.signatures(source.text(name))
        self._kernels: dict[tuple[str, Any], Kernel] = {}
        # Sizes and rates come again at every step, so what they are to the device is remembered.
        self._numbers: dict[str, Callable[[Any], Any]] = {
            kind: functools.lru_cache(4096)(lambda value, cast=cast: self.gpu.scalar(cast(value)))
            for kind, cast in _NUMBERS.items()
        }

    def kernel(self, name: str, dtype: DType) -> Kernel:
        """A kernel by name, compiled for a dtype on first use."""
        try:
            return self._kernels[name, dtype]
        except KeyError:
            pass
        if dtype.name not in source.CUDA_TYPES:
            floats = ", ".join(source.CUDA_TYPES)
            raise DTypeError(name, f"arrays must be of {floats}, got {dtype}")
        loaded = self.gpu.load(self.name, dtype.name)
        for each, parameters in self.signatures.items():
            made = self.wrapper(self.gpu, each, parameters, dtype.name, loaded[each], self._numbers)
            self._kernels[each, dtype] = made
        return self._kernels[name, dtype]

    def like(self, x: Array) -> Array:
        """An uninitialised array of the shape and dtype of `x`."""
        return self.empty(x.shape, x.dtype)
