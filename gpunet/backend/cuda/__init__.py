"""CUDA backend: CuPy for arrays and memory, cuBLAS for matrix products, kernels/*.cu for the rest.

    probe.py    why there is no GPU          device.py, cupy_device.py    the thin layer on a GPU
    source.py   reads kernels/*.cu           launch.py, pointwise.py      checked launches
    nvrtc.py, loader.py  compile, cache      activation.py, ...           a module a kernel family

CuPy is imported when the first GPU is opened, never by `import gpunet`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from gpunet.backend.base import Array, Backend, DType, Shape
from gpunet.backend.cuda.device import Device
from gpunet.backend.cuda.elementwise import LargeCuPy
from gpunet.backend.cuda.faults import Faults
from gpunet.backend.cuda.matmul import matmul
from gpunet.backend.cuda.positions import check_positions
from gpunet.backend.cuda.probe import probe
from gpunet.backend.cuda.source import folder
from gpunet.backend.random import random
from gpunet.errors import DeviceError

__all__ = ["CUDABackend", "folder", "get", "of", "probe"]


FEW = 8  # arrays that are joined one by one
LONG = 1 << 16  # elements from which on columns are summed up by a kernel of our own


class CUDABackend(Backend):
    """See `Backend`; arrays are `cupy.ndarray`.

    Attributes:
        allow_tf32: whether matrix products of float32 may round their factors to TF32, which is
            several times as fast from compute capability 8.0 on; as in PyTorch, False at first.
        gpu: the thin layer. faults: see `faults.py`.
    """

    package = __name__

    def __init__(self, gpu: Device):
        self.gpu, self.device = gpu, f"cuda:{gpu.number}"
        self.xp, self.faults, self.allow_tf32 = LargeCuPy(self), Faults(gpu), False
        self.empty = gpu.empty  # type: ignore[method-assign]  # spares a call on the hottest path

    def __getattr__(self, family: str) -> Any:
        module = super().__getattr__(family)
        kernels = getattr(module, family.capitalize(), None)
        if kernels is None:  # a module of this package that is no family
            delattr(self, family)
            raise AttributeError(f"backend {self.device} has no kernel family {family!r}")
        setattr(self, family, kernels(self, family))
        return getattr(self, family)

    def empty(self, shape: Shape, dtype: DType) -> Array:
        return self.gpu.empty(shape, dtype)

    def asarray(self, values: Any, dtype: DType | None = None) -> Array:
        if not self.owns(values):
            on_host = self.gpu.to_host(values) if type(values) is self.gpu.array else values
            return self.gpu.from_host(on_host, dtype)
        return values if dtype is None or values.dtype == dtype else values.astype(dtype)

    def to_host(self, array: Array) -> Any:
        values = self.gpu.to_host(array)
        self.faults.check()
        return values

    def copy(self, array: Array) -> Array:
        return self.gpu.copy(array)

    def cast(self, array: Array, dtype: DType) -> Array:
        return self.gpu.copy(array) if array.dtype == dtype else array.astype(dtype, order="C")

    def contiguous(self, array: Array) -> Array:
        return array if self.gpu.contiguous(array) else self.gpu.copy(array)

    def owns(self, array: Any) -> bool:
        return type(array) is self.gpu.array and self.gpu.number_of(array) == self.gpu.number

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        product = matmul(self.gpu, a, b, self.allow_tf32)
        if out is None:
            return product
        out[...] = product
        return out

    def attends_at_once(self, q: Array, v: Array) -> bool:
        return self.attention.fits(q, v)

    def attend(self, q: Array, k: Array, v: Array, out: Array, scale: float, first: int) -> Any:
        if not self.attention.fits(q, v):
            return super().attend(q, k, v, out, scale, first)
        return self.attention.attention_fwd(q, k, v, out, scale, first)

    def attend_bwd(
        self,
        gy: Array,
        operands: tuple[Array, Array, Array],
        gradients: tuple[Array, Array, Array],
        scale: float,
        first: int,
        kept: Any,
    ) -> None:
        if kept is None:
            super().attend_bwd(gy, operands, gradients, scale, first, kept)
        else:
            self.attention.attention_bwd(gy, *operands, *gradients, scale, first, kept)

    def _join(self, arrays: Sequence[Array], axis: int, out: Array) -> None:
        if self.gpu.recording is None and len(arrays) > FEW:
            return super()._join(arrays, axis, out)
        # CuPy brings a table of addresses from the host: for a few arrays that takes longer than to
        # copy them one by one, and it cannot be recorded.
        before, start = (slice(None),) * (axis % out.ndim), 0
        for x in arrays:
            stop = start + x.shape[axis]
            part = (*before, slice(start, stop))
            out[part] = x
            start = stop

    def sum(self, x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
        # CuPy sums rows fast, and columns slowly.
        kept = x.shape[len(axis) :]
        columns = axis == tuple(range(len(axis))) and 0 < len(axis) < x.ndim
        if not columns or x.size < LONG or x.dtype.kind not in "fV" or not self.gpu.contiguous(x):
            return super().sum(x, axis, keepdims)
        total = self.reduction.column_sum(x.reshape(-1, prod(kept)))
        return total.reshape((1,) * len(axis) + kept if keepdims else kept)

    def check_positions(self, x: Array, keys: Sequence[Any]) -> None:
        check_positions(x, keys)

    def floor_divide(self, x: Any, y: Any) -> Array:
        xp = self.xp
        if not _real(x, y):
            return xp.floor_divide(x, y)
        # CuPy rounds x / y down when it has been rounded already. What is left when x is made a
        # multiple of y is exact, and so is the number of times up to one rounding.
        whole = xp.rint(xp.divide(xp.subtract(x, self.remainder(x, y)), y))
        return xp.where(xp.equal(y, 0), xp.divide(x, y), whole)

    def remainder(self, x: Any, y: Any) -> Array:
        xp = self.xp
        if not _real(x, y):
            return xp.remainder(x, y)
        rest = xp.fmod(x, y)  # exact; it has the sign of x
        other_side = xp.logical_and(xp.not_equal(rest, 0), xp.not_equal(rest < 0, xp.less(y, 0)))
        return xp.where(other_side, xp.add(rest, y), rest)

    def full(self, shape: Shape, value: float, dtype: DType) -> Array:
        out = self.empty(shape, dtype)
        if type(value) is self.gpu.array:  # CuPy's `fill` would read it
            out[...] = value
        else:
            out.fill(value)
        return out

    def each_time(self, action: Callable[[], None]) -> None:
        if self.gpu.recording is None:
            action()
        else:
            self.gpu.recording.each_time.append(action)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records what `work` launches, without doing it; the function that does it.

        Random numbers of the device go on from call to call.

        Raises:
            DeviceError: `work` does what cannot be recorded.
        """
        offset, start = self.full((1,), 0, "uint64"), random.counter
        recording, graph = self.gpu.record(work, offset)
        drawn, random.counter = random.counter - start, start

        def replay() -> None:
            if drawn:
                offset.fill(random.counter - start)
                random.counter += drawn
            for action in recording.each_time:
                action()
            graph.launch()

        return replay

    def memory_in_use(self) -> int:
        return self.gpu.memory().used

    def synchronize(self) -> None:
        self.gpu.synchronize()
        self.faults.check()


def _real(x: Any, y: Any) -> bool:
    """Whether at least one of two operands, arrays or numbers, is no integer."""
    return any(a.dtype.kind == "f" if hasattr(a, "dtype") else type(a) is float for a in (x, y))


_backends: dict[int, CUDABackend] = {}


def open_device(number: int) -> Device:
    """The thin layer on a GPU; the place where CuPy is imported."""
    from gpunet.backend.cuda.cupy_device import CuPyDevice

    return CuPyDevice(number)


def get(number: int) -> CUDABackend:
    """The backend of `cuda:number`, of which there is one.

    Raises:
        DeviceError: CUDA cannot be used here, or there is no such GPU; the message says why.
    """
    if number not in _backends:
        if reason := probe():
            raise DeviceError(
                "device", f"cuda:{number} cannot be used: {reason}", "use device cpu or auto"
            )
        _backends[number] = CUDABackend(open_device(number))
    return _backends[number]


def of(array: Any) -> CUDABackend | None:
    """The backend that owns an array; None if it is no array of a GPU."""
    for backend in _backends.values():
        if type(array) is backend.gpu.array:
            return get(backend.gpu.number_of(array))
    if type(array).__module__.partition(".")[0] == "cupy" and hasattr(array, "data"):
        return get(array.data.device_id)
    return None
