"""Activation functions as layers."""

from __future__ import annotations

from gpunet import functional as F
from gpunet.autograd.op import apply
from gpunet.autograd.tensor import Tensor
from gpunet.functional import activation as ops
from gpunet.functional.check import floating, one_of
from gpunet.nn.module import Module


class ActivationLayer(Module):
    """Base of the elementwise ones. Shapes: any.

    `op()` makes the operation; `Sequential` hands it to the layer before, which fuses it.
    """

    def op(self) -> ops.Activation:
        """A fresh operation with this layer's settings."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        floating(type(self).__name__, "x", x)
        return apply(self.op(), x)


class ReLU(ActivationLayer):
    """max(x, 0); see `functional.relu`."""

    def op(self) -> ops.Activation:
        return ops.ReLU()


class LeakyReLU(ActivationLayer):
    """x or negative_slope·x; see `functional.leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def op(self) -> ops.Activation:
        return ops.LeakyReLU(self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(ActivationLayer):
    """x or alpha·(e^x − 1); see `functional.elu`."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def op(self) -> ops.Activation:
        return ops.ELU(self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Sigmoid(ActivationLayer):
    """1 / (1 + e^−x); see `functional.sigmoid`."""

    def op(self) -> ops.Activation:
        return ops.Sigmoid()


class Tanh(ActivationLayer):
    """Hyperbolic tangent; see `functional.tanh`."""

    def op(self) -> ops.Activation:
        return ops.Tanh()


class GELU(ActivationLayer):
    """x·Φ(x); see `functional.gelu`."""

    def __init__(self, approximate: str = "none"):
        one_of("GELU", "approximate", approximate, ("none", "tanh"))
        self.approximate = approximate

    def op(self) -> ops.Activation:
        return ops.GELU() if self.approximate == "none" else ops.GELUTanh()

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(ActivationLayer):
    """x·σ(x); see `functional.silu`."""

    def op(self) -> ops.Activation:
        return ops.SiLU()


class Softplus(ActivationLayer):
    """log(1 + e^(beta·x)) / beta; see `functional.softplus`."""

    def __init__(self, beta: float = 1.0):
        self.beta = beta

    def op(self) -> ops.Activation:
        return ops.Softplus(self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class Mish(ActivationLayer):
    """x·tanh(softplus(x)); see `functional.mish`."""

    def op(self) -> ops.Activation:
        return ops.Mish()


class Softmax(Module):
    """e^x / Σ e^x along `dim`; see `functional.softmax`."""

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log softmax along `dim`; see `functional.log_softmax`."""

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
