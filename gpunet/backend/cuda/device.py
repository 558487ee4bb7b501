"""The thin layer between gpunet and a GPU: all that the CUDA backend asks of one.

There are two implementations: CuPy's (`cupy_device.py`), and one in the tests that runs the same
`.cu` text on the host. So every line of Python above this layer, with its grids, argument types and
shapes, runs on a machine without a GPU.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from gpunet.backend.base import Array, DType, Shape
from gpunet.errors import DeviceMemoryError


@dataclass(frozen=True)
class Limits:
    """What launches are measured by.

    Attributes:
        processors: streaming multiprocessors.
        threads: that one of them holds at once.
        shared: bytes of shared memory that a block can have.
    """

    processors: int
    threads: int
    shared: int


@dataclass(frozen=True)
class Memory:
    """Bytes of a device's memory: all, free for anybody, in gpunet's arrays, kept unused."""

    total: int
    free: int
    used: int
    kept: int


class Event(Protocol):
    """A moment in the device's work; see `Device.event`."""

    def milliseconds_since(self, earlier: Any) -> float:
        """Time between two events; waits for this one."""


class Device(Protocol):
    """One GPU.

    Attributes:
        number: N of "cuda:N". name: as the maker calls it.
        xp: the array module; results of its functions are arrays of this device.
        array: the class of its arrays.
        limits: see `Limits`.
        recording: what a step that is being recorded notes, see `recording.py`; else None.
    """

    number: int
    name: str
    xp: Any
    array: Any
    limits: Limits
    recording: Any

    def empty(self, shape: Shape, dtype: DType) -> Array:
        """Uninitialised C-contiguous array, aligned to 16 bytes at least."""

    def from_host(self, values: Any, dtype: DType | None = None) -> Array:
        """A copy of a `numpy.ndarray`, or of nested lists, on the device."""

    def to_host(self, array: Array) -> Any:
        """A copy as a `numpy.ndarray`; waits for the work before it on the current stream."""

    def copy(self, array: Array) -> Array:
        """A C-contiguous copy."""

    def shared_word(self, value: int) -> tuple[Array, Any]:
        """(1,) uint64 in the host's memory that kernels reach: for the device, and for NumPy."""

    def number_of(self, array: Array) -> int:
        """The number of the device that an array of this class is on."""

    def span(self, array: Array) -> tuple[int, int] | None:
        """Where an array starts and ends; None if it has gaps or is on another device."""

    def address(self, array: Array) -> int:
        """Where the first element of an array lies, whatever its strides."""

    def contiguous(self, array: Array) -> bool:
        """Whether the elements lie in C order without gaps."""

    def scalar(self, value: Any) -> Any:
        """A NumPy scalar as `launch` takes it."""

    def load(self, family: str, dtype: str) -> Any:
        """The compiled kernels of a family for a dtype, by name: `loaded[name]` is launchable."""

    def launch(
        self,
        function: Any,
        grid: tuple[int, int],
        block: int,
        values: list[Any],
        shared: int,
        cooperative: bool,
    ) -> None:
        """Starts a kernel on the current stream. `values` are arrays, None or what `scalar` made.

        `shared` are bytes of dynamic shared memory a block. All blocks of a `cooperative` launch
        run at once; it is an error if the device has no room for them.
        """

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
        """cuBLAS's strided batched product c = op(a)·op(b), of matrices stored column by column.

        op(a) is (m, k), op(b) (k, n), c (m, n) for sizes (m, n, k). Each of a, b, c is an array,
        its leading dimension and the distance of one matrix of the batch to the next, in elements.
        Sums of half types are kept in float32. `tf32` allows rounding float32 factors to TF32.
        """

    def stream(self) -> AbstractContextManager[Any]:
        """Inside `with device.stream():`, work goes to a stream of its own."""

    def record(self, work: Callable[[], Any], offset: Array) -> tuple[Any, Any]:
        """Records what `work` launches; returns the recording, and a graph with `launch()`.

        Nothing of it has run before the first launch. `offset`: see `recording.Recording`.
        """

    def event(self) -> Event:
        """Marks the point that the current stream has been given work up to."""

    def synchronize(self) -> None:
        """Waits until all work given to the device is done."""

    def memory(self) -> Memory:
        """How its memory is used now."""

    def largest_block(self) -> int:
        """Bytes of the largest block that can be had now; found by trying."""

    def release(self) -> None:
        """Gives memory that is kept unused back to the device."""


def allocate(device: Device, ask: Any, size: int, refused: type[Exception]) -> Any:
    """`ask(size)`: memory of that many bytes, if need be after all unused memory was given up.

    Args:
        refused: what `ask` raises when there is not enough.

    Raises:
        DeviceMemoryError: there is not enough; the message says what was asked, what is free, and
            what holds the rest.
    """
    try:
        return ask(size)
    except refused:
        gc.collect()  # arrays that only wait for the collector
        device.release()
    try:
        return ask(size)
    except refused as error:
        raise DeviceMemoryError(
            f"cuda:{device.number}", _shortage(device, size), _holders(device)
        ) from error


def _shortage(device: Device, size: int) -> str:
    memory = device.memory()
    others = max(0, memory.total - memory.free - memory.used - memory.kept)
    return (
        f"out of memory: asked for {_bytes(size)}, got {_bytes(memory.free)} free of "
        f"{_bytes(memory.total)}, {_bytes(device.largest_block())} in one block; arrays here hold "
        f"{_bytes(memory.used)}, unused blocks {_bytes(memory.kept)}, CUDA itself and other "
        f"programs {_bytes(others)}"
    )


def _holders(device: Device, most: int = 3) -> str:
    """The arrays that take the most memory, of equal ones together."""
    sizes: Counter[tuple[Shape, str]] = Counter()
    counts: Counter[tuple[Shape, str]] = Counter()
    for x in gc.get_objects():
        # An array with a base is a view: its memory is counted there.
        if type(x) is device.array and type(x.base) is not device.array:
            kind = tuple(x.shape), str(x.dtype)
            sizes[kind] += x.nbytes
            counts[kind] += 1
    largest = [
        f"{counts[kind]} × {kind[0]} {kind[1]} ({_bytes(size)})"
        for kind, size in sizes.most_common(most)
    ]
    return "the largest arrays are " + (", ".join(largest) or "none")


def _bytes(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size = size / 1000  # type: ignore[assignment]
    return f"{size:.3g} GB"
