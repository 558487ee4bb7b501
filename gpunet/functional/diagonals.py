"""Triangles and diagonals of matrices. (`diagonal`, a view, is in shape.py.)"""

from __future__ import annotations

from gpunet import backend
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, DType
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import is_tensor, shape_error, whole_number
from gpunet.functional.conversion import clone
from gpunet.functional.shape import Diagonal, diagonal


class Triangle(Op):
    """Zero outside one triangle; `part` is the array module's name of it."""

    def __init__(self, part: str, diagonal: int):
        self.part, self.diagonal = part, diagonal

    def forward(self, be: Backend, x: Array) -> Array:
        return getattr(be.xp, self.part)(x, self.diagonal)

    def backward(self, be: Backend, g: Array) -> Array:
        return getattr(be.xp, self.part)(g, self.diagonal)


class DiagEmbed(Op):
    """Zeros but for a diagonal, which is x."""

    takes_bfloat16 = True

    def __init__(self, offset: int, axis1: int, axis2: int):
        self.of = Diagonal(offset, axis1, axis2)

    def forward(self, be: Backend, x: Array) -> Array:
        n = x.shape[-1] + abs(self.of.offset)
        shape = list(x.shape[:-1])
        for at in sorted((self.of.axis1, self.of.axis2)):
            shape.insert(at, n)
        y = be.full(tuple(shape), 0, x.dtype)
        self.of.line(be, y)[...] = x
        return y

    def backward(self, be: Backend, g: Array) -> Array:
        return be.copy(self.of.line(be, g))


def _triangle(part: str, x: Tensor, diagonal: int) -> Tensor:
    is_tensor(part, "x", x)
    if x.ndim < 2:
        shape_error(part, f"x must have at least two axes, got {x.ndim}", x=x)
    return apply(Triangle(part, whole_number(part, "diagonal", diagonal)), x)


@method("tril", "tril_")
def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of matrices, 0 above.

    `diagonal` says up to which diagonal: 0 is the main one, positive ones are above it.
    Shapes: x (..., n, m); the result like x.

    >>> import gpunet
    >>> gpunet.ones(2, 3).tril()
    tensor([[1., 0., 0.],
            [1., 1., 0.]], dtype=float32)
    """
    return _triangle("tril", x, diagonal)


@method("triu", "triu_")
def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of matrices, 0 below `diagonal` (see `tril`). Shapes: x (..., n, m)."""
    return _triangle("triu", x, diagonal)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = "int64", device: str = "cpu"
) -> Tensor:
    """The positions of the lower triangle of a matrix, row after row.

    Args:
        row, col: the shape of the matrix. offset: up to which diagonal, as `tril`'s `diagonal`.
        dtype: int64 or int32. device: of the result.

    Shapes: the result (2, n), rows first.
    """
    return _triangle_indices("tril", row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = "int64", device: str = "cpu"
) -> Tensor:
    """The positions of the upper triangle of a matrix, row after row.

    Args:
        row, col: the shape of the matrix. offset: from which diagonal on, as `triu`'s `diagonal`.
        dtype: int64 or int32. device: of the result.

    Shapes: the result (2, n), rows first.
    """
    return _triangle_indices("triu", row, col, offset, dtype, device)


def _triangle_indices(
    part: str, row: int, col: int, offset: int, dtype: DType, device: str
) -> Tensor:
    name = f"{part}_indices"
    rows, columns = whole_number(name, "row", row), whole_number(name, "col", col)
    if rows < 0 or columns < 0:
        raise ArgumentError(name, f"row and col must not be negative, got {row} and {col}")
    kind = backend.dtype(dtype)
    if kind not in ("int64", "int32"):
        raise DTypeError(name, f"dtype must be int64 or int32, got {kind}")
    be = backend.resolve(device)[0]
    k = whole_number(name, "offset", offset)
    ones = getattr(be.xp, part)(be.full((rows, columns), 1, "bool"), k)
    return Tensor(be.asarray(be.xp.stack(be.xp.nonzero(ones)), kind), be)


@method()
def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a square matrix of zeros; of a matrix a copy of its diagonal.

    `diagonal` is 0 for the main one, positive above it, negative below.
    Shapes: x (n,), the result (n + |diagonal|, n + |diagonal|); or x (n, m), the result (k,).
    """
    is_tensor("diag", "x", x)
    k = whole_number("diag", "diagonal", diagonal)
    if x.ndim == 1:
        return apply(DiagEmbed(k, 0, 1), x)
    if x.ndim != 2:
        shape_error("diag", f"x must have one or two axes, got {x.ndim}", x=x)
    return clone(apply(Diagonal(k, 0, 1), x))


@method()
def diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis as the diagonal number `offset` of square matrices along `dim1` and `dim2`.

    Shapes: x (..., n); the result (..., n + |offset|, n + |offset|) with the default axes.
    """
    is_tensor("diag_embed", "x", x)
    n = x.ndim + 1
    dims = whole_number("diag_embed", "dim1", dim1), whole_number("diag_embed", "dim2", dim2)
    for d in dims:
        if not x.ndim or not -n <= d < n:
            shape_error("diag_embed", f"dim1 and dim2 must be in [{-n}, {n}), got {d}", x=x)
    if dims[0] % n == dims[1] % n:
        shape_error("diag_embed", f"dim1 and dim2 must differ, got {dim1} and {dim2}", x=x)
    k = whole_number("diag_embed", "offset", offset)
    return apply(DiagEmbed(k, dims[0] % n, dims[1] % n), x)


@method()
def trace(x: Tensor) -> Tensor:
    """The sum of a matrix's diagonal, of integers in int64. Shapes: x (n, m); the result ()."""
    is_tensor("trace", "x", x)
    if x.ndim != 2:
        shape_error("trace", f"x must have two axes, got {x.ndim}", x=x)
    if x.array.dtype == bool:
        raise DTypeError("trace", "x must hold numbers, got bool")
    return diagonal(x).sum()
