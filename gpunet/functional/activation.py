"""Activation functions, elementwise; each may be fused into the matrix product before it.

The piecewise linear ones stand in `piecewise.py`.
CPU formulas: gpunet/backend/cpu/activation.py. CUDA: kernels/activation.cu.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.check import floating, is_tensor, one_of
from gpunet.functional.conversion import clone
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import real


class Activation(Op):
    """y = f(x + bias). A subclass names its two kernels and says what backward reads.

    Attributes:
        keeps: `"y"` if the backward kernel reads the output, `"x"` if the input.
    """

    fresh = True
    takes_bfloat16 = True
    keeps: ClassVar[str]

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        """Calls the forward kernel."""
        raise NotImplementedError

    def bwd(self, be: Backend, gy: Array, kept: Array, bias: Array | None, /) -> Array:
        """Calls the backward kernel on what was kept."""
        raise NotImplementedError

    def forward(self, be: Backend, x: Array, bias: Array | None = None) -> Array:
        x = be.contiguous(x)
        bias = None if bias is None else be.contiguous(bias)
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

    def forward_of_product(self, be: Backend, x: Array, w: Array, bias: Array | None) -> Array:
        """`forward` on x·wᵀ, which only exists as an array where backward reads it."""
        if self.keeps == "x":
            return self.forward(be, be.matmul(x, w.T), bias)
        z = be.product(x, w)
        y = self.fwd(be, z, bias, z)
        self.saved = y, None
        return y

    def on(self, operation: str, x: Tensor, inplace: bool = False) -> Tensor:
        """f(x), for the function or layer of that name; written into x itself if `inplace`."""
        floating(operation, "x", x)
        if not inplace:
            return apply(self, x)
        if self.keeps == "x" and x.requires_grad:
            return x.assign(operation, apply(self, clone(x)))  # backward reads the old values
        return x.assign(operation, apply(self, x))

    def backward(self, be: Backend, gy: Array) -> Any:
        kept, bias = self.saved
        gx = self.bwd(be, be.contiguous(gy), kept, bias)
        if len(self.needs) < 2:  # without a bias, or inside another operation that sees to it
            return gx
        return gx if self.needs[0] else None, be.reduction.column_sum(gx) if self.needs[1] else None


class ReLU(Activation):
    keeps = "y"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.relu_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.activation.relu_bwd(gy, y, bias=bias)


@method("relu", "relu_")
def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); its gradient at 0 is 0. `inplace` writes the result into x, too.

    Shapes: any. Dtypes: floating. Source: Nair & Hinton, ICML 2010.
    """
    return ReLU().on("relu", x, inplace)


class LeakyReLU(Activation):
    keeps = "x"

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.leaky_relu_fwd(x, self.negative_slope, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.leaky_relu_bwd(gy, x, self.negative_slope, bias=bias)


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x if x > 0, else `negative_slope` · x. `inplace` writes the result into x, too.

    Shapes: any. Dtypes: floating. Source: Maas et al., ICML 2013.
    """
    return LeakyReLU(negative_slope).on("leaky_relu", x, inplace)


class ELU(Activation):
    """alpha·(e^(stretch·x) − 1) up to 0, scale·x beyond: ELU, SELU and CELU."""

    keeps = "x"

    def __init__(self, alpha: float = 1.0, scale: float = 1.0, stretch: float = 1.0):
        self.alpha = alpha
        self.scale = scale
        self.stretch = stretch

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.elu_fwd(x, self.alpha, self.scale, self.stretch, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.elu_bwd(gy, x, self.alpha, self.scale, self.stretch, bias=bias)


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x if x > 0, else `alpha` · (e^x − 1). `inplace` writes the result into x, too.

    Shapes: any. Dtypes: floating. Source: Clevert et al., arXiv:1511.07289, eq. 16.
    """
    return ELU(alpha).on("elu", x, inplace)


# Mean 0 and variance 1 are a fixed point of SELU with these.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


class SELU(ELU):
    def __init__(self) -> None:
        super().__init__(_SELU_ALPHA * _SELU_SCALE, _SELU_SCALE)


def selu(x: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 · (x if x > 0, else 1.6733 · (e^x − 1)). `inplace` writes the result into x, too.

    Shapes: any. Dtypes: floating. Source: Klambauer et al., arXiv:1706.02515, eq. 2; the constants
    in full from its appendix.
    """
    return SELU().on("selu", x, inplace)


class CELU(ELU):
    def __init__(self, alpha: float = 1.0):
        super().__init__(alpha, 1.0, 1.0 / alpha)


def celu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x if x > 0, else `alpha` · (e^(x / alpha) − 1): its slope has no jump.

    `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating. Raises: ArgumentError if `alpha` is 0.
    Source: Barron, arXiv:1704.07483, eq. 2.
    """
    if alpha == 0:
        raise ArgumentError("celu", "alpha must not be 0")
    return CELU(alpha).on("celu", x, inplace)


class Sigmoid(Activation):
    keeps = "y"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.sigmoid_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.activation.sigmoid_bwd(gy, y, bias=bias)


@method("sigmoid", "sigmoid_")
def sigmoid(x: Tensor) -> Tensor:
    """σ(x) = 1 / (1 + e^−x). Shapes: any."""
    is_tensor("sigmoid", "x", x)
    return apply(Sigmoid(), real(x))


class LogSigmoid(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.logsigmoid_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.logsigmoid_bwd(gy, x, bias=bias)


@in_single
def logsigmoid(x: Tensor) -> Tensor:
    """log σ(x) = −log(1 + e^−x), without overflow and without the logarithm of a rounded 0.

    Shapes: any. Dtypes: floating.
    """
    return LogSigmoid().on("logsigmoid", x)


class Tanh(Activation):
    keeps = "y"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.tanh_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, y: Array, bias: Array | None) -> Array:
        return be.activation.tanh_bwd(gy, y, bias=bias)


@method("tanh", "tanh_")
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent. Shapes: any."""
    is_tensor("tanh", "x", x)
    return apply(Tanh(), real(x))


class Tanhshrink(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.tanhshrink_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.tanhshrink_bwd(gy, x, bias=bias)


def tanhshrink(x: Tensor) -> Tensor:
    """x − tanh(x). Shapes: any. Dtypes: floating."""
    return Tanhshrink().on("tanhshrink", x)


class Softsign(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.softsign_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.softsign_bwd(gy, x, bias=bias)


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|).

    Shapes: any. Dtypes: floating. Source: Turian et al., ICML 2009.
    Differs from PyTorch: the gradient at ±∞ is 0, there NaN.
    """
    return Softsign().on("softsign", x)


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


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x·Φ(x), Φ the normal distribution function; with `approximate="tanh"` the tanh formula.

    Shapes: any. Dtypes: floating. Source: Hendrycks & Gimpel, arXiv:1606.08415, section 2.
    Differs from PyTorch: it is finite where 2·x overflows, there it is Inf on processors with
    AVX-512; so is the gradient of the tanh formula where x³ overflows, there it is NaN.
    """
    one_of("gelu", "approximate", approximate, ("none", "tanh"))
    op = GELU() if approximate == "none" else GELUTanh()
    return op.on("gelu", x)


class SiLU(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.silu_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.silu_bwd(gy, x, bias=bias)


def silu(x: Tensor, inplace: bool = False) -> Tensor:
    """x·σ(x), also called swish. `inplace` writes the result into x, too.

    Shapes: any. Dtypes: floating. Source: Elfwing et al., arXiv:1702.03118, eq. 2.
    """
    return SiLU().on("silu", x, inplace)


class Softplus(Activation):
    keeps = "x"

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta = beta
        self.threshold = threshold

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.softplus_fwd(x, self.beta, self.threshold, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.softplus_bwd(gy, x, self.beta, self.threshold, bias=bias)


@in_single
def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta·x)) / beta; x itself where beta·x > `threshold`, as in PyTorch.

    The formula does not overflow: in float32, `threshold` (at least 17) changes no bit.
    Shapes: any. Dtypes: floating. Source: Dugas et al., NIPS 2000.
    """
    return Softplus(beta, threshold).on("softplus", x)


class Mish(Activation):
    keeps = "x"

    def fwd(self, be: Backend, x: Array, bias: Array | None, out: Array | None) -> Array:
        return be.activation.mish_fwd(x, bias=bias, out=out)

    def bwd(self, be: Backend, gy: Array, x: Array, bias: Array | None) -> Array:
        return be.activation.mish_bwd(gy, x, bias=bias)


def mish(x: Tensor, inplace: bool = False) -> Tensor:
    """x·tanh(softplus(x)). `inplace` writes the result into x, too.

    Shapes: any. Dtypes: floating. Source: Misra, arXiv:1908.08681, eq. 1.
    Differs from PyTorch: the gradient at ∞ is 1, there NaN.
    """
    return Mish().on("mish", x, inplace)
