"""Sums of products over named axes.

Everything here ends in one function: two operands at a time, their axes are sorted into those that
both keep, those that are summed over, and those that one alone has; what is then left is a matrix
product. Gradients follow from those of the parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from gpunet.autograd.tensor import Tensor, method
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import (
    axis,
    is_tensor,
    one_device,
    one_dtype,
    shape_error,
    tensors_of,
    whole_number,
    whole_numbers,
)
from gpunet.functional.precision import in_half
from gpunet.functional.shape import diagonal

Label = Any  # of an axis: a letter, or a number for an axis of an ellipsis
Labelled = tuple[Tensor, list[Label]]


# --- contraction


def _contract(operands: Sequence[Labelled], output: Sequence[Label]) -> Tensor:
    """The sum, over all labels that `output` lacks, of the product of the operands."""
    lengths: dict[Label, int] = {}
    for x, labels in operands:
        for n, label in zip(x.shape, labels, strict=True):
            if lengths.get(label, 1) == 1:
                lengths[label] = n
    left = [_simple(x, labels, lengths) for x, labels in operands]
    left = [_summed(left, i, output) for i in range(len(left))]
    while len(left) > 1:
        i, j = min(
            itertools.combinations(range(len(left)), 2),
            key=lambda pair: _size(left, pair, output, lengths),
        )
        kept = _needed(left, (i, j), output)
        pair = _product(left[i], left[j], kept, lengths)
        left = [pair, *[one for k, one in enumerate(left) if k not in (i, j)]]
    x, labels = left[0]
    missing = [label for label in output if label not in labels]  # of length 1 everywhere
    x = x.reshape((*x.shape, *[1] * len(missing)))
    labels = [*labels, *missing]
    return x.permute([labels.index(label) for label in output])


def _simple(x: Tensor, labels: list[Label], lengths: dict[Label, int]) -> Labelled:
    """Each label once, and none along which the operand is broadcast."""
    labels = list(labels)
    while len(set(labels)) < len(labels):
        first = next(i for i, label in enumerate(labels) if label in labels[i + 1 :])
        second = labels.index(labels[first], first + 1)
        label = labels[first]
        x = diagonal(x, 0, first, second)
        labels = [*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], label]
    kept = [i for i, label in enumerate(labels) if x.shape[i] == lengths[label]]
    return x.reshape([x.shape[i] for i in kept]), [labels[i] for i in kept]


def _needed(left: Sequence[Labelled], pair: Iterable[int], output: Iterable[Label]) -> set[Label]:
    """Labels that must outlive the product of a pair of operands."""
    others = [labels for k, (_, labels) in enumerate(left) if k not in tuple(pair)]
    return set(output).union(*others)


def _summed(left: Sequence[Labelled], i: int, output: Iterable[Label]) -> Labelled:
    """An operand summed over the axes that nobody else asks for."""
    x, labels = left[i]
    needed = _needed(left, (i,), output)
    gone = tuple([k for k, label in enumerate(labels) if label not in needed])
    return (x.sum(gone) if gone else x), [label for label in labels if label in needed]


def _size(
    left: Sequence[Labelled], pair: tuple[int, int], output: Any, lengths: dict[Label, int]
) -> int:
    """Elements that the product of a pair would have: the smallest is made first."""
    labels = {label for k in pair for label in left[k][1]}
    return math.prod(lengths[label] for label in labels & _needed(left, pair, output))


def _product(a: Labelled, b: Labelled, kept: set[Label], lengths: dict[Label, int]) -> Labelled:
    """Two operands contracted over what they share and nobody needs, by a matrix product."""
    (x, x_labels), (y, y_labels) = a, b
    shared = [label for label in x_labels if label in y_labels]
    batch = [label for label in shared if label in kept]
    inner = [label for label in shared if label not in kept]
    rows = [label for label in x_labels if label not in shared]
    columns = [label for label in y_labels if label not in shared]

    def arranged(x: Tensor, labels: list[Label], *groups: list[Label]) -> Tensor:
        turned = len(groups) > 1 and bool(labels) and labels[-1] in groups[-2]
        if turned:  # what lies last in memory stays last, which often spares a copy
            groups = (*groups[:-2], groups[-1], groups[-2])
        order = [labels.index(label) for group in groups for label in group]
        shape = [math.prod([lengths[k] for k in group]) for group in groups]
        x = x.permute(order).reshape(shape)
        return x.transpose(-1, -2) if turned else x

    if not (batch or rows or columns):
        z = arranged(x, x_labels, inner) @ arranged(y, y_labels, inner)
    elif not inner:  # products alone
        z = arranged(x, x_labels, batch, rows, []) * arranged(y, y_labels, batch, [], columns)
    elif not batch:
        z = arranged(x, x_labels, rows, inner) @ arranged(y, y_labels, inner, columns)
    else:
        z = arranged(x, x_labels, batch, rows, inner) @ arranged(y, y_labels, batch, inner, columns)
    labels = [*batch, *rows, *columns]
    return z.reshape([lengths[label] for label in labels]), labels


# --- einsum


@in_half
def einsum(equation: str, *operands: Any) -> Tensor:
    """Σ of products of the operands, as the equation says: "ij,jk->ik" is a matrix product.

    Each operand's axes are named by letters, `...` stands for those not named. Axes of one name
    run together, those not named behind `->` are summed over. Without `->`, the result has the axes
    of `...`, then the letters that occur once, in alphabetical order.
    PyTorch's form `einsum(x, [0, 1], y, [1, 2], [0, 2])`, with numbers below 52, is taken, too.
    Shapes: as many axes as names; axes of one name have one length, or 1. All of one dtype.

    >>> import gpunet
    >>> x = gpunet.arange(4).reshape(2, 2)
    >>> gpunet.einsum("ii", x)
    tensor(3)
    >>> gpunet.einsum("ij,kj->ik", x, x)
    tensor([[ 1,  3],
            [ 3, 13]])
    """
    if isinstance(equation, Tensor):
        equation, operands = _equation(equation, *operands)
    if not isinstance(equation, str):
        got = type(equation).__name__
        raise DTypeError("einsum", f"equation must be a str or a gpunet.Tensor, got {got}")
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    xs = tensors_of("einsum", operands)
    if len(xs) > 1:
        one_dtype("einsum", **{f"operands[{i}]": x for i, x in enumerate(xs)})
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(xs):
        problem = f"equation must have {len(xs)} operands, got {len(terms)} in {equation!r}"
        raise ArgumentError("einsum", problem)
    labelled = [(x, _labels(equation, term, x)) for term, x in zip(terms, xs, strict=True)]
    _check_lengths(equation, labelled)
    dots = max([sum(type(k) is int for k in labels) for _, labels in labelled])
    ellipsis = list(range(-dots, 0))
    if arrow:
        output = _output(equation, right, labelled, ellipsis)
    else:
        letters = [k for _, labels in labelled for k in labels if type(k) is str]
        output = [*ellipsis, *sorted(k for k in letters if letters.count(k) == 1)]
    return _contract(labelled, output)


def _labels(equation: str, term: str, x: Tensor) -> list[Label]:
    """The label of each axis of an operand."""
    before, dots, after = term.partition("...")
    letters = before + after
    if letters and not (letters.isascii() and letters.isalpha()):
        raise ArgumentError("einsum", f"equation must name axes by letters, got {equation!r}")
    hidden = x.ndim - len(letters)
    if hidden < 0 or (hidden and not dots):
        shape_error("einsum", f"operand must have {len(letters)} axes for {term!r}", x=x)
    return [*before, *range(-hidden, 0), *after]


def _check_lengths(equation: str, labelled: Sequence[Labelled]) -> None:
    lengths: dict[Label, int] = {}
    for x, labels in labelled:
        own: dict[Label, int] = {}
        for n, label in zip(x.shape, labels, strict=True):
            known = lengths.get(label, 1)
            if own.setdefault(label, n) != n or (n != known and 1 not in (n, known)):
                got = own[label] if own[label] != n else known
                rule = f"axes of one name must have one length, got {got} and {n} for {label!r}"
                shape_error("einsum", f"{rule} in {equation!r}", x=x)
            lengths[label] = n if known == 1 else known


def _output(
    equation: str, right: str, labelled: Sequence[Labelled], ellipsis: list[int]
) -> list[Label]:
    before, dots, after = right.partition("...")
    output = [*before, *(ellipsis if dots else []), *after]
    known = {label for _, labels in labelled for label in labels}
    for label in output:
        if label not in known or output.count(label) > 1:
            problem = "equation must name each axis of the result once, and one that there is, got"
            raise ArgumentError("einsum", f"{problem} {label!r} in {equation!r}")
    return output


def _equation(*parts: Any) -> tuple[str, tuple[Any, ...]]:
    """The form with lists of numbers in that with letters."""
    count = len(parts) // 2
    terms = ["".join(map(_letter, parts[2 * i + 1])) for i in range(count)]
    right = "->" + "".join(map(_letter, parts[-1])) if len(parts) % 2 else ""
    return ",".join(terms) + right, tuple([parts[2 * i] for i in range(count)])


def _letter(number: Any) -> str:
    if number is Ellipsis:
        return "..."
    n = whole_number("einsum", "names of axes", number)
    if not 0 <= n < 52:
        raise ArgumentError("einsum", f"names of axes must be in [0, 52), got {n}")
    return chr(ord("A") + n) if n < 26 else chr(ord("a") + n - 26)


# --- contractions without names


@in_half
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Σ of products over axes of both tensors.

    `dims` is a number: the last of a with the first of b; or two lists of axes, a's and b's.
    Shapes: the result has the remaining axes of a, then those of b.
    """
    one_dtype("tensordot", a=a, b=b)
    one_device("tensordot", a, b, dims)
    if isinstance(dims, Tensor) and dims.ndim:
        dims = dims.tolist()
    if isinstance(dims, (tuple, list)):
        if len(dims) != 2:
            raise ArgumentError("tensordot", f"dims must be two lists of axes, got {dims}")
        of_a, of_b = (whole_numbers("tensordot", "dims", (list(_several(d)),)) for d in dims)
    else:
        n = whole_number("tensordot", "dims", dims)
        if not 0 <= n <= min(a.ndim, b.ndim):
            most = min(a.ndim, b.ndim)
            raise ArgumentError("tensordot", f"dims must be in [0, {most}], got {n}")
        of_a, of_b = tuple(range(a.ndim - n, a.ndim)), tuple(range(n))
    if len(of_a) != len(of_b):
        raise ArgumentError("tensordot", f"dims must name equally many axes, got {dims}")
    first = [axis("tensordot", a, d) for d in of_a]
    second = [axis("tensordot", b, d) for d in of_b]
    if len(set(first)) < len(first) or len(set(second)) < len(second):
        raise ArgumentError("tensordot", f"dims must name each axis once, got {dims}")
    for i, j in zip(first, second, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            got = f"{a.shape[i]} and {b.shape[j]}"
            shape_error("tensordot", f"contracted axes must have equal length, got {got}", a=a, b=b)
    of_second = [a.ndim + j for j in range(b.ndim)]
    for i, j in zip(first, second, strict=True):
        of_second[j] = i
    output = [k for k in range(a.ndim + b.ndim) if k not in first and k - a.ndim not in second]
    return _contract([(a, list(range(a.ndim))), (b, of_second)], output)


def _several(d: Any) -> Sequence[int]:
    return d if isinstance(d, (tuple, list)) else [d]


@method()
@in_half
def inner(x: Tensor, other: Tensor) -> Tensor:
    """Σ of products over the last axes of both; the product if one of them has no axes.

    Shapes: x (..., n), other (..., n); the result has the other axes of x, then those of `other`.
    """
    is_tensor("inner", "x", x)
    is_tensor("inner", "other", other)
    if not x.ndim or not other.ndim:
        return x * other
    one_dtype("inner", x=x, other=other)
    if x.shape[-1] != other.shape[-1]:
        got = f"{x.shape[-1]} and {other.shape[-1]}"
        shape_error("inner", f"last axes must have equal length, got {got}", x=x, other=other)
    return tensordot(x, other, ([-1], [-1]))


@in_half
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = Σ_ij input1_i · weight_oij · input2_j + bias_o.

    Shapes: input1 (..., in1), input2 (..., in2), weight (out, in1, in2), bias (out,); the result
    (..., out). The leading axes of both inputs are the same.
    """
    given = dict(input1=input1, input2=input2, weight=weight)
    one_dtype("bilinear", **given, **({} if bias is None else {"bias": bias}))
    if weight.ndim != 3 or not input1.ndim or input1.shape[:-1] != input2.shape[:-1]:
        rule = "weight must have shape (out, in1, in2), and the inputs equal leading axes"
        shape_error("bilinear", rule, **given)
    out, n, m = weight.shape
    if input1.shape[-1] != n or not input2.ndim or input2.shape[-1] != m:
        rule = f"inputs must have shapes (..., {n}) and (..., {m})"
        shape_error("bilinear", f"{rule}, got {input1.shape} and {input2.shape}", weight=weight)
    if bias is not None and bias.shape != (out,):
        shape_error("bilinear", f"bias must have shape ({out},), got {bias.shape}", weight=weight)
    lead: list[Label] = list(range(input1.ndim - 1))
    operands: list[Labelled] = [
        (input1, [*lead, "i"]),
        (weight, ["o", "i", "j"]),
        (input2, [*lead, "j"]),
    ]
    y = _contract(operands, [*lead, "o"])
    return y if bias is None else y + bias
