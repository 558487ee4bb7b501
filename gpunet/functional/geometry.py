"""How filters move: strides, paddings and dilations, read and checked, always for three axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, Shape
from gpunet.errors import ArgumentError
from gpunet.functional.check import is_tensor, same_dtype, shape_error

Numbers = int | Sequence[int]  # one for each axis, or one for all
Three = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class Geometry(NamedTuple):
    """How a filter moves over three axes; `padding` is what is added before and behind each."""

    stride: Three
    padding: Padding
    dilation: Three


@lru_cache(1024)  # a model asks for the same few again and again
def moves(strides: Sequence[int], pairs: Sequence[Any], dilations: Sequence[int]) -> Geometry:
    """The geometry of three axes from that of the last ones."""
    return Geometry(in_front(strides, 1), in_front(pairs, (0, 0)), in_front(dilations, 1))


def in_front(values: Sequence[Any], filling: Any) -> Any:
    """Values for three axes, `filling` for those that are not there, which come first."""
    return (filling,) * (3 - len(values)) + tuple(values)


def three_axes(be: Backend, x: Array) -> Array:
    """x (N, C, ...) as a contiguous (N, C, D, H, W)."""
    x = be.contiguous(x)
    return x.reshape(*x.shape[:2], *in_front(x.shape[2:], 1))


def last_axes(x: Array, axes: int) -> Array:
    """x (N, C, D, H, W) without those in front of the last `axes`."""
    return x.reshape(*x.shape[:2], *x.shape[5 - axes :])


def transposed_shape(shape: Shape, *moves: tuple[int, ...]) -> tuple[int, ...]:
    """Of the result of a transposed convolution: kernel, stride, padding, output_padding, dilation.

    It is the smallest shape, and output_padding more, that a convolution makes `shape` of.
    """
    return tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + o + 1
        for n, k, s, p, o, d in zip(shape, *moves, strict=True)
    )


# --- checks


def operands(
    operation: str, axes: int, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int
) -> None:
    """Tensors of one dtype with the right number of axes; `groups` a number from 1."""
    is_tensor(operation, "weight", weight)
    same_dtype(operation, x=x, weight=weight, bias=bias)
    if x.ndim not in (axes + 1, axes + 2):
        letters = ", ".join("DHW"[-axes:]) if axes > 1 else "L"
        rule = f"x must have shape (N, in, {letters}) or (in, {letters}), got {x.shape}"
        shape_error(operation, rule, weight=weight)
    if 0 in x.shape[-axes:]:
        shape_error(operation, f"x must not be empty but for N, got {x.shape}", weight=weight)
    if weight.ndim != axes + 2:
        rule = f"weight must have {axes + 2} axes, got {weight.shape}"
        shape_error(operation, rule, x=x)
    if 0 in weight.shape:
        shape_error(operation, f"weight must not be empty, got {weight.shape}", x=x)
    if type(groups) is not int or groups < 1:
        raise ArgumentError(operation, f"groups must be a whole number from 1, got {groups!r}")


def one_bias_each(operation: str, bias: Tensor | None, filters: int, weight: Tensor) -> None:
    if bias is not None and bias.shape != (filters,):
        rule = f"bias must have shape (out,) = ({filters},), got {bias.shape}"
        shape_error(operation, rule, weight=weight)


def numbers(operation: str, name: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
    """A number for each axis."""
    try:
        given = tuple([n.__index__() for n in (value if isinstance(value, Sequence) else (value,))])
    except (AttributeError, TypeError):
        given = ()
    if len(given) == 1:
        given *= axes
    if len(given) != axes or min(given) < least:
        many = f" or {axes} of them" if axes > 1 else ""
        rule = f"{name} must be a whole number from {least}{many}, got {value!r}"
        raise ArgumentError(operation, rule)
    return given


def pads(
    operation: str,
    padding: Any,
    axes: int,
    kernel: Shape,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Zeros before and behind each axis."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in numbers(operation, "padding", padding, axes, 0))
    if padding == "valid":
        return ((0, 0),) * axes
    if padding != "same":
        rule = f'padding must be a number, {axes} numbers, "same" or "valid", got {padding!r}'
        raise ArgumentError(operation, rule)
    if max(stride) > 1:
        raise ArgumentError(operation, f'stride must be 1 with padding "same", got {stride}')
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def patches(
    operation: str, kernel_size: Numbers, dilation: Numbers, padding: Numbers, stride: Numbers
) -> tuple[Three, Geometry]:
    kernel = numbers(operation, "kernel_size", kernel_size, 2, 1)
    pairs = tuple((p, p) for p in numbers(operation, "padding", padding, 2, 0))
    strides = numbers(operation, "stride", stride, 2, 1)
    dilations = numbers(operation, "dilation", dilation, 2, 1)
    return in_front(kernel, 1), moves(strides, pairs, dilations)


def positions(
    operation: str, shape: Shape, kernel: Shape, geometry: Geometry, **tensors: Tensor
) -> tuple[int, ...]:
    """How many positions a filter has along each of the last axes; it must have one.

    `tensors` are for the message.
    """
    padded, reach, found = _positions(shape, kernel, geometry)
    if min(found) < 1:
        rule = f"the filter must fit into the padded x, {padded}, got {reach}"
        shape_error(operation, rule, **tensors)
    return found


@lru_cache(1024)
def _positions(shape: Shape, kernel: Shape, geometry: Geometry) -> tuple[tuple[int, ...], ...]:
    """The lengths of the padded axes and of the filter along each, and how often this fits."""
    axes = len(shape)
    around = zip(shape, geometry.padding[-axes:], strict=True)
    padded = tuple(n + before + behind for n, (before, behind) in around)
    spread = zip(kernel[-axes:], geometry.dilation[-axes:], strict=True)
    reach = tuple(d * (k - 1) + 1 for k, d in spread)
    fits = zip(padded, reach, geometry.stride[-axes:], strict=True)
    found = tuple((n - r) // s + 1 for n, r, s in fits)
    return padded, reach, found
