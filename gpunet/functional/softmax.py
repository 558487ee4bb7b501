"""Softmax and its kin. CPU: gpunet/backend/cpu/softmax.py. CUDA: kernels/softmax.cu."""

from __future__ import annotations

from gpunet import backend
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, DType, dtypes, random
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.arithmetic import neg
from gpunet.functional.check import axis, floating, is_tensor
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import cast, wide


class Softmax(Op):
    fresh = True
    takes_bfloat16 = True

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.softmax.softmax_fwd(_last(be, x, self.dim))
        self.saved = y
        return _back(y, self.dim, x.shape)

    def backward(self, be: Backend, gy: Array) -> Array:
        gx = be.softmax.softmax_bwd(_last(be, gy, self.dim), self.saved)
        return _back(gx, self.dim, gy.shape)


class LogSoftmax(Op):
    fresh = True
    takes_bfloat16 = True

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.softmax.log_softmax_fwd(_last(be, x, self.dim))
        self.saved = y
        return _back(y, self.dim, x.shape)

    def backward(self, be: Backend, gy: Array) -> Array:
        gx = be.softmax.log_softmax_bwd(_last(be, gy, self.dim), self.saved)
        return _back(gx, self.dim, gy.shape)


def _last(be: Backend, x: Array, dim: int) -> Array:
    """x with axis `dim` as the last one; a single number as an axis of length 1."""
    return be.contiguous(x.swapaxes(dim, -1) if x.ndim else x.reshape(1))


def _back(y: Array, dim: int, shape: tuple[int, ...]) -> Array:
    return y.swapaxes(dim, -1) if shape else y.reshape(())


def _prepared(operation: str, x: Tensor, dim: int, dtype: DType | None) -> tuple[Tensor, int]:
    """x in `dtype`, and `dim` counted from the front."""
    is_tensor(operation, "x", x)
    if dtype is not None:
        wanted = backend.dtype(dtype)
        if not dtypes.floating(wanted):
            raise DTypeError(operation, f"dtype must be floating, got {wanted}")
        x = cast(x, wanted)
    floating(operation, "x", x)
    if not x.ndim and dim in (0, -1):
        return x, 0
    return x, axis(operation, x, dim)


@method()
@in_single
def softmax(x: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """e^x / Σ e^x along `dim`, shifted by the maximum so that nothing overflows.

    `dtype` is that of the computation and the result; x is turned into it first.
    Shapes: x (..., C, ...); the result has the same shape. () counts as (1,).
    Dtypes: floating; any where `dtype` is given.

    >>> import gpunet
    >>> gpunet.softmax(gpunet.tensor([0, 0]), 0, dtype="float64")
    tensor([0.5, 0.5])
    """
    x, dim = _prepared("softmax", x, dim, dtype)
    return apply(Softmax(dim), x)


@method()
@in_single
def log_softmax(x: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """log(softmax(x)) along `dim`, without taking the logarithm of a rounded zero.

    `dtype` is that of the computation and the result; x is turned into it first.
    Shapes: x (..., C, ...); the result has the same shape. () counts as (1,).
    Dtypes: floating; any where `dtype` is given.
    """
    x, dim = _prepared("log_softmax", x, dim, dtype)
    return apply(LogSoftmax(dim), x)


@in_single
def softmin(x: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """softmax(−x) along `dim`.

    `dtype` is that of the computation and the result; x is turned into it first.
    Shapes: x (..., C, ...); the result has the same shape. () counts as (1,).
    Dtypes: floating; any where `dtype` is given.
    """
    x, dim = _prepared("softmin", x, dim, dtype)
    return apply(Softmax(dim), neg(x))


class OneHotMax(Op):
    """1 at the largest element along `dim` (the first of equals), 0 elsewhere.

    Its gradient is passed straight through, as if it had not been taken.
    """

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, be: Backend, x: Array) -> Array:
        rows = _last(be, x, self.dim)
        highest = be.xp.expand_dims(be.xp.argmax(rows, axis=-1), -1)
        y = be.xp.equal(be.xp.arange(rows.shape[-1]), highest)
        return be.cast(_back(y, self.dim, x.shape), x.dtype)

    def backward(self, be: Backend, gy: Array) -> Array:
        return gy


@in_single
def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, *, dim: int = -1
) -> Tensor:
    """softmax((logits + noise) / tau) along `dim`: nearly a draw of a class, and differentiable.

    The noise is −log(−log u), u uniform in (0, 1).
    Shapes: logits (..., C, ...); the result has the same shape. Dtypes: floating.
    Args:
        tau: temperature, positive; the lower, the nearer to one-hot.
        hard: the result is one-hot, the gradient that of the soft one.
    Source: Jang et al., arXiv:1611.01144, eqs. 1 and 2; Maddison et al., arXiv:1611.00712.
    Differs from PyTorch: the same seed draws other noise, and the unused `eps` is left out.
    """
    logits, dim = _prepared("gumbel_softmax", logits, dim, None)
    if not tau > 0:
        raise ArgumentError("gumbel_softmax", f"tau must be positive, got {tau}")
    y = apply(Softmax(dim), (logits + _gumbel(logits)) / tau)
    return apply(OneHotMax(dim), y) if hard else y


def _gumbel(x: Tensor) -> Tensor:
    """Noise in the shape and dtype of x."""
    be, xp = x.backend, x.backend.xp
    like = wide(x).array
    u = be.dropout.uniform(like, 0.0, 1.0, *random.next_counter())
    return Tensor(be.cast(xp.negative(xp.log(xp.negative(xp.log(u)))), x.dtype), be)
