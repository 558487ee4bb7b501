"""Elements picked by position, `x[key]` and `x[key] = value`, and whole tensors overwritten.

A key is taken apart in two: what makes a view (integers, slices, None) and, on top of the view,
arrays and masks. So an integer beside an array drops its axis first, as in PyTorch: `x[0, :, [1]]`
has shape (n, 1), where NumPy says (1, n).
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.memory import check_writable, written
from gpunet.autograd.mode import mode
from gpunet.autograd.op import Op, apply, different_devices
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import GpunetError, ShapeError
from gpunet.functional.check import (
    axis,
    describe,
    is_tensor,
    one_device,
    shape_error,
    whole_number,
)
from gpunet.functional.conversion import Move
from gpunet.functional.positions import check_indices, check_range, sum_at, sum_rows
from gpunet.functional.promotion import cast

ALL = slice(None)


class Index(Op):
    """y = x[basic][arrays]; a position picked twice gets both gradients."""

    takes_bfloat16 = True

    def __init__(self, basic: tuple[Any, ...], arrays: tuple[Any, ...] | None):
        self.basic, self.saved = basic, arrays

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        part = x[self.basic]
        if self.saved is None:
            return part
        be.check_positions(part, self.saved)
        return part[self.saved]

    def backward(self, be: Backend, g: Array) -> Array:
        arrays = self.saved
        gx = be.full(self.shape, 0, g.dtype)
        part = gx[self.basic]
        if arrays is None:
            part[...] = g
        elif len(arrays) == 1 and arrays[0].dtype.kind == "b":
            part[arrays] = g
        else:
            part[...] = _sum_at_arrays(be, g, arrays, part.shape)
        return gx


def _sum_at_arrays(be: Backend, g: Array, arrays: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """The gradient of an array of `shape` from which `arrays` picked: sums over whole rows."""
    reach = sum([_axes_of(k) for k in arrays])
    lead, row = shape[:reach], math.prod(shape[reach:])
    if all([hasattr(k, "dtype") and k.dtype.kind == "i" for k in arrays]):
        picked = arrays[0] % lead[0]
        for k, n in zip(arrays[1:], lead[1:], strict=True):
            picked = picked * n + k % n
    else:
        picked = be.xp.arange(math.prod(lead)).reshape(lead)[arrays]
    rows = g.reshape(picked.size, row)
    return sum_rows(be, rows, picked.reshape(-1), math.prod(lead)).reshape(shape)


def _or_all(arrays: tuple[Any, ...] | None) -> Any:
    return (...,) if arrays is None else arrays


def _put(be: Backend, x: Array, basic: Any, arrays: tuple[Any, ...] | None, value: Any) -> None:
    """x[basic][arrays] = value."""
    part = x[basic]
    if arrays is not None:
        be.check_positions(part, arrays)
    part[_or_all(arrays)] = value


class SetIndex(Op):
    """A copy of x with `value` at the key; each gets the gradient of its own elements."""

    takes_bfloat16 = True

    def __init__(self, basic: tuple[Any, ...], arrays: tuple[Any, ...] | None):
        self.basic, self.saved = basic, arrays

    def forward(self, be: Backend, x: Array, value: Any) -> Array:
        self.shape = getattr(value, "shape", ())
        y = be.copy(x)
        _put(be, y, self.basic, self.saved, value)
        return y

    def backward(self, be: Backend, gy: Array) -> Any:
        gx = gvalue = None
        if self.needs[1]:
            picked = gy[self.basic][_or_all(self.saved)]
            added = max(0, len(self.shape) - picked.ndim)  # axes of length 1 in front of the value
            gvalue = unbroadcast(be, picked, self.shape[added:]).reshape(self.shape)
        if self.needs[0]:
            gx = be.copy(gy)
            gx[self.basic][_or_all(self.saved)] = 0
        return gx, gvalue


@method("__getitem__")
def getitem(x: Tensor, key: Any) -> Tensor:
    """The elements of x at a key, as in PyTorch.

    A key holds integers, slices, None, `...`, and integer and boolean arrays, lists or tensors.
    Integers, slices and None make a view.
    Shapes: x any; the result as PyTorch's.
    Differs from PyTorch: slices may have negative steps, a list is always one array, and uint8 is a
    type of positions, there of masks.

    >>> import gpunet
    >>> x = gpunet.arange(6).reshape(2, 3)
    >>> x[:, [0, 2]]
    tensor([[0, 2],
            [3, 5]])
    >>> x[gpunet.tensor([False, True])]
    tensor([[3, 4, 5]])
    """
    is_tensor("getitem", "x", x)
    if type(key) is int or (type(key) is slice and key.step != 0):
        op = Index((key, ...), None)
    else:
        op = Index(*_in_two("getitem", x, key))
    try:
        return apply(op, x)
    except (IndexError, ValueError) as error:  # a ValueError is a step of 0
        raise _misfit("getitem", error, x) from None


@method("__setitem__")
def _setitem(x: Tensor, key: Any, value: Tensor | float) -> None:
    """x[key] = value, in place, with `getitem`'s keys; see `Tensor.assign` for what is refused."""
    basic, arrays = _in_two("setitem", x, key)
    _write("setitem", x, basic, arrays, value)


def _write(
    operation: str, x: Tensor, basic: tuple[Any, ...], arrays: tuple[Any, ...] | None, value: Any
) -> None:
    one_device(operation, x, value)
    if isinstance(value, Tensor):
        value = cast(value, x.dtype)
    try:
        if mode.recording and (x.requires_grad or getattr(value, "requires_grad", False)):
            x.assign(operation, apply(SetIndex(basic, arrays), x, value))
        else:
            check_writable(operation, x.array)
            raw = value.array if isinstance(value, Tensor) else value
            _put(x.backend, x.array, basic, arrays, raw)
            written((x.array,))
    except (IndexError, ValueError, OverflowError) as error:
        if isinstance(error, GpunetError):
            raise
        problem = f"key and value must fit: {error}"
        raise ShapeError(operation, problem, describe(x=x, value=value)) from None


# --- keys


def _misfit(operation: str, problem: object, x: Tensor) -> ShapeError:
    text = str(problem)  # CuPy's begin with a capital, NumPy's do not
    text = text[:1].lower() + text[1:]
    return ShapeError(operation, f"key must fit the shape: {text}", describe(x=x))


def _in_two(operation: str, x: Tensor, key: Any) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """A key as the part that makes a view of x, and the arrays that pick from that view."""
    try:
        items = [_item(operation, x.backend, k) for k in (key if type(key) is tuple else (key,))]
    except (IndexError, ValueError) as error:
        raise _misfit(operation, error, x) from None
    used = sum([_axes_of(k) for k in items])
    if used > x.ndim:
        raise _misfit(operation, f"too many indices for array: {used} for {x.ndim} axes", x)
    basic: list[Any] = []
    arrays: list[Any] = []
    left = x.ndim - used
    for k in items:
        if k is Ellipsis:
            basic, arrays, left = basic + [ALL] * left, arrays + [ALL] * left, 0
        elif k is None or type(k) is slice:
            basic.append(k)
            arrays.append(ALL)
        elif type(k) is int:
            basic.append(k)
        elif k.ndim:
            basic += [ALL] * _axes_of(k)
            arrays.append(k)
        else:  # True or False: a new axis of length 1, and a mask for it
            basic.append(None)
            arrays.append(k.reshape(1))
    while arrays and type(arrays[-1]) is slice:
        arrays.pop()
    return (*basic, ...), tuple(arrays) or None


def _axes_of(k: Any) -> int:
    """How many axes a part of a key is for."""
    if k is None or k is Ellipsis:
        return 0
    return k.ndim if hasattr(k, "dtype") and k.dtype.kind == "b" else 1


def _item(operation: str, be: Backend, k: Any) -> Any:
    """A part of a key: None, `...`, a slice, an int, or an array of integers or booleans."""
    if type(k) is slice and k.step == 0:
        raise ValueError("slice step cannot be zero")
    if k is None or k is Ellipsis or type(k) is slice or type(k) is int:
        return k
    if isinstance(k, Tensor):
        if k.backend is not be:
            raise different_devices(operation, be, k.backend)
        k = k.array
    elif isinstance(k, (list, tuple, range)):
        k = be.asarray([_number(n) for n in k] or be.full((0,), 0, "int64"))
    elif isinstance(k, bool):
        k = be.asarray(k)
    if hasattr(k, "dtype") and k.dtype.kind in "biu":
        return k.item() if k.ndim == 0 and k.dtype.kind != "b" else be.asarray(k)
    if not hasattr(k, "dtype") and hasattr(k, "__index__"):
        return k.__index__()
    got = f"an array of {k.dtype}" if hasattr(k, "dtype") else type(k).__name__
    kinds = "only integers, slices (`:`), `...`, None, and integer or boolean arrays are valid keys"
    raise IndexError(f"{kinds}, got {got}")


def _number(n: Any) -> Any:
    return (
        [_number(part) for part in n] if isinstance(n, list) else getattr(n, "tolist", lambda: n)()
    )


# --- the whole tensor


@method("fill_")
def _fill_(x: Tensor, value: Tensor | float) -> Tensor:
    """Writes a number (or tensor without axes) into every element, and returns x."""
    if getattr(value, "shape", ()) != ():
        got = tuple(value.shape)  # type: ignore[union-attr]
        raise ShapeError("fill_", f"value must be one number, got shape {got}", describe(x=x))
    _write("fill_", x, (...,), None, value)
    return x


@method("zero_")
def _zero_(x: Tensor) -> Tensor:
    """Writes 0 into every element, and returns x."""
    _write("zero_", x, (...,), None, 0)
    return x


@method("copy_")
def _copy_(x: Tensor, src: Tensor) -> Tensor:
    """Writes the elements of `src`, broadcast and cast to x's dtype, into x, and returns it.

    `src` may be on another device.
    """
    is_tensor("copy_", "src", src)
    if src.backend is not x.backend:
        src = apply(Move(x.backend), src)
    _write("copy_", x, (...,), None, src)
    return x


# --- by name


@method()
def select(x: Tensor, dim: int, index: int) -> Tensor:
    """The part at position `index` along `dim`, a view without that axis.

    Shapes: x (..., n, ...); the result lacks the axis. `index` is in [−n, n).
    """
    is_tensor("select", "x", x)
    at, n = axis("select", x, dim), whole_number("select", "index", index)
    length = x.shape[at]
    if not -length <= n < length:
        shape_error("select", f"index must be in [{-length}, {length}), got {n}", x=x)
    return apply(Index((ALL,) * at + (n, ...), None), x)


class Take(Op):
    takes_bfloat16 = True

    def forward(self, be: Backend, x: Array, index: Array) -> Array:
        self.shape, self.saved = x.shape, index
        return be.xp.asarray(x.reshape(-1)[index])

    def backward(self, be: Backend, g: Array) -> Any:
        positions = be.xp.where(self.saved < 0, self.saved + math.prod(self.shape), self.saved)
        return sum_at(be, g, positions, self.shape), None


@method()
def take(x: Tensor, index: Tensor) -> Tensor:
    """The elements at positions `index` of x read in C order; negative ones count from the end.

    Shapes: x any, index any; the result has the shape of index.
    """
    is_tensor("take", "x", x)
    check_indices("take", "index", index)
    check_range("take", "index", index, x.numel(), -x.numel())
    return apply(Take(), x, index)
