"""Dropout: same seed, same mask on CPU and GPU.

CPU: gpunet/backend/cpu/dropout.py. CUDA: kernels/dropout.cu.
"""

from __future__ import annotations

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, random
from gpunet.errors import ArgumentError
from gpunet.functional.check import floating


class Dropout(Op):
    """Keeps no mask: the backward pass draws the same one again from (seed, counter)."""

    takes_bfloat16 = True

    def __init__(self, p: float):
        self.p = p

    def forward(self, be: Backend, x: Array) -> Array:
        self.draw = random.next_counter()
        return be.dropout.dropout(be.contiguous(x), self.p, *self.draw)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.dropout.dropout(be.contiguous(gy), self.p, *self.draw)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each element with probability `p` and scales the others by 1/(1−p).

    The identity if not `training`. `inplace` writes the result into x, too.
    Shapes: any. Dtypes: floating. Source: Srivastava et al., JMLR 15, 2014 (inverted form).
    Differs from PyTorch: the same seed drops other elements.
    """
    floating("dropout", "x", x)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError("dropout", f"p must be in [0, 1], got {p}")
    if not training or p == 0.0:
        return x
    y = apply(Dropout(p), x)
    return x.assign("dropout", y) if inplace else y
