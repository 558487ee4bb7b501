"""Activation functions as layers.

`inplace=True` means what it means in PyTorch: the result is written into the layer's input, too. In
`Sequential`, an activation after a `Linear` or a convolution writes no memory of its own in any
case.
"""

from __future__ import annotations

from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional import activation as ops
from gpunet.functional import piecewise
from gpunet.functional.check import one_of
from gpunet.nn.module import Module


class ActivationLayer(Module):
    """Base of the elementwise ones. Shapes: any.

    `op()` makes the operation; `Sequential` hands it to the layer before, which fuses it.

    Attributes:
        settings: names of the attributes that the text of the layer shows.
    """

    settings: tuple[str, ...] = ()
    inplace = False

    def op(self) -> ops.Activation:
        """A fresh operation with this layer's settings."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.op().on(type(self).__name__, x, self.inplace)

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self.settings]
        return ", ".join([*shown, "inplace=True"] if self.inplace else shown)


class Step(ActivationLayer):
    """1 if x > 0, else 0; see `functional.step`."""

    def op(self) -> ops.Activation:
        return piecewise.Step()


class Threshold(ActivationLayer):
    """x or value; see `functional.threshold`."""

    settings = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def op(self) -> ops.Activation:
        return piecewise.Threshold(self.threshold, self.value)


class ReLU(ActivationLayer):
    """max(x, 0); see `functional.relu`."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def op(self) -> ops.Activation:
        return ops.ReLU()


class ReLU6(ActivationLayer):
    """max(x, 0), at most 6; see `functional.relu6`."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def op(self) -> ops.Activation:
        return piecewise.Hardtanh(0.0, 6.0)


class LeakyReLU(ActivationLayer):
    """x or negative_slope·x; see `functional.leaky_relu`."""

    settings = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        self.negative_slope, self.inplace = negative_slope, inplace

    def op(self) -> ops.Activation:
        return ops.LeakyReLU(self.negative_slope)


class ELU(ActivationLayer):
    """x or alpha·(e^x − 1); see `functional.elu`."""

    settings = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        self.alpha, self.inplace = alpha, inplace

    def op(self) -> ops.Activation:
        return ops.ELU(self.alpha)


class SELU(ActivationLayer):
    """ELU that keeps mean 0 and variance 1; see `functional.selu`."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def op(self) -> ops.Activation:
        return ops.SELU()


class CELU(ActivationLayer):
    """x or alpha·(e^(x / alpha) − 1); see `functional.celu`."""

    settings = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        if alpha == 0:
            raise ArgumentError("CELU", "alpha must not be 0")
        self.alpha, self.inplace = alpha, inplace

    def op(self) -> ops.Activation:
        return ops.CELU(self.alpha)


class GELU(ActivationLayer):
    """x·Φ(x); see `functional.gelu`."""

    settings = ("approximate",)

    def __init__(self, approximate: str = "none"):
        one_of("GELU", "approximate", approximate, ("none", "tanh"))
        self.approximate = approximate

    def op(self) -> ops.Activation:
        return ops.GELU() if self.approximate == "none" else ops.GELUTanh()


class SiLU(ActivationLayer):
    """x·σ(x); see `functional.silu`."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def op(self) -> ops.Activation:
        return ops.SiLU()


class Mish(ActivationLayer):
    """x·tanh(softplus(x)); see `functional.mish`."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def op(self) -> ops.Activation:
        return ops.Mish()


class Softplus(ActivationLayer):
    """log(1 + e^(beta·x)) / beta; see `functional.softplus`."""

    settings = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = beta, threshold

    def op(self) -> ops.Activation:
        return ops.Softplus(self.beta, self.threshold)


class Softsign(ActivationLayer):
    """x / (1 + |x|); see `functional.softsign`."""

    def op(self) -> ops.Activation:
        return ops.Softsign()


class Sigmoid(ActivationLayer):
    """1 / (1 + e^−x); see `functional.sigmoid`."""

    def op(self) -> ops.Activation:
        return ops.Sigmoid()


class LogSigmoid(ActivationLayer):
    """log σ(x); see `functional.logsigmoid`."""

    def op(self) -> ops.Activation:
        return ops.LogSigmoid()


class Tanh(ActivationLayer):
    """Hyperbolic tangent; see `functional.tanh`."""

    def op(self) -> ops.Activation:
        return ops.Tanh()


class Tanhshrink(ActivationLayer):
    """x − tanh(x); see `functional.tanhshrink`."""

    def op(self) -> ops.Activation:
        return ops.Tanhshrink()


class Hardtanh(ActivationLayer):
    """x between min_val and max_val; see `functional.hardtanh`."""

    settings = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
        if not min_val < max_val:
            rule = f"min_val must be below max_val, got {min_val} and {max_val}"
            raise ArgumentError("Hardtanh", rule)
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def op(self) -> ops.Activation:
        return piecewise.Hardtanh(self.min_val, self.max_val)


class Hardsigmoid(ActivationLayer):
    """(x + 3) / 6 between 0 and 1; see `functional.hardsigmoid`."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def op(self) -> ops.Activation:
        return piecewise.Hardsigmoid()


class Hardswish(ActivationLayer):
    """x · hardsigmoid(x); see `functional.hardswish`."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def op(self) -> ops.Activation:
        return piecewise.Hardswish()


class Softshrink(ActivationLayer):
    """x moved towards 0 by lambd; see `functional.softshrink`."""

    settings = ("lambd",)

    def __init__(self, lambd: float = 0.5):
        if not lambd >= 0:
            raise ArgumentError("Softshrink", f"lambd must be at least 0, got {lambd}")
        self.lambd = lambd

    def op(self) -> ops.Activation:
        return piecewise.Softshrink(self.lambd)


class Hardshrink(ActivationLayer):
    """x, but 0 within lambd of it; see `functional.hardshrink`."""

    settings = ("lambd",)

    def __init__(self, lambd: float = 0.5):
        self.lambd = lambd

    def op(self) -> ops.Activation:
        return piecewise.Hardshrink(self.lambd)
