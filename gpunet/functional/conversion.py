"""Other dtypes, devices and memory for the same values: as in PyTorch, mostly methods."""

from __future__ import annotations

from typing import Any

from gpunet import backend
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, DType, dtypes
from gpunet.functional.check import is_tensor
from gpunet.functional.promotion import cast


class Move(Op):
    """A copy on another device; the gradient comes back."""

    takes_bfloat16 = True
    target: Backend

    def __init__(self, target: Backend):
        self.target = target

    def forward(self, be: Backend, x: Array) -> Array:
        return self.target.asarray(be.to_host(x))

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.asarray(self.target.to_host(gy))


class Clone(Op):
    takes_bfloat16 = True

    def forward(self, be: Backend, x: Array) -> Array:
        return be.copy(x)

    def backward(self, be: Backend, gy: Array) -> Array:
        return gy


@method("to")
def _to(x: Tensor, *target: Any, dtype: DType | None = None, device: str | None = None) -> Tensor:
    """x in another dtype, on another device, or both; x itself where nothing changes.

    `target` is a device, a dtype, both, or a tensor whose dtype and device are wanted; `dtype` and
    `device` say the same by name.
    Shapes: any.

    >>> import gpunet
    >>> gpunet.tensor([1.7, -2.0]).to("int64")
    tensor([ 1, -2])
    """
    is_tensor("to", "x", x)
    for wanted in target:
        if isinstance(wanted, Tensor):
            dtype, device = wanted.dtype, wanted.device
        elif isinstance(wanted, str) and (wanted == "auto" or wanted.startswith(("cpu", "cuda"))):
            device = wanted
        elif wanted is not None:
            dtype = wanted
    if device is not None:
        be = backend.resolve(device)[0]
        if be is not x.backend:
            x = apply(Move(be), x)
    return x if dtype is None else cast(x, backend.dtype(dtype))


@method("type_as")
def _type_as(x: Tensor, other: Tensor) -> Tensor:
    """x in the dtype of `other`. Shapes: any."""
    is_tensor("type_as", "x", x)
    is_tensor("type_as", "other", other)
    return cast(x, other.dtype)


@method("half")
def _half(x: Tensor) -> Tensor:
    """x in float16. Shapes: any."""
    is_tensor("half", "x", x)
    return cast(x, dtypes.float16)


@method("bfloat16")
def _bfloat16(x: Tensor) -> Tensor:
    """x in bfloat16, which has the range of float32 and 8 bits of its digits. Shapes: any."""
    is_tensor("bfloat16", "x", x)
    return cast(x, dtypes.bfloat16())


@method("float")
def _float(x: Tensor) -> Tensor:
    """x in float32. Shapes: any."""
    is_tensor("float", "x", x)
    return cast(x, dtypes.float32)


@method("double")
def _double(x: Tensor) -> Tensor:
    """x in float64. Shapes: any."""
    is_tensor("double", "x", x)
    return cast(x, dtypes.float64)


@method("int")
def _int(x: Tensor) -> Tensor:
    """x in int32, real numbers rounded towards 0. Shapes: any."""
    is_tensor("int", "x", x)
    return cast(x, dtypes.int32)


@method("long")
def _long(x: Tensor) -> Tensor:
    """x in int64, real numbers rounded towards 0. Shapes: any."""
    is_tensor("long", "x", x)
    return cast(x, dtypes.int64)


@method("bool")
def _bool(x: Tensor) -> Tensor:
    """False where x is 0, True elsewhere. Shapes: any."""
    is_tensor("bool", "x", x)
    return cast(x, dtypes.bool_)


@method("cpu")
def _cpu(x: Tensor) -> Tensor:
    """x on the CPU. Shapes: any."""
    return _to(x, device="cpu")


@method("cuda")
def _cuda(x: Tensor, device: int = 0) -> Tensor:
    """x on GPU number `device`. Shapes: any."""
    return _to(x, device=f"cuda:{device}")


@method()
def clone(x: Tensor) -> Tensor:
    """A copy with memory of its own; the gradient passes through. Shapes: any."""
    is_tensor("clone", "x", x)
    return apply(Clone(), x)


@method("contiguous")
def _contiguous(x: Tensor) -> Tensor:
    """x itself if its elements lie in C order without gaps, else such a copy. Shapes: any."""
    is_tensor("contiguous", "x", x)
    return x if x.is_contiguous() else apply(Clone(), x)
