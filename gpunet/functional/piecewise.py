"""Activation functions made of straight lines, elementwise; fused like those of `activation.py`.

At a kink the gradient is PyTorch's, which is that of the flat side.
CPU formulas: gpunet/backend/cpu/activation.py. CUDA: kernels/activation.cu.
"""

from __future__ import annotations

from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.activation import Activation


class Step(Activation):
    keeps = "y"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.step_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.full(gy.shape, 0.0, gy.dtype)


def step(x: Tensor) -> Tensor:
    """1 if x > 0, else 0: the hard limiter of the perceptron. Its gradient is 0 everywhere.

    Shapes: any. Dtypes: floating. Source: Rosenblatt, Psychological Review 65, 1958.

    >>> import gpunet
    >>> gpunet.step(gpunet.tensor([-2.0, 0.0, 0.5]))
    tensor([0., 0., 1.], dtype=float32)
    """
    return Step().on("step", x)


class Threshold(Activation):
    keeps = "x"

    def __init__(self, threshold: float = 0.0, value: float = 0.0):
        self.threshold = threshold
        self.value = value

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.threshold_fwd(x, self.threshold, self.value, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.threshold_bwd(gy, x, self.threshold, bias=bias)


def threshold(x: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x if x > `threshold`, else `value`; its gradient at the threshold is 0.

    `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating.
    """
    return Threshold(threshold, value).on("threshold", x, inplace)


class Hardtanh(Activation):
    keeps = "y"

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        self.min_val = min_val
        self.max_val = max_val

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.hardtanh_fwd(x, self.min_val, self.max_val, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.activation.hardtanh_bwd(gy, y, self.min_val, self.max_val, bias=bias)


def hardtanh(
    x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x, but at least `min_val` and at most `max_val`; its gradient at both is 0.

    `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating. Raises: ArgumentError if min_val > max_val.
    """
    if min_val > max_val:
        rule = f"min_val must be at most max_val, got {min_val} and {max_val}"
        raise ArgumentError("hardtanh", rule)
    return Hardtanh(min_val, max_val).on("hardtanh", x, inplace)


def relu6(x: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0), but at most 6; its gradient at 0 and 6 is 0.

    `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating. Source: Krizhevsky, 2010, Convolutional Deep Belief Networks on
    CIFAR-10, section 3.
    """
    return Hardtanh(0.0, 6.0).on("relu6", x, inplace)


class Hardsigmoid(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.hardsigmoid_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.hardsigmoid_bwd(gy, x, bias=bias)


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """(x + 3) / 6, but at least 0 and at most 1; its gradient at x = ±3 is 0.

    `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating. Source: Howard et al., arXiv:1905.02244, section 5.2.
    Differs from PyTorch: in float64 the slope is 1/6 in float64, there in float32.
    """
    return Hardsigmoid().on("hardsigmoid", x, inplace)


class Hardswish(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.hardswish_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.hardswish_bwd(gy, x, bias=bias)


def hardswish(x: Tensor, inplace: bool = False) -> Tensor:
    """x · hardsigmoid(x); its gradient at −3 is 0, at 3 it is 1.

    `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating. Source: Howard et al., arXiv:1905.02244, section 5.2.
    Differs from PyTorch: x beyond 5.6e37 does not overflow in float32, there it does.
    """
    return Hardswish().on("hardswish", x, inplace)


class Softshrink(Activation):
    keeps = "x"

    def __init__(self, lambd: float = 0.5):
        self.lambd = lambd

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.softshrink_fwd(x, self.lambd, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.shrink_bwd(gy, x, self.lambd, bias=bias)


def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by `lambd`, and 0 if |x| <= lambd, where its gradient is 0.

    Shapes: any. Dtypes: floating. Raises: ArgumentError if lambd < 0.
    """
    if not lambd >= 0:
        raise ArgumentError("softshrink", f"lambd must be at least 0, got {lambd}")
    return Softshrink(lambd).on("softshrink", x)


class Hardshrink(Activation):
    keeps = "x"

    def __init__(self, lambd: float = 0.5):
        self.lambd = lambd

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.hardshrink_fwd(x, self.lambd, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.shrink_bwd(gy, x, self.lambd, bias=bias)


@method()
def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """0 if |x| <= `lambd`, where its gradient is 0, else x. Shapes: any. Dtypes: floating."""
    return Hardshrink(lambd).on("hardshrink", x)
