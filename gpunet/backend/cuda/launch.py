"""Launches: their geometry, and the checks that stand between Python's arguments and a kernel.

CUDA takes arguments as bytes: a float64 array where a kernel reads float32, a view with strides, a
Python number of another width are all taken without a word and give garbage. So a wrapper is made
for each kernel from its own C signature.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

from gpunet.backend.base import Array, DType
from gpunet.backend.cuda import source
from gpunet.backend.cuda.device import Device, Limits
from gpunet.backend.cuda.source import Parameter
from gpunet.errors import ArgumentError, DeviceError, DTypeError

WARP = 32
BLOCK = 256  # threads: the most that the kernels allow, see common.cuh
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

# What casts a number to each C type, and remembers: sizes and rates come again at every step.
# Multiplying refuses texts, which NumPy's types would read; `index` refuses fractions.
_numbers = {
    "float": functools.lru_cache(1024)(lambda value: np.float32(1.0 * value)),
    "double": functools.lru_cache(1024)(lambda value: np.float64(1.0 * value)),
    "long long": functools.lru_cache(4096)(lambda value: np.int64(operator.index(value))),
    "unsigned long long": functools.lru_cache(4096)(lambda value: np.uint64(operator.index(value))),
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

    Raises:
        DTypeError, ArgumentError, DeviceError: an argument is not.
    """

    def __init__(
        self, device: Device, name: str, parameters: source.Signature, dtype: str, function: Any
    ):
        self.device, self.name, self.parameters = device, name, parameters
        self._function = function
        self._steps = [self._step(parameter, dtype) for parameter in parameters]

    def _step(self, parameter: Parameter, dtype: str) -> tuple[Any, Any, Parameter]:
        """How an argument is looked at: (cast, None, ...) of a number, (None, dtype, ...) else.

        The dtype of a structure is None: it comes as an array of words of eight bytes.
        """
        accumulator = _ACCUMULATORS.get(dtype, "float32")
        floats = {"T": dtype, "acc_t": accumulator, "double": "float64"}
        if not parameter.pointer:
            kind = source.CUDA_TYPES.get(floats.get(parameter.type, ""), parameter.type)
            return _numbers[kind], None, parameter
        name = floats.get(parameter.type) or _WORDS.get(parameter.type)
        return None, name and _dtype(name), parameter

    def __call__(self, grid: Grid, block: int, *arguments: Any) -> None:
        if not grid[0]:
            return  # nothing to do
        if len(arguments) != len(self._steps):
            raise self._refuse("arguments", f"be {len(self._steps)}", len(arguments))
        values: list[Any] = []
        spans: list[tuple[int, int, Parameter]] = []
        for (cast, dtype, parameter), argument in zip(self._steps, arguments, strict=True):
            if cast is not None:
                values.append(self._number(cast, parameter, argument))
            elif argument is None and not parameter.written:
                values.append(None)
            else:
                values.append(argument)
                start = self._start(argument, dtype, parameter)
                spans.append((start, start + argument.nbytes, parameter))
        self._check_overlaps(spans)
        if grid[0] > MAX_GRID[0] or grid[1] > MAX_GRID[1] or not 0 < block <= BLOCK:
            raise self._refuse("the launch", f"have at most {MAX_GRID} blocks", f"{grid}, {block}")
        self.device.launch(self._function, grid, block, values)

    def _number(self, cast: Any, parameter: Parameter, value: Any) -> Any:
        try:
            return cast(value)
        except (TypeError, ValueError, OverflowError):
            got = f"{type(value).__name__} {value!r}"
            raise self._refuse(parameter.name, f"be a {parameter.type}", got) from None

    def _start(self, array: Any, dtype: Any, parameter: Parameter) -> int:
        """The address of an array that a kernel may be given."""
        device = self.device
        if type(array) is not device.array:
            got = type(array).__name__
            raise DTypeError(
                self.name, f"{parameter.name} must be an array of the device, got {got}"
            )
        if array.dtype.itemsize != 8 if dtype is None else array.dtype != dtype:
            rule = "of words of 8 bytes" if dtype is None else dtype
            raise DTypeError(self.name, f"{parameter.name} must be {rule}, got {array.dtype}")
        if device.number_of(array) != device.number:
            raise DeviceError(
                self.name,
                f"{parameter.name} must be on cuda:{device.number}, "
                f"got cuda:{device.number_of(array)}",
            )
        if not device.contiguous(array):
            raise self._refuse(parameter.name, "be C-contiguous", f"strides {array.strides}")
        return device.address(array)

    def _check_overlaps(self, spans: list[tuple[int, int, Parameter]]) -> None:
        for i, (start, stop, parameter) in enumerate(spans):
            if not parameter.written:
                continue
            for j, (other_start, other_stop, other) in enumerate(spans):
                if i == j or start >= other_stop or other_start >= stop or start == stop:
                    continue
                same = start == other_start and stop == other_stop
                if not same or parameter.alone or other.alone:
                    raise self._refuse(
                        f"{parameter.name} and {other.name}", "not overlap", "shared memory"
                    )

    def _refuse(self, what: str, rule: str, got: Any) -> ArgumentError:
        return ArgumentError(self.name, f"{what} must {rule}, got {got}")


def _dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":  # NumPy has it from this package, which whoever made the array has
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


# --- a family


class Family:
    """The kernels of one `.cu` file on one device; a subclass adds what is around each launch.

    Attributes:
        name: of the family. signatures: of its kernels, read from the source.
    """

    def __init__(self, backend: Any, name: str):
        self.backend, self.name = backend, name
        self.gpu: Device = backend.gpu
        self.empty, self.limits = self.gpu.empty, self.gpu.limits
        self.signatures = source.signatures(source.text(name))
        self._kernels: dict[tuple[str, Any], Kernel] = {}

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
            made = Kernel(self.gpu, each, parameters, dtype.name, loaded[each])
            self._kernels[each, dtype] = made
        return self._kernels[name, dtype]

    def like(self, x: Array) -> Array:
        """An uninitialised array of the shape and dtype of `x`."""
        return self.empty(x.shape, x.dtype)
