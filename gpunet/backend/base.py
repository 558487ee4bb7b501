"""What a backend is: arrays of one device, and the operations on them that all else is written in.

An operation of `gpunet.functional` gets a backend and raw arrays, and never asks which one it got:

    class ReLU(Op):
        def forward(self, be, x):
            return be.activation.relu_fwd(x)

`be.activation` is a kernel family. The name is the address: `be.activation.relu_fwd` is written in
`gpunet/backend/cpu/activation.py` for the CPU and in `kernels/activation.cu` for CUDA. Families are
modules, found by name on first use; there is no list of them.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from gpunet.backend.dtypes import HALVES, floating

Array = Any  # numpy.ndarray or cupy.ndarray, C or strided, of the backend's own device
DType = Any  # anything numpy.dtype() takes
Shape = tuple[int, ...]
WIDE = {"e": "float32", "E": "float32"}  # in what sums of a dtype are added up, if not in itself
WIDER = {**WIDE, "f": "float64"}  # in what running sums are


class Backend(ABC):
    """Arrays and kernels of one device.

    Attributes:
        device: `"cpu"` or `"cuda:N"`.
        xp: the array module (NumPy's functions; those of large arrays are the backend's own,
            see its `elementwise.py`).
    """

    device: str
    xp: Any
    package: str  # where the kernel families live, e.g. "gpunet.backend.cpu"

    def __getattr__(self, family: str) -> Any:
        # Runs once a family: the module is then an ordinary attribute.
        if family.startswith("_"):
            raise AttributeError(family)
        name = f"{self.package}.{family}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise AttributeError(f"backend {self.device} has no kernel family {family!r}") from None
        setattr(self, family, module)
        return module

    def __repr__(self) -> str:
        return f"<backend {self.device}>"

    def __reduce__(self) -> Any:
        # A copy of a model is on the very same backend, of which there is one a device.
        return importlib.import_module("gpunet.backend").get, (self.device,)

    @abstractmethod
    def empty(self, shape: Shape, dtype: DType) -> Array:
        """Uninitialised C-contiguous array, 64-byte aligned when large."""

    @abstractmethod
    def asarray(self, values: Any, dtype: DType | None = None) -> Array:
        """`values` (array, nested lists or number) as an array of this device.

        Copies only if it must.
        """

    @abstractmethod
    def to_host(self, array: Array) -> Any:
        """The array as a `numpy.ndarray`; waits for the device."""

    @abstractmethod
    def copy(self, array: Array) -> Array:
        """A C-contiguous copy that shares no memory with `array`."""

    @abstractmethod
    def cast(self, array: Array, dtype: DType) -> Array:
        """A copy in another dtype: reals are rounded to reals, cut off to integers."""

    @abstractmethod
    def contiguous(self, array: Array) -> Array:
        """`array` itself if it is C-contiguous, else a C-contiguous copy."""

    @abstractmethod
    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Matrix product over the last two axes, leading axes broadcast (at least 2-D each).

        Transposed views are taken as they are: BLAS reads them without a copy. The product is
        written into `out` if given, which has its shape and dtype, and any strides.
        """

    def product(self, x: Array, w: Array) -> Any:
        """x·wᵀ for a forward kernel of `activation`, as both its `x` and its `out`.

        The pair (x, w) itself where that kernel forms the product in the same sweep.
        Shapes: x (N, in), w (out, in).
        """
        return self.matmul(x, w.T)

    def linear(self, x: Array, w: Array, bias: Array) -> Array:
        """x·wᵀ + bias. Shapes: x (N, in), w (out, in), bias (out,), which is contiguous."""
        z = self.product(x, w)
        return self.activation.identity_fwd(z, bias=bias, out=z)

    def linear_bwd(
        self, gz: Array, x: Array, w: Array, needs: Sequence[bool]
    ) -> tuple[Array | None, ...]:
        """Gradients of x, w and b in z = x·wᵀ + b: gz·w, gzᵀ·x and Σ gz over the rows.

        Those that are not needed are None. Shapes: gz (N, out), x (N, in), w (out, in).
        """
        need_x, need_w, need_b = needs
        gx = self.matmul(gz, w) if need_x else None
        gw = self.matmul(gz.T, x) if need_w else None
        gb = self.reduction.column_sum(self.contiguous(gz)) if need_b else None
        return gx, gw, gb

    def attends_at_once(self, q: Array, v: Array) -> bool:
        """Whether `attend` and `attend_bwd` hold no more scores if they are given more rows."""
        return False

    def attend(self, q: Array, k: Array, v: Array, out: Array, scale: float, first: int) -> Any:
        """out = P·v with P = softmax(scale·q·kᵀ), where query i sees the first `first` + i keys.

        Shapes: q (..., L, E), k (..., S, E), v (..., S, Ev), out (..., L, Ev), with the same
        leading axes, L and S >= 1. `out` is contiguous along the last axis.

        Returns:
            What `attend_bwd` wants to be given as `kept`: arrays, or None.
        """
        scores = self.matmul(q, k.swapaxes(-1, -2))
        self.matmul(self.softmax.weights_fwd(scores, scale, first), v, out)

    def attend_bwd(
        self,
        gy: Array,
        operands: tuple[Array, Array, Array],
        gradients: tuple[Array, Array, Array],
        scale: float,
        first: int,
        kept: Any,
    ) -> None:
        """Writes the gradients of q, k and v: gv = Pᵀ·gy, gq = gS·k, gk = gSᵀ·q.

        gS = scale·P ⊙ (gP − Σ gP ⊙ P) along each row, with gP = gy·vᵀ.
        """
        (q, k, v), (gq, gk, gv) = operands, gradients
        scores = self.matmul(q, k.swapaxes(-1, -2))
        weights = self.softmax.weights_fwd(scores, scale, first)
        self.matmul(weights.swapaxes(-1, -2), gy, gv)
        g = self.softmax.weights_bwd(self.matmul(gy, v.swapaxes(-1, -2)), weights, scale)
        self.matmul(g, k, gq)
        self.matmul(g.swapaxes(-1, -2), q, gk)

    @abstractmethod
    def full(self, shape: Shape, value: float, dtype: DType) -> Array:
        """C-contiguous array filled with `value`."""

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """Arrays of one dtype, one behind the other along an axis."""
        shape = list(arrays[0].shape)
        shape[axis] = sum([x.shape[axis] for x in arrays])
        out = self.empty(tuple(shape), arrays[0].dtype)
        self._join(arrays, axis, out)
        return out

    def _join(self, arrays: Sequence[Array], axis: int, out: Array) -> None:
        self.xp.concatenate(arrays, axis, out=out)

    @abstractmethod
    def owns(self, array: Any) -> bool:
        """Whether `array` is an array of this device."""

    def sum(self, x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
        """Sum over axes, as an array; halves are added up in float32. Integers give int64."""
        total = self.xp.sum(x, axis=axis, keepdims=keepdims, dtype=WIDE.get(x.dtype.char))
        return self.xp.asarray(total, x.dtype if x.dtype.char in HALVES else None)

    def check_positions(self, x: Array, keys: Sequence[Any]) -> None:  # noqa: B027
        """Refuses what `x[keys]` cannot pick, with an IndexError, where `x[keys]` would not."""

    def floor_divide(self, x: Any, y: Any) -> Array:
        """x / y rounded down: exactly, also where x / y itself would round up to a whole number."""
        return self.xp.floor_divide(x, y)

    def remainder(self, x: Any, y: Any) -> Array:
        """x − y·floor(x / y), exactly; it has the sign of y."""
        return self.xp.remainder(x, y)

    def argsort(
        self, x: Array, axis: int, descending: bool = False, ranks: Array | None = None
    ) -> Array:
        """Positions of the elements in order along an axis; equal ones keep theirs, NaN is largest.

        With `ranks`, only of the elements at these places of the order. They are as many along the
        axis as are wanted; where they are the same for all rows, the other axes may have length 1.
        """
        order = in_order(self.xp, x, axis, descending)
        if ranks is None:
            return order
        shape = list(x.shape)
        shape[axis] = ranks.shape[axis]
        return self.xp.take_along_axis(order, self.xp.broadcast_to(ranks, shape), axis)

    def take_along(self, x: Array, indices: Array, axis: int) -> Array:
        """The elements of x at positions along an axis; other axes are as long as x's."""
        return self.xp.take_along_axis(x, indices, axis)

    def running(self, name: str, x: Array, axis: int, backwards: bool = False) -> Array:
        """`"cumsum"` or `"cumprod"` along an axis; where `backwards`, from its end on.

        As many roundings are behind a result as elements: floats are computed in the wider type.
        """
        x = self.xp.flip(x, axis) if backwards else x
        y = getattr(self.xp, name)(x, axis=axis, dtype=WIDER.get(x.dtype.char, x.dtype))
        y = self.asarray(y, x.dtype)
        return self.contiguous(self.xp.flip(y, axis)) if backwards else y

    def running_extrema(self, x: Array, axis: int, largest: bool) -> tuple[Array, Array]:
        """Running maximum or minimum along an axis, and where it was met last; NaN wins."""
        xp, name = self.xp, "maximum" if largest else "minimum"
        y = self.accumulate(name, x, axis)
        new = xp.equal(x, y)
        if floating(x.dtype):  # NaN stays the extremum, and is met anew where x is NaN
            new = xp.logical_or(new, xp.isnan(x))
        count = [-1 if i == axis else 1 for i in range(x.ndim)]
        places = xp.arange(x.shape[axis], dtype="int64").reshape(count)
        return y, self.accumulate("maximum", xp.where(new, places, 0), axis)

    def accumulate(self, name: str, x: Array, axis: int) -> Array:
        """Running result of an associative function of two (`"maximum"`, say) along an axis.

        By doubling: after each step an element holds the result of twice as many before it.
        """
        function = getattr(self.xp, name)
        y = self.copy(x)
        along = y.swapaxes(axis, 0)
        step = 1
        while step < len(along):
            along[step:] = function(along[:-step], along[step:])
            step *= 2
        return y

    def each_time(self, action: Callable[[], None]) -> None:
        """Does what a step takes from Python: now, or before each launch if it is recorded."""
        action()

    @abstractmethod
    def memory_in_use(self) -> int:
        """Bytes under arrays that are alive; on the CPU without those of less than 64 KiB."""

    @abstractmethod
    def synchronize(self) -> None:
        """Waits until all work given to the device is done."""


def in_order(xp: Any, x: Array, axis: int, descending: bool) -> Array:
    """Positions of the elements in order, by the functions of an array module."""
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    flipped = xp.flip(xp.argsort(xp.flip(x, axis), axis=axis, kind="stable"), axis)
    return xp.subtract(x.shape[axis] - 1, flipped)
