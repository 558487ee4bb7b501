"""Products of matrices and vectors, and the dense layer with its bias and activation fused."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError
from gpunet.functional.activation import Activation
from gpunet.functional.check import axis, is_tensor, one_device, one_dtype, same_dtype, shape_error
from gpunet.functional.precision import in_half
from gpunet.functional.rearranging import roll


class MatMul(Op):
    """z = x·y over the last two axes; gx = gz·yᵀ, gy = xᵀ·gz."""

    takes_bfloat16 = True

    def forward(self, be: Backend, x: Array, y: Array) -> Array:
        self.saved = x, y
        return be.matmul(x, y) if dtypes.floating(x.dtype) else be.xp.matmul(x, y)

    def backward(self, be: Backend, gz: Array) -> Any:
        x, y = self.saved
        gx = gy = None
        if self.needs[0]:
            gx = unbroadcast(be, be.matmul(gz, y.swapaxes(-1, -2)), x.shape)
        if self.needs[1]:
            gy = unbroadcast(be, be.matmul(x.swapaxes(-1, -2), gz), y.shape)
        return gx, gy


class Dot(Op):
    """z = Σ x·y of two vectors; gx = gz·y, gy = gz·x."""

    takes_bfloat16 = True

    def forward(self, be: Backend, x: Array, y: Array) -> Array:
        self.saved = x, y
        rows, columns = x.reshape(1, x.size), y.reshape(y.size, 1)
        z = be.matmul(rows, columns) if dtypes.floating(x.dtype) else be.xp.matmul(rows, columns)
        return be.copy(z.reshape(()))  # with memory of its own

    def backward(self, be: Backend, gz: Array) -> Any:
        x, y = self.saved
        gx = be.xp.multiply(gz, y) if self.needs[0] else None
        return gx, be.xp.multiply(gz, x) if self.needs[1] else None


@method("matmul", "__matmul__")
@in_half
def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Matrix product over the last two axes, leading axes broadcast.

    Shapes: x (..., n, k), y (..., k, m); the result (..., n, m). A 1-D operand counts as one row
    (x) or column (y), and its axis is dropped from the result. Both have one dtype, of numbers.
    """
    one_dtype("matmul", x=x, y=y)
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
    if x.ndim == y.ndim == 1:
        return apply(Dot(), x, y)
    z = apply(MatMul(), rows, columns)
    if x.ndim == 1:
        z = z.reshape((*z.shape[:-2], z.shape[-1]))
    return z.reshape(z.shape[:-1]) if y.ndim == 1 else z


def _product(operation: str, axes: tuple[int, int], **operands: Tensor) -> Tensor:
    """The matrix product of two operands that must have so many axes each."""
    one_dtype(operation, **operands)
    for (name, x), n in zip(operands.items(), axes, strict=True):
        if x.ndim != n:
            shape_error(operation, f"{name} must have {n} axes, got shape {x.shape}", **operands)
    (first, x), (second, y) = operands.items()
    inner = y.shape[-2] if y.ndim > 1 else y.shape[0]
    if x.shape[-1] != inner or (axes == (3, 3) and x.shape[0] != y.shape[0]):
        got = f"{x.shape} and {y.shape}"
        shape_error(operation, f"{first} and {second} must fit together, got {got}", **operands)
    return matmul(x, y)


@method()
@in_half
def mm(x: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices. Shapes: x (n, k), mat2 (k, m); the result (n, m)."""
    return _product("mm", (2, 2), x=x, mat2=mat2)


@method()
@in_half
def bmm(x: Tensor, mat2: Tensor) -> Tensor:
    """The products of matrices, one for each b. Shapes: x (b, n, k), mat2 (b, k, m)."""
    return _product("bmm", (3, 3), x=x, mat2=mat2)


@method()
@in_half
def mv(x: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector. Shapes: x (n, k), vec (k,); the result (n,)."""
    return _product("mv", (2, 1), x=x, vec=vec)


@method()
@in_half
def dot(x: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements. Shapes: x, tensor (n,); the result ()."""
    return _product("dot", (1, 1), x=x, tensor=tensor)


@method()
def vdot(x: Tensor, other: Tensor) -> Tensor:
    """As `dot`: of real numbers, the conjugate is the number. Shapes: x and other (n,)."""
    return _product("vdot", (1, 1), x=x, other=other)


@method()
def outer(x: Tensor, vec2: Tensor) -> Tensor:
    """z[i, j] = x[i]·vec2[j], in the dtype where both meet. Shapes: x (n,), vec2 (m,)."""
    is_tensor("outer", "x", x)
    is_tensor("outer", "vec2", vec2)
    if x.ndim != 1 or vec2.ndim != 1:
        got = f"{x.shape} and {vec2.shape}"
        shape_error("outer", f"x and vec2 must have one axis, got {got}", x=x, vec2=vec2)
    return x.reshape(x.shape[0], 1) * vec2


@method("addmm", "addmm_")
@in_half
def addmm(x: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta·x + alpha·(mat1 @ mat2); with beta 0, x is not even looked at (NaN does not show).

    Shapes: x broadcasts to (n, m), mat1 (n, k), mat2 (k, m).
    """
    one_dtype("addmm", x=x, mat1=mat1, mat2=mat2)
    product = _product("addmm", (2, 2), mat1=mat1, mat2=mat2)
    return _added("addmm", x, product, beta, alpha)


@method("addmv", "addmv_")
@in_half
def addmv(x: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta·x + alpha·(mat @ vec), as `addmm`.

    Shapes: x broadcasts to (n,), mat (n, k), vec (k,).
    """
    one_dtype("addmv", x=x, mat=mat, vec=vec)
    return _added("addmv", x, _product("addmv", (2, 1), mat=mat, vec=vec), beta, alpha)


@method("baddbmm", "baddbmm_")
@in_half
def baddbmm(
    x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta·x + alpha·(batch1 @ batch2), as `addmm`, for each b.

    Shapes: x broadcasts to (b, n, m), batch1 (b, n, k), batch2 (b, k, m).
    """
    one_dtype("baddbmm", x=x, batch1=batch1, batch2=batch2)
    product = _product("baddbmm", (3, 3), batch1=batch1, batch2=batch2)
    return _added("baddbmm", x, product, beta, alpha)


def _added(operation: str, x: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    one_device(operation, product, x)
    if not dtypes.floating(product.array.dtype):  # as PyTorch does, silently
        beta, alpha = int(beta), int(alpha)
    reach = product.ndim - x.ndim
    fits = [n in (1, m) for n, m in zip(x.shape, product.shape[max(0, reach) :], strict=False)]
    if reach < 0 or not all(fits):
        rule = f"x must broadcast to {product.shape}, got {x.shape}"
        shape_error(operation, rule, x=x)
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        return scaled
    return (x if beta == 1 else x * beta) + scaled


@method()
def kron(x: Tensor, other: Tensor) -> Tensor:
    """Every element of x times the whole of `other`, as blocks; in the dtype where both meet.

    Shapes: x (n, m), other (k, l); the result (n·k, m·l). Missing axes in front count as length 1.

    >>> import gpunet
    >>> gpunet.kron(gpunet.tensor([1, 2]), gpunet.tensor([1, 10]))
    tensor([ 1, 10,  2, 20])
    """
    is_tensor("kron", "x", x)
    is_tensor("kron", "other", other)
    reach = max(x.ndim, other.ndim)
    outer, inner = ((1,) * (reach - y.ndim) + y.shape for y in (x, other))
    blocks = x.reshape([k for n in outer for k in (n, 1)])
    inside = other.reshape([k for n in inner for k in (1, n)])
    return (blocks * inside).reshape([n * m for n, m in zip(outer, inner, strict=True)])


@method()
def cross(x: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product of vectors of length 3 along `dim`, or the first axis of that length.

    Shapes: x and other (..., 3, ...) with equally many axes, which broadcast but for `dim`.
    """
    one_dtype("cross", x=x, other=other)
    if dim is None:
        if 3 not in x.shape:
            shape_error("cross", "x must have an axis of length 3", x=x, other=other)
        dim = x.shape.index(3)
    at = axis("cross", x, dim)
    if x.ndim != other.ndim or x.shape[at] != 3 or other.shape[at] != 3:
        rule = f"x and other must have length 3 along axis {at}"
        shape_error("cross", f"{rule}, got {x.shape} and {other.shape}", x=x, other=other)
    for n, m in zip(x.shape, other.shape, strict=True):
        if n != m and 1 not in (n, m):
            shape_error("cross", f"shapes must broadcast, got {x.shape} and {other.shape}", x=x)
    plus = roll(x, -1, at) * roll(other, -2, at)
    return plus - roll(x, -2, at) * roll(other, -1, at)


class Linear(Op):
    """y = f(x·Wᵀ + b): one matrix product, then bias and activation in one sweep over its result.

    With z = x·Wᵀ + b: gz = f'(z) ⊙ gy, gx = gz·W, gW = gzᵀ·x, gb = Σ gz over the rows.
    """

    fresh = True
    takes_bfloat16 = True

    def __init__(self, activation: Activation | None):
        self.activation = activation

    def forward(self, be: Backend, x: Array, w: Array, b: Array | None) -> Array:
        rows = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        b = None if b is None else be.contiguous(b)
        if self.activation is not None:
            y = self.activation.forward_of_product(be, rows, w, b)
        elif b is not None:
            y = be.linear(rows, w, b)
        else:
            y = be.matmul(rows, w.T)
        # What the activation kept goes when this does.
        self.saved, self.activation = (rows, w, self.activation), None
        self.shape = x.shape
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], w.shape[0])

    def backward(self, be: Backend, gy: Array) -> Any:
        rows, w, activation = self.saved
        gz = gy.reshape(rows.shape[0], w.shape[0])
        if activation is not None:
            gz = activation.backward(be, gz)
        gx, gw, gb = be.linear_bwd(gz, rows, w, self.needs)
        return gx if gx is None else gx.reshape(self.shape), gw, gb


@in_half
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
