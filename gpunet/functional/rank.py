"""Elements by their rank: median, quantiles, the k-th smallest; and the most frequent one."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import describe, floating, is_tensor, one_of, shape_error
from gpunet.functional.dims import (
    Pick,
    Picked,
    evenly,
    nans,
    not_empty,
    one_axis,
    over_axes,
)
from gpunet.functional.shape import reshape


class KthValue(Pick):
    def __init__(self, k: int, axis: int, keepdim: bool):
        super().__init__(axis, keepdim)
        self.k = k

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        rank = be.full((1,) * x.ndim, self.k - 1, "int64")
        return self.picked(be, x, be.argsort(x, self.axis, ranks=rank))


class Median(Pick):
    """The lower of the two in the middle; the first NaN if there is one, unless it is skipped."""

    def __init__(self, skip: bool, axis: int, keepdim: bool):
        super().__init__(axis, keepdim)
        self.skip = skip

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        xp, n, missing = be.xp, x.shape[self.axis], nans(be, x, self.axis)
        numbers = xp.subtract(n, missing)
        middle = xp.maximum(xp.floor_divide(xp.subtract(numbers, 1), 2), 0)
        if not self.skip:
            middle = xp.where(xp.greater(missing, 0), numbers, middle)
        return self.picked(be, x, be.argsort(x, self.axis, ranks=middle))


class MedianOfAll(Op):
    """Of a row; elements equal to it share its gradient evenly."""

    def __init__(self, skip: bool):
        self.skip = skip

    def forward(self, be: Backend, x: Array) -> Array:
        missing = int(be.xp.not_equal(x, x).sum())
        numbers = x.size - missing
        place = max((numbers - 1) // 2, 0) if self.skip or not missing else numbers
        y = be.xp.asarray(be.xp.partition(x, place)[place])
        self.saved = x, y
        return y

    def backward(self, be: Backend, gy: Array) -> Array:
        x, y = self.saved
        xp = be.xp
        among = xp.where(xp.isnan(y), xp.isnan(x), xp.equal(x, y))
        return evenly(be, gy.reshape(1), among, (0,))


class Mode(Pick):
    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        xp, last = be.xp, x.ndim - 1
        row = xp.moveaxis(x, self.axis, -1)
        order = be.argsort(row, last)
        row = be.take_along(row, order, last)
        place = xp.broadcast_to(xp.arange(row.shape[-1]), row.shape)
        start = be.full(row.shape, 0, "int64")
        start[..., 1:] = xp.where(row[..., 1:] != row[..., :-1], place[..., 1:], 0)
        length = xp.subtract(place, be.accumulate("maximum", start, last))
        longest = xp.argmax(length, axis=-1)[..., None]  # at the end of the first longest run
        found = xp.take_along_axis(order, longest, last)
        return self.picked(be, x, xp.moveaxis(found, -1, self.axis))


class Quantile(Op):
    """Between the two elements of each sorted row at rank q · (n − 1).

    Shapes: x (..., n, ...), q () or (Q,); the result (..., ...) or (Q, ..., ...), where the axis
    keeps length 1 with `keepdim`.
    """

    def __init__(self, skip: bool, axis: int, keepdim: bool, interpolation: str):
        self.skip, self.axis, self.keepdim = skip, axis, keepdim
        self.interpolation = interpolation

    def forward(self, be: Backend, x: Array, q: Array) -> Array:
        xp, last = be.xp, x.ndim - 1
        rows = xp.moveaxis(x, self.axis, last)
        self.top, low, high, weight = self.ranks(be, rows, q.reshape(-1))
        places = be.argsort(rows, last, ranks=xp.concatenate([low, high], axis=last))
        ends = be.take_along(rows, places, last)
        a, b = ends[..., : q.size], ends[..., q.size :]
        self.rise, self.q_shape, self.shape = xp.subtract(b, a), q.shape, rows.shape
        self.saved = places, weight
        below = xp.add(a, xp.multiply(weight, self.rise))
        above = xp.subtract(b, xp.multiply(xp.subtract(1, weight), self.rise))
        y = xp.moveaxis(xp.where(xp.less(weight, 0.5), below, above), last, 0)
        shape = list(rows.shape[:-1])
        if self.keepdim:
            shape.insert(self.axis, 1)
        return be.copy(y).reshape((*q.shape, *shape))

    def ranks(self, be: Backend, rows: Array, q: Array) -> tuple[Array, Array, Array, Array]:
        """Those of the last number and of the two elements, and how near it is to the second."""
        xp, n, missing = be.xp, rows.shape[-1], nans(be, rows, rows.ndim - 1)
        top = be.asarray(xp.maximum(xp.subtract(n - 1, missing), 0), rows.dtype)
        rank = xp.multiply(top, q)
        if not self.skip:  # a NaN is last in its row, and all there is to say
            rank = xp.where(xp.greater(missing, 0), xp.full_like(rank, n - 1), rank)
        name = {"lower": "floor", "higher": "ceil", "nearest": "rint"}.get(self.interpolation)
        if name is not None:
            rank = getattr(xp, name)(rank)
        low, high = be.asarray(xp.floor(rank), "int64"), be.asarray(xp.ceil(rank), "int64")
        if self.interpolation == "midpoint":
            return top, low, high, xp.full_like(rank, 0.5)
        return top, low, high, xp.subtract(rank, xp.floor(rank))

    def backward(self, be: Backend, gy: Array) -> Any:
        places, weight = self.saved
        xp, last = be.xp, weight.ndim - 1
        g = xp.moveaxis(gy.reshape(weight.shape[-1:] + weight.shape[:-1]), 0, last)
        gx = gq = None
        if self.needs[0]:
            gx = be.full(self.shape, 0, g.dtype)
            above = xp.multiply(g, weight)
            shares = xp.concatenate([xp.subtract(g, above), above], axis=last)
            for i in range(shares.shape[-1]):  # several quantiles may lie at one element
                place, share = places[..., i : i + 1], shares[..., i : i + 1]
                part = xp.add(xp.take_along_axis(gx, place, last), share)
                xp.put_along_axis(gx, place, part, last)
            gx = xp.moveaxis(gx, last, self.axis)
        if self.needs[1]:
            slope = xp.multiply(self.rise, self.top)
            if self.interpolation != "linear":
                slope = xp.zeros_like(slope)
            gq = be.sum(xp.multiply(g, slope), tuple(range(last))).reshape(self.q_shape)
        return gx, gq


def _median(operation: str, skip: bool, x: Tensor, dim: int | None, keepdim: bool) -> Any:
    is_tensor(operation, "x", x)
    if dim is not None:
        along = one_axis(operation, x, dim)
        not_empty(operation, x, (along,))
        return Picked(*apply(Median(skip, along, keepdim), x))
    if keepdim:
        raise ArgumentError(operation, "keepdim must come with dim, got keepdim=True alone")
    if x.numel():
        return apply(MedianOfAll(skip), reshape(x, (-1,)))
    floating(operation, "x", x)
    return x.sum() / 0.0


@method()
@over_axes
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The element in the middle of the order, the lower one of two; with `dim`, along that axis.

    NaN if an element is NaN, or if there is none. Without `dim`, elements equal to it share the
    gradient evenly.
    Shapes: x any; without `dim` the result is (), with it (values, indices), both lacking the axis,
    or having length 1 there with `keepdim`.

    >>> import gpunet
    >>> gpunet.median(gpunet.tensor([4, 1, 3, 2]))
    tensor(2)
    """
    return _median("median", False, x, dim, keepdim)


@method()
@over_axes
def nanmedian(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not NaN; NaN where there is none.

    Shapes: x any; without `dim` the result is (), with it (values, indices), both lacking the axis,
    or having length 1 there with `keepdim`.
    """
    return _median("nanmedian", True, x, dim, keepdim)


@method()
@over_axes
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Picked:
    """The k-th smallest element along the axis `dim`, and where it is; NaN counts as largest.

    Of equal elements, the earlier one is the smaller.
    Shapes: x (..., L, ...); the result is (values, indices), both lacking the axis, or having
    length 1 there with `keepdim`.
    Args:
        k: from 1 to L.
    Differs from PyTorch: of equal elements the earlier one is the smaller, there any.
    """
    along = one_axis("kthvalue", x, dim)
    not_empty("kthvalue", x, (along,))
    if not 1 <= k <= x.shape[along]:
        rule = f"k must be in [1, {x.shape[along]}], the length of axis {along}, got {k}"
        shape_error("kthvalue", rule, x=x)
    return Picked(*apply(KthValue(k, along, keepdim), x))


@method()
@over_axes
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> Picked:
    """The most frequent element along the axis `dim`, the smallest of several, and its last place.

    Each NaN counts as one of its kind.
    Shapes: x any; the result is (values, indices), both lacking the axis, or having length 1 there
    with `keepdim`.
    Differs from PyTorch: of equal elements the last place is given, there any, and NaN never wins
    over a number that is more frequent.

    >>> import gpunet
    >>> gpunet.mode(gpunet.tensor([3, 1, 3, 2])).values
    tensor(3)
    """
    along = one_axis("mode", x, dim)
    not_empty("mode", x, (along,))
    return Picked(*apply(Mode(along, keepdim), x))


def _quantile(
    operation: str,
    skip: bool,
    x: Tensor,
    q: Tensor | float,
    dim: int | None,
    keepdim: bool,
    interpolation: str,
) -> Tensor:
    floating(operation, "x", x)
    if dtypes.half(x.dtype):
        rule = f"x must be float32 or float64, got {x.dtype}"
        raise DTypeError(operation, rule, describe(x=x))
    one_of(operation, "interpolation", interpolation, INTERPOLATIONS)
    if not isinstance(q, Tensor):
        q = Tensor(x.backend.asarray(q, x.dtype), x.backend)
    if q.dtype != x.dtype:
        raise DTypeError(operation, f"q must be of x's dtype {x.dtype}, got {q.dtype}")
    if q.ndim > 1:
        shape_error(operation, f"q must have shape () or (Q,), got {q.shape}")
    if not bool(((q.array >= 0) & (q.array <= 1)).all()):
        raise ArgumentError(operation, f"q must be in [0, 1], got {q.tolist()}")
    ndim = x.ndim
    if dim is None or not ndim:
        x, dim, keepdim, widen = reshape(x, (-1,)), 0 if dim is None else dim, False, keepdim
    else:
        widen = False
    along = one_axis(operation, x, dim)
    not_empty(operation, x, (along,))
    y = apply(Quantile(skip, along, keepdim, interpolation), x, q)
    return reshape(y, (*q.shape, *[1] * ndim)) if widen else y


INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@method()
def quantile(
    x: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The value at rank q · (n − 1) of the n sorted elements along the axis `dim`.

    NaN if an element is NaN. q takes part in differentiation, too.
    Shapes: x any, q () or (Q,); the result lacks the axis `dim` (all axes if None), or has length 1
    there with `keepdim`, and begins with an axis of length Q if q has one.
    Dtypes: float32, float64.
    Args:
        q: in [0, 1].
        interpolation: between the elements below and above the rank: `"linear"`, `"lower"`,
            `"higher"`, `"midpoint"`, or the `"nearest"` one.
    Differs from PyTorch: a tensor without elements is taken where the axis `dim` has some.

    >>> import gpunet
    >>> gpunet.quantile(gpunet.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3., dtype=float32)
    """
    return _quantile("quantile", False, x, q, dim, keepdim, interpolation)


@method()
def nanquantile(
    x: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """`quantile` of the elements that are not NaN; NaN where there is none.

    Shapes: x any, q () or (Q,); the result lacks the axis `dim` (all axes if None), or has length 1
    there with `keepdim`, and begins with an axis of length Q if q has one.
    Dtypes: float32, float64.
    Args:
        q: in [0, 1].
        interpolation: see `quantile`.
    Differs from PyTorch: a tensor without elements is taken where the axis `dim` has some.
    """
    return _quantile("nanquantile", True, x, q, dim, keepdim, interpolation)
