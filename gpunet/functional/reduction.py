"""Reductions over axes: sums, products, moments and counts."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, DType, dtypes
from gpunet.backend import dtype as known_dtype
from gpunet.errors import ArgumentError
from gpunet.functional.arithmetic import div
from gpunet.functional.check import floating, is_tensor
from gpunet.functional.dims import Dim, Reduction, axes, one_axis, over_axes
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import cast, real, wide


class Sum(Reduction):
    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        return be.sum(x, self.axes, self.keepdim)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.copy(be.xp.broadcast_to(self.kept(gy), self.shape))


class Mean(Sum):
    def forward(self, be: Backend, x: Array) -> Array:
        self.count = math.prod([x.shape[i] for i in self.axes])
        return be.xp.divide(super().forward(be, x), self.count)

    def backward(self, be: Backend, gy: Array) -> Array:
        return super().backward(be, be.xp.divide(gy, self.count))


class Product(Reduction):
    """Its gradient is the product of the other elements: 0 for all if two elements are 0."""

    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = x
        return be.xp.asarray(be.xp.prod(x, axis=self.axes, keepdims=self.keepdim))

    def backward(self, be: Backend, gy: Array) -> Array:
        x, xp = self.saved, be.xp
        zero = xp.equal(x, 0)
        factors = xp.where(zero, xp.ones_like(x), x)
        product = xp.multiply(self.kept(gy), xp.prod(factors, axis=self.axes, keepdims=True))
        zeros = be.sum(zero, self.axes, True)
        wanted = xp.where(xp.equal(zeros, 1), zero, xp.equal(zeros, 0))
        return xp.where(wanted, xp.divide(product, factors), xp.zeros_like(x))


class Moments(Reduction):
    """Σ (x − μ)² / (n − correction), or its root, and the mean μ.

    Two passes: the difference of mean square and squared mean would lose all digits where the mean
    is large.
    """

    def __init__(self, axes: tuple[int, ...], keepdim: bool, correction: float, root: bool):
        super().__init__(axes, keepdim)
        self.correction, self.root = correction, root

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        xp = be.xp
        self.count = math.prod([x.shape[i] for i in self.axes])
        self.freedom = xp.asarray(self.count - self.correction, x.dtype).clip(0, None)
        mean = xp.divide(be.sum(x, self.axes, True), self.count)
        off = xp.subtract(x, mean)
        y = xp.divide(be.sum(xp.multiply(off, off), self.axes, self.keepdim), self.freedom)
        if self.root:
            y = xp.sqrt(y)
        self.saved = x, mean, y if self.root else None
        return y, self.dropped(be, mean)

    def backward(self, be: Backend, gy: Array | None, gmean: Array | None) -> Array:
        x, mean, y = self.saved
        xp = be.xp
        gx = None
        if gy is not None:
            scale = xp.divide(gy if self.root else xp.multiply(gy, 2), self.freedom)
            if self.root:  # the root has no slope at 0; 0 is taken
                constant = xp.equal(y, 0)
                scale = xp.divide(scale, xp.where(constant, xp.ones_like(y), y))
                scale = xp.where(constant, xp.zeros_like(y), scale)
            gx = xp.multiply(xp.subtract(x, mean), self.kept(scale))
        if gmean is not None:
            share = self.kept(xp.divide(gmean, self.count))
            gx = be.copy(xp.broadcast_to(share, x.shape)) if gx is None else xp.add(gx, share)
        return gx


class WithoutNaN(Op):
    """x with 0 in place of NaN."""

    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = be.xp.isnan(x)
        return be.xp.where(self.saved, be.xp.zeros_like(x), x)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.xp.where(self.saved, be.xp.zeros_like(gy), gy)


class LogSumExp(Reduction):
    """Its gradient is the softmax, e^(x − top) / Σ e^(x − top).

    As e^(x − y) it would have few digits where y is large.
    """

    def forward(self, be: Backend, x: Array) -> Array:
        xp = be.xp
        reduce = xp.max if x.size else xp.sum  # of none there is no largest, but a sum
        top = reduce(x, axis=self.axes, keepdims=True)
        top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
        total = be.sum(xp.exp(xp.subtract(x, top)), self.axes, self.keepdim)
        self.saved = x, top, total
        return xp.add(xp.log(total), top.reshape(total.shape))

    def backward(self, be: Backend, gy: Array) -> Array:
        x, top, total = self.saved
        share = self.kept(be.xp.divide(gy, total))
        return be.xp.multiply(share, be.xp.exp(be.xp.subtract(x, top)))


class Truth(Reduction):
    """Whether any, or all, elements are not 0."""

    def __init__(self, name: str, axes: tuple[int, ...], keepdim: bool):
        super().__init__(axes, keepdim)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> Array:
        reduce = getattr(be.xp, self.reduce)
        return be.xp.asarray(reduce(x, axis=self.axes, keepdims=self.keepdim))


def _in(x: Tensor, dtype: DType | None) -> tuple[Tensor, Any]:
    """x in the dtype asked for, and the dtype of a sum or product of it."""
    if dtype is not None:
        wanted = known_dtype(dtype)
        return cast(x, wanted), wanted
    return x, x.dtype if dtypes.floating(x.dtype) else dtypes.int64


@method()
@over_axes
@in_single
def sum(x: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Sum over the axes `dim` (all of them if None or ()); 0 over no elements.

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Args:
        dtype: x is cast to it before. Integers and booleans otherwise give int64.

    >>> import gpunet
    >>> gpunet.sum(gpunet.tensor([[1, 2], [3, 4]]), dim=0)
    tensor([4, 6])
    """
    along = axes("sum", x, dim)
    x, wanted = _in(x, dtype)
    return cast(apply(Sum(along, keepdim), x), wanted)


@method()
@over_axes
def mean(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Mean over the axes `dim` (all of them if None or ()); NaN over no elements.

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Dtypes: floating, others if `dtype` is given.
    Args:
        dtype: x is cast to it before; floating.
    """
    along = axes("mean", x, dim)
    x, wanted = _in(x, dtype)
    floating("mean", "x", x)
    return cast(apply(Mean(along, keepdim), wide(x)), wanted)


@method()
@over_axes
@in_single
def prod(
    x: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Product over the axis `dim`, over all axes if None; 1 over no elements.

    Its gradient, the product of the other elements, is right where elements are 0, too.
    Shapes: x any; the result lacks the axis `dim`, or has length 1 there with `keepdim`.
    Args:
        dtype: x is cast to it before. Integers and booleans otherwise give int64.
    """
    along = axes("prod", x, None) if dim is None else (one_axis("prod", x, dim),)
    x, wanted = _in(x, dtype)
    return cast(apply(Product(along, keepdim), wide(x)), wanted)


def _moments(
    operation: str,
    x: Tensor,
    dim: Dim,
    unbiased: bool | None,
    keepdim: bool,
    correction: float,
    root: bool,
) -> tuple[Tensor, Tensor]:
    floating(operation, "x", x)
    if isinstance(dim, bool):  # PyTorch's var(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction != 1:
            rule = f"correction must not be given beside unbiased, got {correction!r}"
            raise ArgumentError(operation, rule)
        correction = int(unbiased)
    op = Moments(axes(operation, x, dim), keepdim, correction, root)
    spread, mean = apply(op, wide(x))
    return cast(spread, x.dtype), cast(mean, x.dtype)


@method()
@over_axes
def var(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> Tensor:
    """Variance Σ (x − μ)² / (n − correction) over the axes `dim` (all of them if None or ()).

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Dtypes: floating.
    Args:
        unbiased: another way to say correction 1 (True) or 0 (False).
        correction: degrees of freedom that the mean takes up; 0 for the variance of exactly these
            values. Where none are left, the result is NaN or infinite.
    Differs from PyTorch: with `dim=()` the gradient is finite, there infinite.

    >>> import gpunet
    >>> gpunet.var(gpunet.tensor([1.0, 2.0, 3.0]))
    tensor(1., dtype=float32)
    """
    return _moments("var", x, dim, unbiased, keepdim, correction, False)[0]


@method()
@over_axes
def std(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> Tensor:
    """Standard deviation, the root of `var`; its gradient is 0 where it is 0.

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Dtypes: floating.
    Args:
        unbiased, correction: see `var`.
    Differs from PyTorch: with `dim=()` the gradient is finite, there infinite.
    """
    return _moments("std", x, dim, unbiased, keepdim, correction, True)[0]


@over_axes
def var_mean(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> tuple[Tensor, Tensor]:
    """(`var`, `mean`) over the axes `dim` (all of them if None or ()).

    Shapes: x any; the results lack the axes `dim`, or have length 1 there with `keepdim`.
    Dtypes: floating.
    Args:
        unbiased, correction: see `var`.
    Differs from PyTorch: with `dim=()` the gradient is finite, there infinite.
    """
    return _moments("var_mean", x, dim, unbiased, keepdim, correction, False)


@over_axes
def std_mean(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> tuple[Tensor, Tensor]:
    """(`std`, `mean`) over the axes `dim` (all of them if None or ()).

    Shapes: x any; the results lack the axes `dim`, or have length 1 there with `keepdim`.
    Dtypes: floating.
    Args:
        unbiased, correction: see `var`.
    Differs from PyTorch: with `dim=()` the gradient is finite, there infinite.
    """
    return _moments("std_mean", x, dim, unbiased, keepdim, correction, True)


@method()
@over_axes
@in_single
def nansum(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Sum over the axes `dim` (all of them if None or ()) of the elements that are not NaN.

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Args:
        dtype: x is cast to it before. Integers and booleans otherwise give int64.
    """
    along = axes("nansum", x, dim)
    x, wanted = _in(x, dtype)
    if dtypes.floating(x.dtype):
        x = apply(WithoutNaN(), x)
    return cast(apply(Sum(along, keepdim), x), wanted)


@method()
@over_axes
def nanmean(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Mean over the axes `dim` (all of them if None or ()) of the elements that are not NaN.

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Dtypes: floating.
    Args:
        dtype: x is cast to it before; floating.
    Differs from PyTorch: where all elements are NaN the gradient is 0, there NaN.

    >>> import gpunet
    >>> gpunet.nanmean(gpunet.tensor([1.0, float("nan"), 3.0]))
    tensor(2., dtype=float32)
    """
    floating("nanmean", "x", x)
    along = axes("nanmean", x, dim)
    x, wanted = _in(x, dtype)
    floating("nanmean", "x", x)
    x = wide(x)
    numbers = Tensor(x.backend.xp.logical_not(x.backend.xp.isnan(x.array)), x.backend)
    total = apply(Sum(along, keepdim), apply(WithoutNaN(), x))
    return cast(div(total, apply(Sum(along, keepdim), numbers)), wanted)


@method()
@over_axes
@in_single
def logsumexp(x: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """log Σ eˣ over the axes `dim`, shifted by the maximum so that nothing overflows.

    −∞ over no elements, and where all elements are −∞. Its gradient is the softmax.
    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Differs from PyTorch: the gradient has all its digits where x is large, there it is computed
    from the rounded result.

    >>> import gpunet
    >>> gpunet.logsumexp(gpunet.tensor([1000.0, 1000.0]), dim=0)
    tensor(1000.6932, dtype=float32)
    """
    along = axes("logsumexp", x, dim)
    x = real(x)
    return cast(apply(LogSumExp(along, keepdim), wide(x)), x.dtype)


def _truth(operation: str, x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    along = () if dim == () else axes(operation, x, dim)
    y = apply(Truth(operation, along, keepdim), x)
    return cast(y, x.dtype) if x.dtype == dtypes.uint8 else y


@method()
@over_axes
def any(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether any element along the axes `dim` (all of them if None) is not 0; NaN is not.

    Of uint8 the result is uint8, otherwise bool.
    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    """
    is_tensor("any", "x", x)
    return _truth("any", x, dim, keepdim)


@method()
@over_axes
def all(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether all elements along the axes `dim` (all of them if None) are not 0; NaN is not.

    Of uint8 the result is uint8, otherwise bool.
    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    """
    is_tensor("all", "x", x)
    return _truth("all", x, dim, keepdim)


@method()
@over_axes
def count_nonzero(x: Tensor, dim: Dim = None) -> Tensor:
    """How many elements along the axes `dim` (all of them if None or ()) are not 0, as int64.

    Shapes: x any; the result lacks the axes `dim`.
    """
    along = axes("count_nonzero", x, dim)
    return apply(Sum(along), cast(x, dtypes.bool_))
