"""Activation functions, elementwise; each may be fused into the matrix product before it.

CPU formulas: gpunet/backend/cpu/activation.py. CUDA: kernels/activation.cu.
"""

from __future__ import annotations

from typing import ClassVar

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.functional.check import floating, one_of


class Activation(Op):
    """y = f(x + bias). A subclass names its two kernels and says what backward reads.

    Attributes:
        keeps: `"y"` if the backward kernel reads the output, `"x"` if the input.
    """

    keeps: ClassVar[str]

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        """Calls the forward kernel."""
        raise NotImplementedError

    def bwd(self, be: Backend, gy: Array, kept: Array, bias: Array | None, /) -> Array:
        """Calls the backward kernel on what was kept."""
        raise NotImplementedError

    def forward(self, be: Backend, x: Array, bias: Array | None = None) -> Array:
        x = be.contiguous(x)
        y = self.fwd(be, x, bias, None)
        self.saved = (y, None) if self.keeps == "y" else (x, bias)
        return y

    def forward_in_place(self, be: Backend, x: Array, bias: Array | None) -> Array:
        """`forward` on an array nobody else holds: the result takes its memory unless x is kept."""
        if self.keeps == "x":
            return self.forward(be, x, bias)
        y = self.fwd(be, x, bias, x)
        self.saved = y, None
        return y

    def backward(self, be: Backend, gy: Array) -> Array:
        kept, bias = self.saved
        return self.bwd(be, be.contiguous(gy), kept, bias)


class ReLU(Activation):
    keeps = "y"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.relu_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.activation.relu_bwd(gy, y, bias=bias)


@method()
def relu(x: Tensor) -> Tensor:
    """max(x, 0); its gradient at 0 is 0.

    Shapes: any. Dtypes: floating. Source: Nair & Hinton, ICML 2010.
    """
    floating("relu", "x", x)
    return apply(ReLU(), x)


class LeakyReLU(Activation):
    keeps = "x"

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.leaky_relu_fwd(x, self.negative_slope, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.leaky_relu_bwd(gy, x, self.negative_slope, bias=bias)


@method()
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x if x > 0, else `negative_slope` · x.

    Shapes: any. Dtypes: floating. Source: Maas et al., ICML 2013.
    """
    floating("leaky_relu", "x", x)
    return apply(LeakyReLU(negative_slope), x)


class ELU(Activation):
    keeps = "x"

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.elu_fwd(x, self.alpha, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.elu_bwd(gy, x, self.alpha, bias=bias)


@method()
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x if x > 0, else `alpha` · (e^x − 1).

    Shapes: any. Dtypes: floating. Source: Clevert et al., arXiv:1511.07289, eq. 16.
    """
    floating("elu", "x", x)
    return apply(ELU(alpha), x)


class Sigmoid(Activation):
    keeps = "y"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.sigmoid_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.activation.sigmoid_bwd(gy, y, bias=bias)


@method()
def sigmoid(x: Tensor) -> Tensor:
    """σ(x) = 1 / (1 + e^−x). Shapes: any. Dtypes: floating."""
    floating("sigmoid", "x", x)
    return apply(Sigmoid(), x)


class Tanh(Activation):
    keeps = "y"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.tanh_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.activation.tanh_bwd(gy, y, bias=bias)


@method()
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent. Shapes: any. Dtypes: floating."""
    floating("tanh", "x", x)
    return apply(Tanh(), x)


class GELU(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.gelu_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.gelu_bwd(gy, x, bias=bias)


class GELUTanh(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.gelu_tanh_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.gelu_tanh_bwd(gy, x, bias=bias)


@method()
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x·Φ(x), Φ the normal distribution function; with `approximate="tanh"` the tanh formula.

    Shapes: any. Dtypes: floating. Source: Hendrycks & Gimpel, arXiv:1606.08415, section 2.
    """
    floating("gelu", "x", x)
    one_of("gelu", "approximate", approximate, ("none", "tanh"))
    return apply(GELU() if approximate == "none" else GELUTanh(), x)


class SiLU(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.silu_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.silu_bwd(gy, x, bias=bias)


@method()
def silu(x: Tensor) -> Tensor:
    """x·σ(x), also called swish.

    Shapes: any. Dtypes: floating. Source: Elfwing et al., arXiv:1702.03118, eq. 2.
    """
    floating("silu", "x", x)
    return apply(SiLU(), x)


class Softplus(Activation):
    keeps = "x"

    def __init__(self, beta: float = 1.0):
        self.beta = beta

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.softplus_fwd(x, self.beta, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.softplus_bwd(gy, x, self.beta, bias=bias)


@method()
def softplus(x: Tensor, beta: float = 1.0) -> Tensor:
    """log(1 + e^(beta·x)) / beta, computed without overflow.

    Shapes: any. Dtypes: floating. PyTorch's `threshold` is not needed here: the formula is
    exact for large x. Source: Dugas et al., NIPS 2000.
    """
    floating("softplus", "x", x)
    return apply(Softplus(beta), x)


class Mish(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.mish_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.mish_bwd(gy, x, bias=bias)


@method()
def mish(x: Tensor) -> Tensor:
    """x·tanh(softplus(x)).

    Shapes: any. Dtypes: floating. Source: Misra, arXiv:1908.08681, eq. 1.
    """
    floating("mish", "x", x)
    return apply(Mish(), x)
