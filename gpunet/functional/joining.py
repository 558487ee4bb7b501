"""Several tensors made one, and one made several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.check import (
    axis,
    is_tensor,
    new_axis,
    one_device,
    one_of,
    shape_error,
    tensors_of,
    whole_number,
    whole_numbers,
)
from gpunet.functional.promotion import promoted
from gpunet.functional.shape import broadcast_to, ravel, reshape, transpose

Tensors = Sequence[Tensor]
ALL = slice(None)


class Cat(Op):
    takes_bfloat16 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, be: Backend, *xs: Array) -> Array:
        self.lengths = [x.shape[self.axis] for x in xs]
        return be.concatenate(xs, self.axis)

    def backward(self, be: Backend, g: Array) -> Any:
        keys = _cuts(self.axis, self.lengths)
        return tuple([g[key] if need else None for key, need in zip(keys, self.needs)])  # noqa: B905


class Stack(Op):
    takes_bfloat16 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, be: Backend, *xs: Array) -> Array:
        key = (*[ALL] * self.axis, None)
        return be.concatenate([x[key] for x in xs], self.axis)

    def backward(self, be: Backend, g: Array) -> Any:
        parts = be.xp.moveaxis(g, self.axis, 0)
        return tuple([parts[i, ...] if need else None for i, need in enumerate(self.needs)])


class Split(Op):
    """The parts at several keys, as views; together they are the whole.

    Parts may `overlap`: then their gradients add up.
    """

    takes_bfloat16 = True

    def __init__(self, keys: list[Any], overlap: bool = False):
        self.keys, self.overlap = keys, overlap

    def forward(self, be: Backend, x: Array) -> tuple[Array, ...]:
        self.shape = x.shape
        return tuple([x[key] for key in self.keys])

    def backward(self, be: Backend, *gs: Array) -> Array:
        gx = be.empty(self.shape, next(g.dtype for g in gs if g is not None))
        if self.overlap:
            gx.fill(0)
        for key, g in zip(self.keys, gs, strict=True):
            if self.overlap:
                gx[key] += 0 if g is None else g
            else:
                gx[key] = 0 if g is None else g
        return gx


class BlockDiag(Op):
    takes_bfloat16 = True

    def forward(self, be: Backend, *xs: Array) -> Array:
        rows, columns = (sum([x.shape[i] for x in xs]) for i in (0, 1))
        y = be.full((rows, columns), 0, xs[0].dtype)
        self.keys, i, j = [], 0, 0
        for x in xs:
            n, m = x.shape
            self.keys.append((slice(i, i + n), slice(j, j + m)))
            y[self.keys[-1]] = x
            i, j = i + n, j + m
        return y

    def backward(self, be: Backend, g: Array) -> Any:
        return tuple([g[key] if need else None for key, need in zip(self.keys, self.needs)])  # noqa: B905


def _cuts(at: int, lengths: Sequence[int]) -> list[Any]:
    """Keys of consecutive parts of these lengths along an axis."""
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    before = (ALL,) * at
    return [(*before, slice(end - n, end)) for end, n in zip(ends, lengths, strict=True)]


# --- several made one


def cat(tensors: Tensors, dim: int = 0) -> Tensor:
    """Tensors one behind the other along `dim`, in the dtype where all of them meet.

    Shapes: each (..., n_k, ...), alike but for `dim`; the result (..., Σ n_k, ...). Tensors of
    shape (0,) fit everywhere.

    >>> import gpunet
    >>> gpunet.cat([gpunet.zeros(1, 2), gpunet.ones(2, 2)])
    tensor([[0., 0.],
            [1., 1.],
            [1., 1.]], dtype=float32)
    """
    return _cat("cat", tensors_of("cat", tensors), dim)


concat = cat


def _cat(operation: str, tensors: Sequence[Tensor], dim: int) -> Tensor:
    shapes = [x.array.shape for x in tensors]
    if () in shapes:
        shape_error(operation, "tensors must have at least one axis, got shape ()")
    tensors = promoted(*tensors)
    first = next((shape for shape in shapes if shape != (0,)), (0,))
    at = axis(operation, tensors[shapes.index(first)], dim) if first != (0,) else 0
    before, behind = first[:at], first[at + 1 :]
    if (0,) in shapes:
        fitting = (*before, 0, *behind)
        tensors = [reshape(x, fitting) if x.shape == (0,) else x for x in tensors]
    for shape in shapes:
        if shape != (0,) and (shape[:at] != before or shape[at + 1 :] != behind):
            rule = f"tensors must have equal shapes but along axis {at}"
            shape_error(operation, f"{rule}, got {first} and {shape}")
    return apply(Cat(at), *tensors)


def stack(tensors: Tensors, dim: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis `dim`, in the dtype where they meet.

    Shapes: k tensors (n, m); with dim=1 the result is (n, k, m).
    """
    tensors = tensors_of("stack", tensors)
    at = new_axis("stack", tensors[0], dim)
    shape = tensors[0].shape
    for x in tensors:
        if x.array.shape != shape:
            got = f"{shape} and {x.shape}"
            shape_error("stack", f"tensors must have equal shapes, got {got}")
    return apply(Stack(at), *promoted(*tensors))


def hstack(tensors: Tensors) -> Tensor:
    """Tensors one behind the other along the second axis, or the first if there is but one.

    Shapes: each (n, m_k, ...), the result (n, Σ m_k, ...); or (m_k,) and (Σ m_k,).
    """
    wide = [reshape(x, 1) if not x.ndim else x for x in tensors_of("hstack", tensors)]
    _equal_ndim("hstack", wide)
    return _cat("hstack", wide, 0 if wide[0].ndim == 1 else 1)


def vstack(tensors: Tensors) -> Tensor:
    """Tensors one below the other along the first axis; a vector counts as one row.

    Shapes: each (n_k, m, ...) or (m,); the result (Σ n_k, m, ...).
    """
    high = [reshape(x, 1, x.numel()) if x.ndim < 2 else x for x in tensors_of("vstack", tensors)]
    _equal_ndim("vstack", high)
    return _cat("vstack", high, 0)


def _equal_ndim(operation: str, tensors: Sequence[Tensor]) -> None:
    for x in tensors:
        if x.ndim != tensors[0].ndim:
            got = f"{tensors[0].shape} and {x.shape}"
            shape_error(operation, f"tensors must have equally many axes, got {got}")


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix of zeros with the tensors as blocks along its diagonal.

    Shapes: each (n_k, m_k), (m_k,) for one row, or (); the result (Σ n_k, Σ m_k).
    Differs from PyTorch: beside a tensor of shape (0,) the gradients of the others are right, there
    shifted by a row.
    """
    given = promoted(*tensors_of("block_diag", tensors))
    for x in given:
        if x.ndim > 2:
            shape_error("block_diag", f"tensors must have at most two axes, got {x.ndim}", x=x)
    return apply(BlockDiag(), *[reshape(x, 1, x.numel()) if x.ndim < 2 else x for x in given])


# --- one made several


@method()
def split(
    x: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Parts of length `split_size_or_sections` along `dim` (the last may be shorter), as views.

    A list gives the length of each part.
    Shapes: x (..., n, ...); the results (..., n_k, ...) with Σ n_k = n.
    """
    is_tensor("split", "x", x)
    at = axis("split", x, dim)
    n = x.shape[at]
    if isinstance(split_size_or_sections, (tuple, list)):
        lengths = whole_numbers("split", "sections", (split_size_or_sections,))
        if sum(lengths) != n or min(lengths, default=0) < 0:
            shape_error("split", f"sections must add up to {n}, got {lengths}", x=x)
    else:
        size = whole_number("split", "split_size", split_size_or_sections)
        if size < 0 or (not size and n):
            shape_error("split", f"split_size must be at least 1, got {size}", x=x)
        parts = max(1, math.ceil(n / size)) if size else 1
        lengths = tuple([min(size, n - i * size) for i in range(parts)])
    return apply(Split(_cuts(at, lengths)), x)


@method()
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal length along `dim` (the last may be shorter), as views.

    Shapes: x (..., n, ...); the results (..., ⌈n / chunks⌉, ...).
    """
    is_tensor("chunk", "x", x)
    at, count = axis("chunk", x, dim), whole_number("chunk", "chunks", chunks)
    if count < 1:
        raise ArgumentError("chunk", f"chunks must be at least 1, got {chunks}")
    n = x.shape[at]
    if not n:
        return apply(Split(_cuts(at, [0] * count)), x)
    return split(x, math.ceil(n / count), at)


@method()
def tensor_split(
    x: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0
) -> tuple[Tensor, ...]:
    """As many parts along `dim` as said (lengths differ by at most one), as views.

    `indices_or_sections` is their number, or a list (or tensor) of the positions to cut at.
    Shapes: x (..., n, ...); the results (..., n_k, ...).
    """
    is_tensor("tensor_split", "x", x)
    one_device("tensor_split", x, indices_or_sections)
    at, where = axis("tensor_split", x, dim), indices_or_sections
    n = x.shape[at]
    if isinstance(where, Tensor) and where.ndim == 1:
        where = where.tolist()
    if isinstance(where, (tuple, list)):
        wanted = whole_numbers("tensor_split", "indices", (where,))
        edges = [0, *[slice(i).indices(n)[1] for i in wanted], n]
        keys = [(ALL,) * at + (slice(i, max(i, j)),) for i, j in pairwise(edges)]
        return apply(Split(keys, overlap=True), x)
    count = whole_number("tensor_split", "sections", where)
    if count < 1:
        raise ArgumentError("tensor_split", f"sections must be at least 1, got {count}")
    return apply(Split(_cuts(at, [n // count + (i < n % count) for i in range(count)])), x)


@method()
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The parts at each position along `dim`, as views without that axis.

    Shapes: x (..., n, ...); n results that lack the axis.
    """
    is_tensor("unbind", "x", x)
    at = axis("unbind", x, dim)
    return apply(Split([(ALL,) * at + (i, ...) for i in range(x.shape[at])]), x)


# --- each against each


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors in the shape that they broadcast to, as views. Shapes: any that broadcast."""
    if not tensors:
        return ()
    given = tensors_of("broadcast_tensors", tensors)
    one_device("broadcast_tensors", *given)
    reach = max([x.ndim for x in given])
    shape = [1] * reach
    for x in given:
        for i, n in enumerate(x.shape, reach - x.ndim):
            if n != 1 and shape[i] not in (1, n):
                got = f"{[x.shape for x in given]}"
                shape_error("broadcast_tensors", f"shapes must broadcast, got {got}")
            shape[i] = n if n != 1 else shape[i]
    return tuple([broadcast_to(x, tuple(shape)) for x in given])


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: result k has the values of tensor k along axis k, as a view.

    Args:
        tensors: vectors, separate or in one list. indexing: "ij", or "xy" to exchange the first
            two axes of the results.

    Shapes: k tensors (n_k,) or (); each result (n_0, n_1, ...).

    >>> import gpunet
    >>> gpunet.meshgrid(gpunet.arange(2), gpunet.arange(3))[1]
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    inside = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    given = tensors_of("meshgrid", inside)
    one_device("meshgrid", *given)
    one_of("meshgrid", "indexing", indexing, ("ij", "xy"))
    _vectors("meshgrid", given)
    lengths = [x.numel() for x in given]
    grids = []
    for k, x in enumerate(given):
        along = reshape(x, [n if i == k else 1 for i, n in enumerate(lengths)])
        grid = broadcast_to(along, tuple(lengths))
        grids.append(transpose(grid, 0, 1) if indexing == "xy" and len(given) > 1 else grid)
    return tuple(grids)


def _vectors(operation: str, tensors: Sequence[Tensor]) -> None:
    for x in tensors:
        if x.ndim > 1:
            shape_error(operation, f"tensors must have at most one axis, got {x.shape}")
        if x.dtype != tensors[0].dtype:
            got = f"{tensors[0].dtype} and {x.dtype}"
            raise ArgumentError(operation, f"tensors must have one dtype, got {got}")


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, a row each; a single vector stays one.

    Shapes: k tensors (n_k,); the result (Π n_k, k).

    >>> import gpunet
    >>> gpunet.cartesian_prod(gpunet.arange(2), gpunet.tensor([5, 7]))
    tensor([[0, 5],
            [0, 7],
            [1, 5],
            [1, 7]])
    """
    given = tensors_of("cartesian_prod", tensors)
    for x in given:
        if x.ndim != 1:
            shape_error("cartesian_prod", f"tensors must have one axis, got {x.shape}")
    _vectors("cartesian_prod", given)
    if len(given) == 1:
        return given[0]
    return stack([ravel(grid) for grid in meshgrid(*given)], 1)
