"""Elements read from, and written to, positions along one axis that a tensor of indices names."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import describe, is_tensor, one_device, shape_error, wrapped_axis
from gpunet.functional.conversion import clone
from gpunet.functional.indexing import ALL
from gpunet.functional.positions import (
    along,
    check_indices,
    check_range,
    fitting,
    sum_at,
    sum_rows,
)
from gpunet.functional.shape import broadcast_to, reshape

# --- an index for each element


def _corner(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of an array that begins like it and has `shape`."""
    return tuple([slice(n) for n in shape])


class Gather(Op):
    """y[i, j] = x[i, index[i, j]], for axis 1 of two."""

    takes_bfloat16 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, be: Backend, x: Array, index: Array) -> Array:
        self.shape, self.saved = x.shape, along(be, x.shape, index, self.axis)
        return be.xp.take(x.reshape(-1), self.saved)

    def backward(self, be: Backend, g: Array) -> Any:
        return sum_at(be, g, self.saved, self.shape), None


class Scatter(Op):
    """y = x, but y[i, index[i, j]] = src[i, j]; src may be a number."""

    takes_bfloat16 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, be: Backend, x: Array, index: Array, src: Any) -> Array:
        self.source = getattr(src, "shape", ())
        self.saved = along(be, x.shape, index, self.axis)
        y = be.copy(x)
        y.reshape(-1)[self.saved] = src[_corner(index.shape)] if self.source else src
        return y

    def backward(self, be: Backend, gy: Array) -> Any:
        positions, gx, gsrc = self.saved, None, None
        if self.needs[0]:
            gx = be.copy(gy)
            gx.reshape(-1)[positions] = 0
        if self.needs[2]:
            gsrc = _source_gradient(be, gy, positions, self.source)
        return gx, None, gsrc


class ScatterAdd(Op):
    """y = x, but src[i, j] is added to y[i, index[i, j]]."""

    takes_bfloat16 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, be: Backend, x: Array, index: Array, src: Array) -> Array:
        self.source = src.shape
        self.saved = along(be, x.shape, index, self.axis)
        added = src[_corner(index.shape)]
        if dtypes.floating(x.dtype):
            return be.xp.add(x, sum_at(be, added, self.saved, x.shape))
        y = be.cast(x, "int64")  # what CuPy adds to in place
        be.xp.add.at(y.reshape(-1), self.saved, be.cast(added, "int64"))
        return be.cast(y, x.dtype)

    def backward(self, be: Backend, gy: Array) -> Any:
        gsrc = _source_gradient(be, gy, self.saved, self.source) if self.needs[2] else None
        return gy if self.needs[0] else None, None, gsrc


def _source_gradient(be: Backend, gy: Array, positions: Array, shape: tuple[int, ...]) -> Array:
    """The gradient at `positions`, in the corner of the source that was read."""
    gsrc = be.full(shape, 0, gy.dtype)
    gsrc[_corner(positions.shape)] = gy.reshape(-1)[positions]
    return gsrc


def _index_for(operation: str, x: Tensor, dim: int, index: Any) -> int:
    """The axis; checks that `index` fits x as gather and scatter read it."""
    is_tensor(operation, "x", x)
    check_indices(operation, "index", index)
    one_device(operation, x, index)
    at = wrapped_axis(operation, x, dim)
    if not index.numel():
        return at
    if max(1, index.ndim) != max(1, x.ndim):
        rule = f"index must have as many axes as x, {x.ndim}, got {index.ndim}"
        shape_error(operation, rule, x=x, index=index)
    for i, (n, length) in enumerate(zip(index.shape, x.shape, strict=False)):
        if i != at and n > length:
            rule = f"index must not be larger than x but along axis {at}, got {index.shape}"
            shape_error(operation, rule, x=x, index=index)
    check_range(operation, "index", index, x.shape[at] if x.ndim else 1)
    return at


def _source_for(operation: str, x: Tensor, index: Tensor, src: Any) -> None:
    is_tensor(operation, "src", src)
    one_device(operation, x, src)
    if src.dtype != x.dtype:
        problem = f"src must be {x.dtype} as x, got {src.dtype}"
        raise DTypeError(operation, problem, describe(x=x, src=src))
    if index.numel():
        within = all(n <= m for n, m in zip(index.shape, src.shape, strict=False))
        if max(1, src.ndim) != max(1, index.ndim) or not within:
            rule = f"src must be at least as large as index, {index.shape}, got {src.shape}"
            shape_error(operation, rule, x=x, index=index, src=src)


def _with_axes(x: Any) -> Any:
    """A tensor without axes as one of a single element."""
    return reshape(x, 1) if isinstance(x, Tensor) and not x.ndim else x


@method()
def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i][j] = x[i][index[i][j]] for dim 1 of two axes, and so on for each `dim`.

    Shapes: x any, index with as many axes, and but for `dim` none longer; the result like index.

    >>> import gpunet
    >>> x = gpunet.tensor([[1, 2], [3, 4]])
    >>> x.gather(1, gpunet.tensor([[1, 1, 0], [0, 1, 0]]))
    tensor([[2, 2, 1],
            [3, 4, 3]])
    """
    at = _index_for("gather", x, dim, index)
    if not index.numel():  # of any shape
        return reshape(reshape(x, -1)[:0], index.shape)
    return reshape(apply(Gather(at), _with_axes(x), _with_axes(index)), index.shape)


@method()
def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As `gather`, but the other axes broadcast, and negative indices count from the end.

    Without `dim`, x and indices are taken as flat.
    Shapes: x (n, m), indices (n, k), dim 1; the result (n, k).
    Differs from PyTorch: negative indices are taken without `dim`, too.
    """
    is_tensor("take_along_dim", "x", x)
    check_indices("take_along_dim", "indices", indices)
    if dim is None:
        x, indices, dim = reshape(x, -1), reshape(indices, -1), 0
    at = wrapped_axis("take_along_dim", x, dim)
    if x.ndim != indices.ndim:
        rule = f"indices must have as many axes as x, {x.ndim}, got {indices.ndim}"
        shape_error("take_along_dim", rule, x=x, indices=indices)
    x, index = _with_axes(x), _with_axes(indices)
    n = x.shape[at]
    check_range("take_along_dim", "indices", index, n, -n)
    both = list(zip(x.shape, index.shape, strict=True))
    for i, (length, other) in enumerate(both):
        if i != at and length != other and 1 not in (length, other):
            rule = f"shapes must broadcast but along axis {at}, got {x.shape} and {index.shape}"
            shape_error("take_along_dim", rule, x=x, indices=indices)
    shape = [b if a == 1 else a for a, b in both]
    x = broadcast_to(x, (*shape[:at], n, *shape[at + 1 :]))
    index = broadcast_to(index, (*shape[:at], index.shape[at], *shape[at + 1 :]))
    from_front = index.backend.xp.where(index.array < 0, index.array + n, index.array)
    return reshape(apply(Gather(at), x, Tensor(from_front, index.backend)), index.shape)


@method("scatter", "scatter_")
def scatter(
    x: Tensor, dim: int, index: Tensor, src: Any = None, *, value: float | None = None
) -> Tensor:
    """y = x, but y[i][index[i][j]] = src[i][j] for dim 1 of two axes, and so on for each `dim`.

    In place of the tensor `src` there may be one number, also as `value`. Of several elements for
    one position the last is taken, on the CPU.
    Shapes: x any, index and src with as many axes; index nowhere longer than src, nor than x but
    along `dim`; the result like x.
    Differs from PyTorch: where a gradient is wanted `src` may be larger than index, too.
    """
    at = _index_for("scatter", x, dim, index)
    if (src is None) == (value is None):
        raise ArgumentError("scatter", "either src or value must be given, got both or none")
    if isinstance(src, Tensor):
        _source_for("scatter", x, index, src)
    else:
        src = fitting("scatter", "value", src if value is None else value, x)
    if not index.numel():
        return clone(x)
    y = apply(Scatter(at), _with_axes(x), _with_axes(index), _with_axes(src))
    return reshape(y, x.shape)


@method("scatter_add", "scatter_add_")
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """y = x, but src[i][j] is added to y[i][index[i][j]], and so on for each `dim`.

    Repeated positions add up, in order.
    Shapes: as `scatter`.
    Differs from PyTorch: where a gradient is wanted `src` may be larger than index, too.

    >>> import gpunet
    >>> index = gpunet.tensor([0, 1, 0])
    >>> gpunet.zeros(3).scatter_add(0, index, gpunet.tensor([1.0, 2.0, 4.0]))
    tensor([5., 2., 0.], dtype=float32)
    """
    at = _index_for("scatter_add", x, dim, index)
    _source_for("scatter_add", x, index, src)
    if not index.numel():
        return clone(x)
    y = apply(ScatterAdd(at), _with_axes(x), _with_axes(index), _with_axes(src))
    return reshape(y, x.shape)


# --- an index for each slice


class IndexSelect(Op):
    takes_bfloat16 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, be: Backend, x: Array, index: Array) -> Array:
        self.length, self.saved = x.shape[self.axis], index
        return be.xp.take(x, index, axis=self.axis)

    def backward(self, be: Backend, g: Array) -> Any:
        return sum_rows(be, g, self.saved, self.length, self.axis), None


class IndexAdd(Op):
    def __init__(self, axis: int, alpha: float):
        self.axis, self.alpha = axis, alpha

    def forward(self, be: Backend, x: Array, index: Array, source: Array) -> Array:
        self.saved = index
        if dtypes.floating(x.dtype):
            added = sum_rows(be, source, index, x.shape[self.axis], self.axis)
            return be.xp.add(x, added if self.alpha == 1 else be.xp.multiply(added, self.alpha))
        y = be.cast(x, "int64")  # what CuPy adds to in place
        added = be.cast(source, "int64") * int(self.alpha)
        be.xp.add.at(be.xp.moveaxis(y, self.axis, 0), index, be.xp.moveaxis(added, self.axis, 0))
        return be.cast(y, x.dtype)

    def backward(self, be: Backend, gy: Array) -> Any:
        gsource = None
        if self.needs[2]:
            gsource = be.xp.take(gy, self.saved, axis=self.axis)
            gsource = gsource if self.alpha == 1 else be.xp.multiply(gsource, self.alpha)
        return gy if self.needs[0] else None, None, gsource


class IndexPut(Op):
    """y = x, but the slices at `index` along the axis are those of `source`, or a number."""

    takes_bfloat16 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, be: Backend, x: Array, index: Array, source: Array) -> Array:
        self.saved, self.whole = index, source.ndim > 0
        y = be.copy(x)
        y[(ALL,) * self.axis + (index,)] = source
        return y

    def backward(self, be: Backend, gy: Array) -> Any:
        key, gx, gsource = (ALL,) * self.axis + (self.saved,), None, None
        if self.needs[0]:
            gx = be.copy(gy)
            gx[key] = 0
        if self.needs[2]:
            gsource = gy[key]
            gsource = gsource if self.whole else be.sum(gsource, tuple(range(gy.ndim)))
        return gx, None, gsource


def _vector_for(operation: str, x: Tensor, dim: int, index: Any, negative: bool = False) -> int:
    """The axis; `index` must be a vector (or a single position) in its range."""
    is_tensor(operation, "x", x)
    check_indices(operation, "index", index)
    at = wrapped_axis(operation, x, dim)
    if index.ndim > 1:
        shape_error(operation, f"index must have one axis, got shape {index.shape}", index=index)
    n = x.shape[at] if x.ndim else 1
    check_range(operation, "index", index, n, -n if negative else 0)
    return at


def _slices_for(operation: str, x: Tensor, at: int, index: Tensor, source: Any) -> None:
    is_tensor(operation, "source", source)
    if source.dtype != x.dtype:
        problem = f"source must be {x.dtype} as x, got {source.dtype}"
        raise DTypeError(operation, problem, describe(x=x, source=source))
    wanted = (*x.shape[:at], index.numel(), *x.shape[at + 1 :]) if x.ndim else ()
    if source.shape != wanted or (not x.ndim and index.numel() != 1):
        rule = f"source must have shape {wanted}, got {source.shape}"
        shape_error(operation, rule, x=x, index=index)


@method()
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of x at positions `index` along `dim`.

    Shapes: x (..., n, ...), index (k,); the result (..., k, ...).
    """
    at = _vector_for("index_select", x, dim, index)
    if not x.ndim and index.numel() != 1:
        shape_error("index_select", f"index must hold one position, got {index.numel()}", x=x)
    y = apply(IndexSelect(at), _with_axes(x), _with_axes(index))
    return y if x.ndim else reshape(y, ())


@method("index_add", "index_add_")
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """y = x, but slice k of `source`, times `alpha`, is added at position index[k] along `dim`.

    Repeated positions add up, in order.
    Shapes: x (..., n, ...), index (k,), source (..., k, ...); the result like x.
    """
    at = _vector_for("index_add", x, dim, index)
    _slices_for("index_add", x, at, index, source)
    y = apply(IndexAdd(at, alpha), *map(_with_axes, (x, index, source)))
    return reshape(y, x.shape)


@method("index_copy", "index_copy_")
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """y = x, but the slice at position index[k] along `dim` is slice k of `source`.

    Shapes: x (..., n, ...), index (k,), source (..., k, ...); the result like x.
    """
    at = _vector_for("index_copy", x, dim, index)
    _slices_for("index_copy", x, at, index, source)
    y = apply(IndexPut(at), *map(_with_axes, (x, index, source)))
    return reshape(y, x.shape)


@method("index_fill", "index_fill_")
def index_fill(x: Tensor, dim: int, index: Tensor, value: Tensor | float) -> Tensor:
    """y = x, but `value`, one number, everywhere at positions `index` along `dim`.

    Negative positions count from the end.
    Shapes: x (..., n, ...), index (k,); the result like x.
    """
    at = _vector_for("index_fill", x, dim, index, negative=True)
    number = fitting("index_fill", "value", value, x)
    return reshape(apply(IndexPut(at), _with_axes(x), _with_axes(index), number), x.shape)
