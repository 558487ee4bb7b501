"""Softmax and log-softmax. CPU: gpunet/backend/cpu/softmax.py. CUDA: kernels/softmax.cu."""

from __future__ import annotations

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.functional.check import axis, floating


class Softmax(Op):
    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.softmax.softmax_fwd(be.contiguous(x.swapaxes(self.dim, -1)))
        self.saved = y
        return y.swapaxes(self.dim, -1)

    def backward(self, be: Backend, gy: Array) -> Array:
        gy = be.contiguous(gy.swapaxes(self.dim, -1))
        return be.softmax.softmax_bwd(gy, self.saved).swapaxes(self.dim, -1)


class LogSoftmax(Op):
    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.softmax.log_softmax_fwd(be.contiguous(x.swapaxes(self.dim, -1)))
        self.saved = y
        return y.swapaxes(self.dim, -1)

    def backward(self, be: Backend, gy: Array) -> Array:
        gy = be.contiguous(gy.swapaxes(self.dim, -1))
        return be.softmax.log_softmax_bwd(gy, self.saved).swapaxes(self.dim, -1)


@method()
def softmax(x: Tensor, dim: int) -> Tensor:
    """e^x / Σ e^x along `dim`, shifted by the maximum so that nothing overflows.

    Shapes: x (..., C, ...) with at least one axis; the result has the same shape.
    Dtypes: floating.
    """
    floating("softmax", "x", x)
    return apply(Softmax(axis("softmax", x, dim)), x)


@method()
def log_softmax(x: Tensor, dim: int) -> Tensor:
    """log(softmax(x)) along `dim`, without taking the logarithm of a rounded zero.

    Shapes: x (..., C, ...) with at least one axis; the result has the same shape.
    Dtypes: floating.
    """
    floating("log_softmax", "x", x)
    return apply(LogSoftmax(axis("log_softmax", x, dim)), x)
