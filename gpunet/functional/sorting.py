"""Sorting, the largest few, distinct values, and counting into bins. NaN counts as largest."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError, GradError
from gpunet.functional.check import describe, floating, is_tensor, one_device, one_of, shape_error
from gpunet.functional.dims import Pick, Picked, one_axis, over_axes
from gpunet.functional.promotion import cast, promoted, wide


class Sort(Pick):
    def __init__(self, axis: int, descending: bool):
        super().__init__(axis)
        self.descending = descending

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        return self.picked(be, x, be.argsort(x, self.axis, self.descending))


class TopK(Pick):
    def __init__(self, k: int, axis: int, largest: bool):
        super().__init__(axis)
        self.k, self.largest = k, largest

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        along = [-1 if i == self.axis else 1 for i in range(x.ndim)]
        ranks = be.xp.arange(self.k).reshape(along)
        return self.picked(be, x, be.argsort(x, self.axis, self.largest, ranks))


class Distinct(Op):
    """Runs of equal elements, or of equal slices along an axis: values, inverse and counts."""

    def __init__(self, operation: str, order: bool, axis: int | None):
        self.operation, self.order, self.axis = operation, order, axis

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array, Array]:
        xp, axis = be.xp, self.axis
        rows = x.reshape(-1) if axis is None else xp.moveaxis(x, axis, 0)
        n, rest = rows.shape[0], rows.shape[1:]
        if axis is not None:
            rows = rows.reshape(n, math.prod(rest))
        order = xp.arange(n)
        if self.order:
            order = be.argsort(rows, 0) if axis is None else xp.lexsort(rows.T[::-1])
        rows = rows[order]
        first = xp.ones(n, dtype=bool)
        differs = xp.not_equal(rows[1:], rows[:-1])
        first[1:] = differs if axis is None else xp.any(differs, axis=1)
        inverse = xp.empty(n, dtype="int64")
        inverse[order] = xp.cumsum(first, dtype="int64") - 1
        starts = xp.nonzero(first)[0]
        counts = xp.concatenate([starts[1:], xp.full(starts[:1].shape, n)]) - starts
        values = rows[starts]
        if axis is None:
            return values, inverse.reshape(x.shape), counts
        return be.copy(xp.moveaxis(values.reshape(-1, *rest), 0, axis)), inverse, counts

    def backward(self, be: Backend, *gys: Array) -> Any:
        raise GradError(self.operation, "must not be differentiated: it has no gradient")


class Search(Op):
    """How many elements of an ascending row come before each value."""

    def __init__(self, right: bool):
        self.right = right

    def forward(self, be: Backend, sequence: Array, x: Array) -> Array:
        xp = be.xp
        if sequence.ndim == 1:
            side = "right" if self.right else "left"
            return xp.asarray(xp.searchsorted(sequence, x, side=side), "int64")
        # Sorted together with its row (before or behind what equals it), the place of a value
        # tells how many of the row are before it.
        m, n = x.shape[-1], sequence.shape[-1]
        parts = [sequence, x] if self.right else [x, sequence]
        order = be.argsort(xp.concatenate(parts, axis=-1), x.ndim - 1)
        of_row = xp.less(order, n) if self.right else xp.greater_equal(order, m)
        before = xp.empty_like(order)
        xp.put_along_axis(before, order, xp.cumsum(of_row, axis=-1), -1)
        return be.copy(before[..., n:] if self.right else before[..., :m])


class Histogram(Op):
    """Counts in bins of equal width; the last one has its right edge in it."""

    def __init__(self, bins: int, low: float, high: float):
        self.bins, self.low, self.high = bins, low, high

    def forward(self, be: Backend, x: Array) -> Array:
        xp = be.xp
        inside = x[xp.logical_and(x >= self.low, x <= self.high)]
        scaled = xp.divide(
            xp.multiply(xp.subtract(inside, self.low), self.bins), self.high - self.low
        )
        bins = xp.minimum(xp.asarray(scaled, "int64"), self.bins - 1)
        return be.asarray(xp.bincount(bins, minlength=self.bins), x.dtype)

    def backward(self, be: Backend, gy: Array) -> Any:
        raise GradError("histc", "must not be differentiated: counts have no gradient")


class BinCount(Op):
    def __init__(self, minlength: int):
        self.minlength = minlength

    def forward(self, be: Backend, x: Array, weights: Array | None) -> Array:
        self.saved = x
        y = be.xp.bincount(x, weights, minlength=self.minlength)
        return be.asarray(y, "int64" if weights is None else weights.dtype)

    def backward(self, be: Backend, gy: Array) -> Any:
        return None, gy[self.saved]


@method()
@over_axes
def sort(x: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Picked:
    """The elements in ascending order along the axis `dim`, and where each was.

    NaN counts as largest. Equal elements keep their order, whether `stable` demands it or not.
    Shapes: x any; the result is (values, indices), both of the same shape.
    Args:
        descending: the largest first.
    Differs from PyTorch: equal elements keep their order without `stable`, too, there any.

    >>> import gpunet
    >>> gpunet.sort(gpunet.tensor([2, 3, 1])).indices
    tensor([2, 0, 1])
    """
    return Picked(*apply(Sort(one_axis("sort", x, dim), descending), x))


@method()
@over_axes
def argsort(x: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """Where the elements are that `sort` puts in order along the axis `dim`.

    Shapes: x any; the result has the same shape.
    Args:
        descending, stable: see `sort`.
    Differs from PyTorch: equal elements keep their order without `stable`, too, there any.
    """
    return apply(Sort(one_axis("argsort", x, dim), descending), x)[1]


@method()
@over_axes
def msort(x: Tensor) -> Tensor:
    """The elements in ascending order along the first axis. Shapes: x any; the result the same."""
    is_tensor("msort", "x", x)
    return apply(Sort(0, False), x)[0]


@method()
@over_axes
def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Picked:
    """The k largest elements along the axis `dim`, and where they are; NaN counts as largest.

    Of elements equal to the last one taken, the first are taken.
    Shapes: x (..., L, ...) with L ≥ k; the result is (values, indices), both (..., k, ...).
    Args:
        k: from 0 to L.
        largest: False takes the smallest.
        sorted: in descending order (ascending for the smallest). False allows another order, but
            there is no quicker one.

    >>> import gpunet
    >>> gpunet.topk(gpunet.tensor([1, 4, 2, 3]), 2).values
    tensor([4, 3])
    """
    along = one_axis("topk", x, dim)
    if not 0 <= k <= x.shape[along]:
        rule = f"k must be in [0, {x.shape[along]}], the length of axis {along}, got {k}"
        shape_error("topk", rule, x=x)
    return Picked(*apply(TopK(k, along, largest), x))


def _distinct(
    operation: str, x: Tensor, order: bool, inverse: bool, counts: bool, dim: int | None
) -> Any:
    is_tensor(operation, "x", x)
    along = None if dim is None else one_axis(operation, x, dim)
    if along is not None and x.shape[along] and not x.numel():
        shape_error(operation, "slices along dim must not be empty", x=x)
    found = apply(Distinct(operation, order, along), x)
    wanted = [y for y, want in zip(found, (True, inverse, counts), strict=True) if want]
    return wanted[0] if len(wanted) == 1 else tuple(wanted)


@method()
def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements of x in ascending order; with `dim`, the distinct slices along it.

    Each NaN is distinct from the others. It has no gradient.
    Shapes: x any; the result (U,), or x's with length U at `dim`.
    Args:
        sorted: False allows another order, but there is no quicker one.
        return_inverse: returns, too, where each element of x is in the result, in the shape of x
            (each slice, (L,)).
        return_counts: returns, too, how often each is in x, (U,).

    >>> import gpunet
    >>> gpunet.unique(gpunet.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _distinct("unique", x, True, return_inverse, return_counts, dim)


@method()
def unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first element of each run of equal ones; with `dim`, of equal slices along it.

    It has no gradient.
    Shapes: x any; the result (U,), or x's with length U at `dim`.
    Args:
        return_inverse, return_counts: see `unique`.

    >>> import gpunet
    >>> gpunet.unique_consecutive(gpunet.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    return _distinct("unique_consecutive", x, False, return_inverse, return_counts, dim)


def _search(
    operation: str, sequence: Tensor, x: Tensor | float, right: bool, out_int32: bool
) -> Tensor:
    if not isinstance(x, Tensor):
        x = Tensor(sequence.backend.asarray(x), sequence.backend)
    return cast(
        apply(Search(right), *promoted(sequence, x)), dtypes.int32 if out_int32 else dtypes.int64
    )


def searchsorted(
    sorted_sequence: Tensor,
    x: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would be put into an ascending sequence: i with s_{i−1} < x ≤ s_i.

    Shapes: sorted_sequence (n,) and x any, or (..., n) and (..., m) with the same leading axes;
    the result has the shape of x.
    Args:
        out_int32: the result is int32 instead of int64.
        right: behind equal elements, i with s_{i−1} ≤ x < s_i.
        side: `"left"` or `"right"`, another way to say `right`.
        sorter: what `argsort` says of a sequence that is not in order itself.

    >>> import gpunet
    >>> gpunet.searchsorted(gpunet.tensor([1, 3, 5]), gpunet.tensor([3, 6]))
    tensor([1, 3])
    """
    is_tensor("searchsorted", "sorted_sequence", sorted_sequence)
    if side is not None:
        one_of("searchsorted", "side", side, ("left", "right"))
        if right and side == "left":
            raise ArgumentError("searchsorted", "side must agree with right=True, got 'left'")
        right = side == "right"
    shape = sorted_sequence.shape
    given = x.shape if isinstance(x, Tensor) else ()
    if len(shape) != 1 and (not shape or not given or shape[:-1] != given[:-1]):
        rule = f"sorted_sequence must be (n,), or have x's leading axes, got {shape} and {given}"
        shape_error("searchsorted", rule)
    if sorter is not None:
        is_tensor("searchsorted", "sorter", sorter)
        one_device("searchsorted", sorted_sequence, sorter)
        if sorter.shape != shape:
            rule = f"sorter must have the shape {shape} of sorted_sequence, got {sorter.shape}"
            shape_error("searchsorted", rule)
        be = sorted_sequence.backend
        in_order = be.xp.take_along_axis(sorted_sequence.array, sorter.array, -1)
        sorted_sequence = Tensor(in_order, be)
    return _search("searchsorted", sorted_sequence, x, right, out_int32)


def bucketize(
    x: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Which bin each value falls into: i with b_{i−1} < x ≤ b_i.

    Shapes: x any, boundaries (n,), ascending; the result has the shape of x.
    Args:
        out_int32: the result is int32 instead of int64.
        right: the right edge of a bin is not in it, i with b_{i−1} ≤ x < b_i.
    """
    is_tensor("bucketize", "boundaries", boundaries)
    if boundaries.ndim != 1:
        shape_error("bucketize", f"boundaries must have shape (n,), got {boundaries.shape}")
    return _search("bucketize", boundaries, x, right, out_int32)


@method()
def histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` bins of equal width from `min` to `max`.

    Elements outside are not counted. It has no gradient.
    Shapes: x any; the result (bins,).
    Dtypes: floating; the result has the dtype of x.
    Args:
        bins: at least 1.
        min, max: if they are equal, the smallest and largest element take their place.
    """
    floating("histc", "x", x)
    if bins < 1:
        raise ArgumentError("histc", f"bins must be at least 1, got {bins}")
    if max < min:
        raise ArgumentError("histc", f"max must not be below min, got {max} and {min}")
    low, high = float(min), float(max)
    if low == high and x.numel():
        xp = x.backend.xp
        low, high = float(xp.min(x.array)), float(xp.max(x.array))
    if not (math.isfinite(low) and math.isfinite(high)):
        rule = f"the range of bins must be finite, got {low} to {high}"
        raise ArgumentError("histc", rule, describe(x=x))
    if low == high:
        low, high = low - 1, high + 1
    return cast(apply(Histogram(bins, low, high), wide(x)), x.dtype)


@method()
def bincount(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 to the largest is in x; with `weights`, the sums of those.

    Shapes: x (n,) of integers of at least 0, weights (n,); the result (max(x) + 1,), at least
    `minlength`. It is int64, with weights float32 if they are, else float64.
    Differs from PyTorch: `weights` has a gradient, there none.

    >>> import gpunet
    >>> gpunet.bincount(gpunet.tensor([1, 3, 1]))
    tensor([0, 2, 0, 1])
    """
    is_tensor("bincount", "x", x)
    if x.dtype.kind not in "iu":
        raise DTypeError("bincount", f"x must be of integers, got {x.dtype}", describe(x=x))
    if x.ndim != 1:
        shape_error("bincount", f"x must have shape (n,), got {x.shape}")
    if x.numel() and (least := int(x.backend.xp.min(x.array))) < 0:
        raise ArgumentError("bincount", f"x must be at least 0, got {least}", describe(x=x))
    if minlength < 0:
        raise ArgumentError("bincount", f"minlength must be at least 0, got {minlength}")
    if weights is not None:
        is_tensor("bincount", "weights", weights)
        if weights.shape != x.shape:
            rule = f"weights must have x's shape {x.shape}, got {weights.shape}"
            shape_error("bincount", rule)
        if weights.dtype != dtypes.float32:
            weights = cast(weights, dtypes.float64)
    return apply(BinCount(minlength), x, weights)
