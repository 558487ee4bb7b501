"""Matrix products, and the dense layer with its bias and activation fused."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.activation import Activation
from gpunet.functional.check import is_tensor, same_dtype, shape_error


class MatMul(Op):
    """z = x·y over the last two axes; gx = gz·yᵀ, gy = xᵀ·gz."""

    def forward(self, be: Backend, x: Array, y: Array) -> Array:
        self.saved = x, y
        return be.matmul(x, y)

    def backward(self, be: Backend, gz: Array) -> Any:
        x, y = self.saved
        gx = gy = None
        if self.needs[0]:
            gx = unbroadcast(be, be.matmul(gz, y.swapaxes(-1, -2)), x.shape)
        if self.needs[1]:
            gy = unbroadcast(be, be.matmul(x.swapaxes(-1, -2), gz), y.shape)
        return gx, gy


@method("matmul", "__matmul__")
def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Matrix product over the last two axes, leading axes broadcast.

    Shapes: x (..., n, k), y (..., k, m); the result (..., n, m). A 1-D operand counts as one row
    (x) or column (y), and its axis is dropped from the result.
    Dtypes: floating, both the same.
    """
    same_dtype("matmul", x=x, y=y)
    if not x.ndim or not y.ndim:
        shape_error("matmul", "operands must have at least one axis", x=x, y=y)
    rows = x.reshape(1, x.shape[0]) if x.ndim == 1 else x
    columns = y.reshape(y.shape[0], 1) if y.ndim == 1 else y
    if rows.shape[-1] != columns.shape[-2]:
        got = f"{rows.shape[-1]} and {columns.shape[-2]}"
        rule = f"x's last axis must equal y's last but one, got {got}"
        shape_error("matmul", rule, x=x, y=y)
    for n, m in zip(reversed(rows.shape[:-2]), reversed(columns.shape[:-2])):  # noqa: B905
        if n != m and 1 not in (n, m):
            shape_error("matmul", f"leading axes must broadcast, got {n} and {m}", x=x, y=y)
    z = apply(MatMul(), rows, columns)
    if x.ndim == 1:
        z = z.reshape((*z.shape[:-2], z.shape[-1]))
    return z.reshape(z.shape[:-1]) if y.ndim == 1 else z


class Linear(Op):
    """y = f(x·Wᵀ + b): one matrix product, then bias and activation in one sweep over its result.

    With z = x·Wᵀ + b: gz = f'(z) ⊙ gy, gx = gz·W, gW = gzᵀ·x, gb = Σ gz over the rows.
    """

    def __init__(self, activation: Activation | None):
        self.activation = activation

    def forward(self, be: Backend, x: Array, w: Array, b: Array | None) -> Array:
        rows = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        y = be.matmul(rows, w.T)
        b = None if b is None else be.contiguous(b)
        if self.activation is not None:
            y = self.activation.forward_in_place(be, y, b)
        elif b is not None:
            be.activation.identity_fwd(y, bias=b, out=y)
        # What the activation kept goes when this does.
        self.saved, self.activation = (rows, w, self.activation), None
        self.shape = x.shape
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], w.shape[0])

    def backward(self, be: Backend, gy: Array) -> Any:
        rows, w, activation = self.saved
        gz = gy.reshape(rows.shape[0], w.shape[0])
        if activation is not None:
            gz = activation.backward(be, gz)
        need_x, need_w, need_b = self.needs
        gx = be.matmul(gz, w).reshape(self.shape) if need_x else None
        gw = be.matmul(gz.T, rows) if need_w else None
        gb = be.reduction.column_sum(be.contiguous(gz)) if need_b else None
        return gx, gw, gb


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: Activation | None = None
) -> Tensor:
    """x·weightᵀ + bias, and an activation on top of it without another sweep over memory.

    Shapes: x (..., in), weight (out, in), bias (out,); the result (..., out).
    Dtypes: floating, all the same.
    Args:
        activation: an operation of `gpunet.functional.activation`, such as `ReLU()`; the result is
            the same as that of the function called afterwards. `nn.Sequential` fuses by itself.
    """
    if not _fits(x, weight, bias):
        _refuse(x, weight, bias)
    if activation is not None and not isinstance(activation, Activation):
        raise ArgumentError("linear", f"activation must be an Activation, got {activation!r}")
    return apply(Linear(activation), x, weight, bias)


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """All rules in one glance: small networks spend their time in checks."""
    try:
        x_array, w_array = x.array, weight.array
        dtype, (out, features) = w_array.dtype, w_array.shape
        return (
            x_array.dtype is dtype
            and dtype.char in "fd"
            and x_array.shape[-1] == features
            and (bias is None or (bias.array.dtype is dtype and bias.array.shape == (out,)))
        )
    except (AttributeError, ValueError, IndexError):
        return False


def _refuse(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """The same rules in words."""
    is_tensor("linear", "weight", weight)
    same_dtype("linear", x=x, weight=weight, bias=bias)
    if weight.ndim != 2:
        shape_error("linear", f"weight must have shape (out, in), got {weight.shape}", x=x)
    out, features = weight.shape
    if not x.ndim or x.shape[-1] != features:
        rule = f"x must have shape (..., in) = (..., {features}), got {x.shape}"
        shape_error("linear", rule, weight=weight)
    if bias is not None and bias.shape != (out,):
        rule = f"bias must have shape (out,) = ({out},), got {bias.shape}"
        shape_error("linear", rule, weight=weight)
