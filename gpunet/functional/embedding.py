"""Rows of a table, looked up. CPU: gpunet/backend/cpu/embedding.py. CUDA: kernels/embedding.cu."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.memory import written
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import (
    describe,
    floating,
    is_tensor,
    one_device,
    shape_error,
    whole_number,
)
from gpunet.functional.indexing import getitem
from gpunet.functional.positions import check_indices, check_range, sum_rows


class Embedding(Op):
    """y[i] = W[x[i]]; gW[r] = Σ gy[i] over all i with x[i] = r, 0 for the padding row."""

    fresh = True
    takes_bfloat16 = True

    def __init__(self, padding: int | None, by_frequency: bool):
        self.padding, self.by_frequency = padding, by_frequency

    def forward(self, be: Backend, x: Array, w: Array) -> Array:
        index = be.contiguous(be.asarray(x, "int64")).reshape(-1)
        self.saved, self.rows, self.dtype = index, w.shape[0], w.dtype
        y = be.embedding.embedding_fwd(be.contiguous(w), index)
        return y.reshape(*x.shape, w.shape[1])

    def backward(self, be: Backend, gy: Array) -> Any:
        index = self.saved
        rows = gy.reshape(index.size, gy.shape[-1])
        gw = sum_rows(be, rows, index, self.rows)
        if self.padding is not None:
            gw[self.padding] = 0
        if self.by_frequency:
            count = be.xp.maximum(be.xp.bincount(index, minlength=self.rows), 1)
            gw = be.xp.divide(gw, be.asarray(count[:, None], self.dtype))
        return None, gw


def embedding(
    x: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
) -> Tensor:
    """Row x[i] of `weight` for each i.

    Shapes: x any, weight (num_embeddings, C); the result (*x.shape, C).
    Args:
        x: int64 or int32, in [0, num_embeddings).
        padding_idx: a row that gets no gradient; negative ones count from the end.
        max_norm: rows among x that are longer are scaled to that length first, in `weight` itself.
        norm_type: the p of the norm that `max_norm` bounds.
        scale_grad_by_freq: divides the gradient of each row by how often it stands in x.

    >>> import gpunet
    >>> table = gpunet.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> gpunet.functional.embedding(gpunet.tensor([1, 0, 1]), table)
    tensor([[3., 4.],
            [1., 2.],
            [3., 4.]], dtype=float32)
    """
    check_indices("embedding", "x", x)
    is_tensor("embedding", "weight", weight)
    one_device("embedding", x, weight)
    if weight.ndim != 2:
        rule = f"weight must have shape (num_embeddings, C), got {weight.shape}"
        shape_error("embedding", rule, x=x)
    rows, padding = weight.shape[0], None
    if padding_idx is not None:
        padding = whole_number("embedding", "padding_idx", padding_idx)
        if not -rows <= padding < rows:
            problem = f"padding_idx must be in [{-rows}, {rows}), got {padding}"
            raise ArgumentError("embedding", problem, describe(weight=weight))
    if max_norm is not None:
        _shorten(x, weight, max_norm, norm_type)
    if not dtypes.floating(weight.dtype):  # whole numbers have no gradient, and need no kernel
        check_range("embedding", "x", x, rows)
        return getitem(weight, x)
    return apply(Embedding(padding, scale_grad_by_freq), x, weight)


def _shorten(x: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows of `weight` that x names, and that are longer than `max_norm`, in place."""
    floating("embedding", "weight", weight)
    check_range("embedding", "x", x, weight.shape[0])
    be, w = weight.backend, weight.array
    named = be.xp.unique(x.array)
    picked = be.asarray(w[named], "float64")
    norm = be.xp.linalg.norm(picked, norm_type, axis=1)
    scale = be.xp.where(norm > max_norm, max_norm / (norm + 1e-7), be.xp.ones_like(norm))
    w[named] = be.asarray(picked * scale[:, None], w.dtype)
    written((w,))


def one_hot(x: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the position that x names, else 0, in a new last axis of length `num_classes`.

    With −1 the length is one more than the largest class.
    Shapes: x any, of int64; the result (*x.shape, num_classes), int64.

    >>> import gpunet
    >>> gpunet.one_hot(gpunet.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    is_tensor("one_hot", "x", x)
    if x.dtype != "int64":
        raise DTypeError("one_hot", f"x must be int64, got {x.dtype}")
    classes = whole_number("one_hot", "num_classes", num_classes)
    if not x.numel() and classes < 1:
        raise ArgumentError("one_hot", f"num_classes must be given for no classes, got {classes}")
    if classes < -1 or classes == 0:
        raise ArgumentError("one_hot", f"num_classes must be at least 1, or -1, got {classes}")
    be = x.backend
    n = int(x.array.max()) + 1 if classes == -1 else classes
    check_range("one_hot", "x", x, n)
    return Tensor(be.asarray(x.array[..., None] == be.xp.arange(n), "int64"), be)
