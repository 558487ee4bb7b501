"""Activation functions that take more than one number an element: weights, noise, a gate."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes, random
from gpunet.errors import ArgumentError
from gpunet.functional.activation import LeakyReLU
from gpunet.functional.check import axis, floating, same_dtype, shape_error
from gpunet.functional.precision import in_half


class PReLU(Op):
    """y = x or w·x; gx = gy or w·gy, gw = Σ x·gy over the elements that share a weight."""

    def forward(self, be: Backend, x: Array, w: Array) -> Array:
        ahead = min(1, x.ndim - 1) if w.size != 1 else 0
        behind = max(0, x.ndim - ahead - 1)
        slopes = w.reshape((1,) * ahead + (w.size,) + (1,) * behind) if x.ndim else w.reshape(())
        self.saved, self.w_shape = (x, slopes), w.shape
        return be.xp.where(be.xp.greater(x, 0), x, be.xp.multiply(x, slopes))

    def backward(self, be: Backend, gy: Array) -> Any:
        xp, (x, slopes), gx, gw = be.xp, self.saved, None, None
        positive = xp.greater(x, 0)
        if self.needs[0]:
            gx = xp.where(positive, gy, xp.multiply(gy, slopes))
        if self.needs[1]:
            wide = dtypes.float32 if dtypes.half(x.dtype) else x.dtype
            terms = xp.multiply(be.cast(x, wide), gy)
            terms = xp.where(positive, xp.zeros_like(terms), terms)
            gw = be.cast(unbroadcast(be, terms, slopes.shape).reshape(self.w_shape), x.dtype)
        return gx, gw


@method()
@in_half
def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x if x > 0, else weight · x, with a weight that is learned.

    Shapes: x any; weight () or (1,), one for all, or (C,), one for each channel, which is axis 1.
    Dtypes: floating, both the same. Source: He et al., arXiv:1502.01852, eq. 1.

    >>> import gpunet
    >>> gpunet.prelu(gpunet.tensor([[-2.0, -2.0]]), gpunet.tensor([0.5, 0.25]))
    tensor([[-1. , -0.5]], dtype=float32)
    """
    same_dtype("prelu", x=x, weight=weight)
    if weight.ndim > 1:
        shape_error("prelu", f"weight must have shape () or (C,), got {weight.shape}", x=x)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.numel() not in (1, channels):
        rule = f"weight must have shape (1,) or (C,) = ({channels},), got {weight.shape}"
        shape_error("prelu", rule, x=x)
    return apply(PReLU(), x, weight)


class RReLU(Op):
    """y = r·x with r drawn where x <= 0, and 1 elsewhere."""

    def __init__(self, lower: float, upper: float):
        self.lower, self.upper = lower, upper

    def forward(self, be: Backend, x: Array) -> Array:
        r = be.dropout.uniform(x, self.lower, self.upper, *random.next_counter())
        self.saved = be.xp.where(be.xp.less_equal(x, 0), r, be.xp.ones_like(r))
        return be.xp.multiply(x, self.saved)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.xp.multiply(gy, self.saved)


def rrelu(
    x: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x if x > 0, else r · x; r is drawn for each element, or the middle if not `training`.

    Shapes: any. Dtypes: floating. Source: Xu et al., arXiv:1505.00853, section 2.4.
    Args:
        lower: of the range that r is drawn from, uniformly. upper: its other end.
        inplace: writes the result into x, too.
    Differs from PyTorch: the same seed draws other slopes.
    """
    floating("rrelu", "x", x)
    if not (math.isfinite(lower) and math.isfinite(upper) and lower <= upper):
        rule = f"lower must be at most upper, both finite, got {lower} and {upper}"
        raise ArgumentError("rrelu", rule)
    if not training:
        return LeakyReLU((lower + upper) / 2).on("rrelu", x, inplace)
    y = apply(RReLU(lower, upper), x)
    return x.assign("rrelu", y) if inplace else y


class GLU(Op):
    """y = a·σ(b); ga = gy·σ(b), gb = gy·a·σ(b)·(1 − σ(b))."""

    def __init__(self, dim: int):
        self.dim = dim

    def halves(self, x: Array) -> tuple[Array, Array]:
        x = x.swapaxes(self.dim, -1)
        half = x.shape[-1] // 2
        return x[..., :half].swapaxes(self.dim, -1), x[..., half:].swapaxes(self.dim, -1)

    def forward(self, be: Backend, x: Array) -> Array:
        a, b = self.halves(x)
        gate = be.activation.sigmoid_fwd(be.contiguous(b))
        self.saved, self.shape = (a, gate), x.shape
        return be.xp.multiply(a, gate)

    def backward(self, be: Backend, gy: Array) -> Array:
        (a, gate), gx = self.saved, be.empty(self.shape, gy.dtype)
        ga, gb = self.halves(gx)
        ga[...] = be.xp.multiply(gy, gate)
        gb[...] = be.activation.sigmoid_bwd(be.contiguous(be.xp.multiply(gy, a)), gate)
        return gx


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """a · σ(b), a and b the two halves of x along `dim`.

    Shapes: x (..., 2C, ...); the result (..., C, ...). Dtypes: floating.
    Source: Dauphin et al., arXiv:1612.08083, eq. 1.

    >>> import gpunet
    >>> gpunet.glu(gpunet.tensor([3.0, 5.0, 0.0, 0.0]))
    tensor([1.5, 2.5], dtype=float32)
    """
    floating("glu", "x", x)
    dim = axis("glu", x, dim)
    if x.shape[dim] % 2:
        shape_error("glu", f"axis {dim} must have an even length, got {x.shape[dim]}", x=x)
    return apply(GLU(dim), x)
