"""Lengths of vectors, distances and angles between them."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, DType
from gpunet.backend import dtype as known_dtype
from gpunet.errors import ArgumentError
from gpunet.functional.arithmetic import Subtract, add, div, mul
from gpunet.functional.check import floating, is_tensor
from gpunet.functional.dims import Dim, Reduction, axes, evenly, not_empty, over_axes
from gpunet.functional.extrema import clamp
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import NUMBERS, binary, cast, promoted, wide
from gpunet.functional.reduction import sum
from gpunet.functional.shape import broadcast_to, reshape


class Norm(Reduction):
    """(Σ |x|ᵖ)^(1/p); its gradient sign(x) (|x|/‖x‖)^(p−1) is taken as 0 where x or ‖x‖ is 0.

    For p = ±∞ it is the largest or smallest |x|, and such elements share the gradient evenly; for
    p = 0 it is the number of elements other than 0. The gradient of a NaN is NaN.
    """

    def __init__(self, p: float, axes: tuple[int, ...], keepdim: bool):
        super().__init__(axes, keepdim)
        self.p = p

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.asarray(self.norm(be, x), x.dtype)
        self.saved = x, y
        return y

    def norm(self, be: Backend, x: Array) -> Array:
        xp, p, axes = be.xp, self.p, self.axes
        if p == 0:
            return be.sum(xp.not_equal(x, 0), axes, self.keepdim)
        if p == 2:
            return xp.sqrt(be.sum(xp.multiply(x, x), axes, self.keepdim))
        size = xp.absolute(x)
        if math.isinf(p):
            return (xp.max if p > 0 else xp.min)(size, axis=axes, keepdims=self.keepdim)
        if p == 1:
            return be.sum(size, axes, self.keepdim)
        return xp.power(be.sum(xp.power(size, p), axes, self.keepdim), 1 / p)

    def backward(self, be: Backend, gy: Array) -> Array:
        x, y = self.saved
        xp, p = be.xp, self.p
        gy, y = self.kept(gy), self.kept(y)
        if p == 0:
            return xp.zeros_like(x)
        if p == 1:
            return xp.multiply(gy, xp.sign(x))
        size = xp.absolute(x)
        if math.isinf(p):
            among = xp.where(xp.isnan(y), xp.isnan(x), xp.equal(size, y))
            return xp.multiply(evenly(be, gy, among, self.axes), xp.sign(x))
        none = xp.equal(y, 0)
        share = xp.divide(x if p == 2 else size, xp.where(none, xp.ones_like(y), y))
        if p != 2:
            flat = xp.equal(share, 0)
            power = xp.power(xp.where(flat, xp.ones_like(share), share), p - 1)
            share = xp.where(flat, xp.zeros_like(x), xp.multiply(power, xp.sign(x)))
        return xp.multiply(xp.where(none, xp.zeros_like(gy), gy), share)


class AtLeast(Op):
    """max(x, bound), through which the gradient passes even below the bound."""

    def __init__(self, bound: float):
        self.bound = bound

    def forward(self, be: Backend, x: Array) -> Array:
        return be.xp.maximum(x, self.bound)

    def backward(self, be: Backend, gy: Array) -> Array:
        return gy


def _norm(operation: str, x: Tensor, p: Any, dim: Dim, keepdim: bool, dtype: DType | None) -> Any:
    along = axes(operation, x, dim)
    floating(operation, "x", x)
    if isinstance(p, bool) or not isinstance(p, (int, float)) or math.isnan(p):
        raise ArgumentError(operation, f"p must be a number, got {p!r}")
    if dtype is not None:
        x = cast(x, known_dtype(dtype))
        floating(operation, "dtype", x)
    if p < 0 or math.isinf(p):
        not_empty(operation, x, along)
    return cast(apply(Norm(float(p), along, keepdim), wide(x)), x.dtype)


@over_axes
@in_single
def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) with p = `ord`, over the axes `dim` (all of them if None or ()).

    Where a norm has no slope, as at 0, its gradient is taken as 0.
    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Dtypes: floating.
    Args:
        ord: any number; ∞ for the largest |x|, −∞ for the smallest, 0 for the number of elements
            other than 0.
        dtype: x is cast to it before; floating.
    Differs from PyTorch: an element that is NaN has gradient NaN for every `ord`, there 0 for 1 and
    ∞.

    >>> import gpunet
    >>> gpunet.vector_norm(gpunet.tensor([3.0, -4.0]))
    tensor(5., dtype=float32)
    """
    return _norm("vector_norm", x, ord, dim, keepdim, dtype)


@method()
@over_axes
@in_single
def norm(
    x: Tensor,
    p: float | str = "fro",
    dim: Dim = None,
    keepdim: bool = False,
    dtype: DType | None = None,
) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) over the axes `dim` (all of them if None or ()): of vectors, not of matrices.

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    Dtypes: floating.
    Args:
        p: a number as for `vector_norm`, or `"fro"` for 2.
        dtype: x is cast to it before; floating.
    Differs from PyTorch: an element that is NaN has gradient NaN for every p, there 0 for 1 and ∞.
    """
    return _norm("norm", x, 2 if p == "fro" else p, dim, keepdim, dtype)


@method()
@in_single
def dist(x: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """‖x − other‖, the `norm` of order p over all elements.

    Shapes: any two that broadcast; the result is ().
    Dtypes: floating.
    Args:
        p: as for `vector_norm`.
    """
    floating("dist", "x", x)
    floating("dist", "other", other)
    return _norm("dist", binary("dist", Subtract(), x, other), p, None, False, None)


@in_single
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """‖x1 − x2 + eps‖, the `norm` of order p over the last axis.

    Shapes: x1 and x2 (..., D), which broadcast; the result (...), or (..., 1) with `keepdim`.
    Args:
        p: as for `vector_norm`.
        eps: keeps the gradient of equal vectors from being 0 / 0.

    >>> import gpunet
    >>> a, b = gpunet.tensor([[0.0, 0.0]]), gpunet.tensor([[3.0, 4.0]])
    >>> gpunet.pairwise_distance(a, b, eps=0.0)
    tensor([5.], dtype=float32)
    """
    is_tensor("pairwise_distance", "x1", x1)
    is_tensor("pairwise_distance", "x2", x2)
    difference = add(binary("pairwise_distance", Subtract(), x1, x2, NUMBERS, name="x2"), eps)
    along = (-1,) if difference.ndim else ()
    return _norm("pairwise_distance", difference, p, along, keepdim, None)


@over_axes
@in_single
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Σ x1·x2 / (‖x1‖ ‖x2‖) along the axis `dim`: the cosine of the angle between two vectors.

    Shapes: x1 and x2 any two that broadcast; the result lacks the axis `dim`.
    Dtypes: floating.
    Args:
        eps: what each length is at least.

    >>> import gpunet
    >>> a, b = gpunet.tensor([3.0, 4.0]), gpunet.tensor([6.0, 8.0])
    >>> gpunet.cosine_similarity(a, b, dim=0)
    tensor(1., dtype=float32)
    """
    floating("cosine_similarity", "x1", x1)
    floating("cosine_similarity", "x2", x2)
    difference = binary("cosine_similarity", Subtract(), x1, x2)
    if not difference.ndim:
        one = cosine_similarity(reshape(x1, (1,)), reshape(x2, (1,)), dim, eps)
        return reshape(one, ())
    directions = []
    for x in promoted(x1, x2):
        vectors = wide(x)
        if x.shape != difference.shape:
            vectors = broadcast_to(vectors, difference.shape)
        length = _norm("cosine_similarity", vectors, 2, dim, True, None)
        directions.append(div(vectors, apply(AtLeast(eps), length)))
    return cast(sum(mul(*directions), dim), difference.dtype)


@over_axes
@in_single
def normalize(x: Tensor, p: float = 2.0, dim: Dim = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖, eps), with the `norm` of order p over the axes `dim`.

    Shapes: x any; the result has the same shape.
    Dtypes: floating.
    Args:
        p: as for `vector_norm`.
        eps: keeps 0 from being divided by 0.

    >>> import gpunet
    >>> gpunet.normalize(gpunet.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]], dtype=float32)
    """
    floating("normalize", "x", x)
    vectors = wide(x)  # float16 would round eps to 0
    length = _norm("normalize", vectors, p, dim, True, None)
    return cast(div(vectors, clamp(length, min=eps)), x.dtype)
