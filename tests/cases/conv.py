"""Convolutions as sums over windows, transposed ones as windows added up."""

from itertools import product

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def _each(value, axes):
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def _windows(x, axes, kernel, stride, pads, dilation):
    """x (N, C, ...) padded and seen through windows: (N, C, positions..., kernel...)."""
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(2, 2 + axes)))
    steps = [slice(None)] * 2 + [slice(None, None, s) for s in (*stride, *dilation)]
    return seen[tuple(steps)]


def _convolution(axes):
    def formula(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        kernel, stride, dilation = weight.shape[2:], _each(stride, axes), _each(dilation, axes)
        if padding == "same":
            more = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
            pads = [(n // 2, n - n // 2) for n in more]
        else:
            pads = [(p, p) for p in _each(0 if padding == "valid" else padding, axes)]
        seen = _windows(x.reshape(-1, *x.shape[-axes - 1 :]), axes, kernel, stride, pads, dilation)
        parts = []
        for part, filters in zip(np.split(seen, groups, 1), np.split(weight, groups), strict=True):
            contracted = range(2 + axes, 2 + 2 * axes)
            y = np.tensordot(part, filters, ((1, *contracted), range(1, 2 + axes)))
            parts.append(np.moveaxis(y, -1, 1))
        y = np.concatenate(parts, 1)
        if bias is not None:
            y = y + bias.reshape(-1, *[1] * axes)
        return y if x.ndim == axes + 2 else y[0]

    return formula


def _transposed(axes):
    def formula(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        stride, padding, dilation = (_each(v, axes) for v in (stride, padding, dilation))
        more, kernel = _each(output_padding, axes), weight.shape[2:]
        samples = x.reshape(-1, *x.shape[-axes - 1 :])
        sizes = [
            (n - 1) * s + d * (k - 1) + 1 + o
            for n, s, d, k, o in zip(samples.shape[2:], stride, dilation, kernel, more, strict=True)
        ]
        y = np.zeros((len(samples), weight.shape[1] * groups, *sizes), x.dtype)
        per_group = zip(
            np.split(samples, groups, 1),
            np.split(weight, groups),
            np.split(y, groups, 1),
            strict=True,
        )
        for part, filters, out in per_group:
            for tap in product(*map(range, kernel)):
                added = np.moveaxis(np.tensordot(part, filters[(..., *tap)], (1, 0)), -1, 1)
                meets = [
                    slice(k * d, k * d + (n - 1) * s + 1, s)
                    for k, d, n, s in zip(tap, dilation, samples.shape[2:], stride, strict=True)
                ]
                out[(slice(None), slice(None), *meets)] += added
        y = y[(..., *[slice(p, n - p) for p, n in zip(padding, sizes, strict=True)])]
        if bias is not None:
            y = y + bias.reshape(-1, *[1] * axes)
        return y if x.ndim == axes + 2 else y[0]

    return formula


def _refusals(axes):
    """What each convolution refuses."""
    long, short = (2, 4, *[5] * axes), (6, 4, *[3] * axes)
    x, weight = normal(*long), normal(*short)
    flat = "is (6, 4, " + ", ".join("3" * axes) + ") float64 on cpu"
    rule = f"x must have in = 4·1 channels, got 3; x is (2, 3, {', '.join('5' * axes)}) float64"
    yield Invalid([normal(2, 3, *[5] * axes), weight], ShapeError, rule)
    rule = f"groups must divide the 6 filters of weight, got 4; x is (2, 16, {'5, ' * axes}"
    yield Invalid([normal(2, 16, *[5] * axes), weight], ShapeError, rule[:-2], {"groups": 4})
    rule = f"the filter must fit into the padded x, {(2,) * axes}, got {(3,) * axes}; x is (2, 4, "
    yield Invalid([normal(2, 4, *[2] * axes), weight], ShapeError, rule)
    rule = f"the filter must fit into the padded x, {(7,) * axes}, got {(9,) * axes}; x is (2, 4, "
    yield Invalid([x, weight], ShapeError, rule, {"padding": 1, "dilation": 4})
    rule = f"bias must have shape (out,) = (6,), got (4,); weight {flat}"
    yield Invalid([x, weight, normal(4)], ShapeError, rule)
    rule = f'stride must be 1 with padding "same", got {(2,) * axes}'
    yield Invalid([x, weight], ArgumentError, rule, {"padding": "same", "stride": 2})
    yield Invalid(
        [x, weight], ArgumentError, '"same" or "valid", got \'full\'', {"padding": "full"}
    )
    yield from _common_refusals(axes, x, weight)


def _common_refusals(axes, x, weight):
    letters = ", ".join("DHW"[-axes:]) if axes > 1 else "L"
    rule = f"x must have shape (N, in, {letters}) or (in, {letters}), got (2,); weight is (6, 4, "
    yield Invalid([normal(2), weight], ShapeError, rule)
    yield Invalid([x, normal(6, 4)], ShapeError, f"weight must have {axes + 2} axes, got (6, 4)")
    rule = f"x must not be empty but for N, got (2, 4, {', '.join('0' * axes)}); weight is (6, 4, "
    yield Invalid([normal(2, 4, *[0] * axes), weight], ShapeError, rule)
    rule = f"weight must not be empty, got (0, 4, {', '.join('3' * axes)}); x is (2, "
    yield Invalid([x, normal(0, 4, *[3] * axes)], ShapeError, rule)
    yield Invalid(
        [x, labels(2, 6, 4, *[3] * axes)], DTypeError, "weight must be floating, got int64"
    )
    yield Invalid([x, None], DTypeError, "weight must be a gpunet.Tensor, got NoneType")
    many = f" or {axes} of them" if axes > 1 else ""
    for name, least in (("stride", 1), ("dilation", 1), ("padding", 0)):
        rule = f"{name} must be a whole number from {least}{many}, got {least - 1}"
        yield Invalid([x, weight], ArgumentError, rule, {name: least - 1})
    rule = f"stride must be a whole number from 1{many}, got (1, 1, 1, 1)"
    yield Invalid([x, weight], ArgumentError, rule, {"stride": (1, 1, 1, 1)})
    rule = f"padding must be a whole number from 0{many}, got 0.5"
    yield Invalid([x, weight], ArgumentError, rule, {"padding": 0.5})
    yield Invalid(
        [x, weight], ArgumentError, "groups must be a whole number from 1, got 0", {"groups": 0}
    )


NAN = exactly([[[[np.nan, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, np.inf]]]])


def conv1d():
    formula = _convolution(1)
    for x, weight, named in [
        ((1, 1, 1), (1, 1, 1), {}),
        ((2, 3, 31), (4, 3, 5), {}),
        ((3, 8), (2, 3, 3), {"stride": 2, "padding": 1}),
        ((2, 4, 20), (6, 2, 3), {"dilation": 3, "groups": 2, "padding": (4,)}),
        ((2, 4, 9), (3, 4, 4), {"padding": "same"}),
        ((1, 2, 9), (3, 2, 2), {"padding": "valid", "stride": (5,)}),
        ((0, 2, 9), (3, 2, 3), {}),
    ]:
        yield Case(formula, [normal(*x), normal(*weight)], named)
        yield Case(formula, [normal(*x), normal(*weight), normal(weight[0])], named)
    yield Case(formula, [normal(1, 1, 3000), normal(2, 1, 7), None, 3])
    yield from _refusals(1)


def conv2d():
    formula = _convolution(2)
    for x, weight, named in [
        ((1, 1, 1, 1), (1, 1, 1, 1), {}),
        ((2, 3, 8, 9), (5, 3, 3, 3), {"padding": 1}),
        ((3, 7, 5), (4, 3, 3, 2), {"stride": 2}),
        ((2, 2, 10, 11), (3, 2, 3, 3), {"stride": (3, 2), "padding": (2, 1), "dilation": (1, 2)}),
        ((2, 6, 6, 7), (6, 1, 3, 3), {"groups": 6, "padding": 1}),
        ((2, 4, 6, 7), (6, 2, 3, 3), {"groups": 2, "stride": 2}),
        ((2, 5, 4, 8), (9, 5, 1, 1), {}),
        ((2, 3, 7, 7), (4, 3, 1, 1), {"stride": 3}),
        ((1, 2, 6, 6), (3, 2, 4, 3), {"padding": "same", "dilation": (1, 2)}),
        ((1, 2, 3, 3), (3, 2, 3, 3), {"padding": 3}),
        ((0, 2, 5, 5), (3, 2, 3, 3), {}),
    ]:
        yield Case(formula, [normal(*x), normal(*weight)], named)
        yield Case(formula, [normal(*x), normal(*weight), normal(weight[0])], named)
    yield Case(formula, [normal(5, 3, 12, 12), normal(17, 3, 5, 5), normal(17), 1, 2])
    yield Edge(formula, [NAN, exactly([[[[1.0, 1.0], [1.0, 1.0]]]])], {"padding": 1})
    yield from _refusals(2)


def conv3d():
    formula = _convolution(3)
    for x, weight, named in [
        ((2, 3, 5, 6, 7), (4, 3, 3, 2, 3), {"padding": (1, 0, 2)}),
        ((2, 5, 4, 6), (3, 2, 2, 3, 3), {"stride": (2, 1, 3)}),
        ((1, 4, 5, 5, 5), (4, 2, 2, 2, 2), {"groups": 2, "dilation": (2, 1, 2), "stride": 2}),
        ((1, 2, 3, 4, 5), (3, 2, 2, 3, 3), {"padding": "same"}),
        ((0, 2, 3, 3, 3), (3, 2, 2, 2, 2), {}),
    ]:
        yield Case(formula, [normal(*x), normal(*weight)], named)
        yield Case(formula, [normal(*x), normal(*weight), normal(weight[0])], named)
    yield from _refusals(3)


def _transposed_refusals(axes):
    x, weight = normal(2, 6, *[5] * axes), normal(6, 4, *[3] * axes)
    rule = f"x must have in = 6 channels, got 5; x is (2, 5, {', '.join('5' * axes)}) float64"
    yield Invalid([normal(2, 5, *[5] * axes), weight], ShapeError, rule)
    rule = f"groups must divide the 6 channels of x, got 4; x is (2, 6, {', '.join('5' * axes)})"
    yield Invalid([x, weight], ShapeError, rule, {"groups": 4})
    rule = (
        f"bias must have shape (out,) = (8,), got (4,); weight is (6, 4, {', '.join('3' * axes)})"
    )
    yield Invalid([x, weight, normal(4)], ShapeError, rule, {"groups": 2})
    rule = "output_padding must be smaller than stride or dilation, got 2; stride is 2, dilation 1"
    yield Invalid([x, weight], ArgumentError, rule, {"output_padding": 2, "stride": 2})
    rule = f"the result must have at least one element along each axis, got {(-1,) * axes}; x is (2"
    yield Invalid([x, weight], ShapeError, rule, {"padding": 4})
    yield from _common_refusals(axes, x, weight)


def conv_transpose1d():
    formula = _transposed(1)
    for x, weight, named in [
        ((1, 1, 1), (1, 1, 1), {}),
        ((2, 3, 7), (3, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((4, 6), (4, 3, 2), {"stride": 3}),
        ((2, 4, 5), (4, 3, 3), {"groups": 2, "dilation": 2, "output_padding": 1}),
        ((0, 2, 5), (2, 3, 3), {}),
    ]:
        yield Case(formula, [normal(*x), normal(*weight)], named)
        filters = weight[1] * named.get("groups", 1)
        yield Case(formula, [normal(*x), normal(*weight), normal(filters)], named)
    yield from _transposed_refusals(1)


def conv_transpose2d():
    formula = _transposed(2)
    for x, weight, named in [
        ((2, 3, 4, 5), (3, 5, 3, 3), {}),
        ((2, 3, 4, 5), (3, 5, 4, 4), {"stride": 2, "padding": 1}),
        ((3, 4, 5), (3, 2, 2, 3), {"stride": (3, 2), "output_padding": (2, 1)}),
        ((2, 6, 4, 4), (6, 1, 3, 3), {"groups": 6, "stride": 2, "padding": 1}),
        ((2, 4, 4, 3), (4, 3, 2, 3), {"groups": 2, "dilation": (2, 3), "padding": (1, 2)}),
        ((1, 2, 3, 3), (2, 3, 1, 1), {"stride": 2}),
        ((0, 2, 3, 3), (2, 3, 2, 2), {}),
    ]:
        yield Case(formula, [normal(*x), normal(*weight)], named)
        filters = weight[1] * named.get("groups", 1)
        yield Case(formula, [normal(*x), normal(*weight), normal(filters)], named)
    yield from _transposed_refusals(2)


def conv_transpose3d():
    formula = _transposed(3)
    for x, weight, named in [
        ((2, 3, 3, 4, 3), (3, 4, 2, 3, 2), {"stride": (1, 2, 2), "padding": (0, 1, 0)}),
        ((2, 3, 2, 4), (2, 3, 3, 2, 2), {"stride": 2, "output_padding": (1, 0, 1)}),
        ((1, 4, 3, 3, 3), (4, 2, 2, 2, 2), {"groups": 2, "dilation": 2}),
    ]:
        yield Case(formula, [normal(*x), normal(*weight)], named)
        filters = weight[1] * named.get("groups", 1)
        yield Case(formula, [normal(*x), normal(*weight), normal(filters)], named)
    yield from _transposed_refusals(3)


MOVES = [
    ((2, 3, 5, 6), {"kernel_size": (2, 3)}),
    ((3, 7, 6), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((2, 2, 8, 9), {"kernel_size": 2, "dilation": (3, 2), "padding": (2, 0), "stride": (2, 3)}),
    ((1, 1, 1, 1), {"kernel_size": 1}),
    ((0, 2, 4, 4), {"kernel_size": 2}),
]


def _seen(shape, kernel_size, dilation=1, padding=0, stride=1):
    """Windows over the numbers of x's elements, -1 where there is none: (C, K, L, positions)."""
    numbers = np.arange(1, np.prod(shape) + 1).reshape(1, *shape)
    pads = [(p, p) for p in _each(padding, 2)]
    moves = _each(kernel_size, 2), _each(stride, 2), pads, _each(dilation, 2)
    seen = _windows(numbers, 2, *moves)[0] - 1
    return seen.transpose(0, 3, 4, 1, 2).reshape(*seen.shape[:1], *_each(kernel_size, 2), -1)


def unfold():
    def formula(x, **moves):
        seen = _seen(x.shape[-3:], **moves)
        samples = x.reshape(-1, int(np.prod(x.shape[-3:])))
        columns = np.where(seen >= 0, samples[:, seen], 0)
        columns = columns.reshape(len(samples), seen.size // seen.shape[-1], seen.shape[-1])
        return columns if x.ndim == 4 else columns[0]

    for shape, named in MOVES:
        yield Case(formula, [normal(*shape)], named)
    x = normal(2, 3, 4, 5)
    rule = "x must have shape (N, C, H, W) or (C, H, W), got (2, 3)"
    yield Invalid([normal(2, 3), 2], ShapeError, rule)
    rule = "the filter must fit into the padded x, (4, 5), got (5, 5); x is (2, 3, 4, 5) float64"
    yield Invalid([x, 5], ShapeError, rule)
    rule = "kernel_size must be a whole number from 1 or 2 of them, got (2, 2, 2)"
    yield Invalid([x, (2, 2, 2)], ArgumentError, rule)
    rule = "stride must be a whole number from 1 or 2 of them, got 0"
    yield Invalid([x, 2], ArgumentError, rule, {"stride": 0})


def fold():
    def formula(x, output_size, **moves):
        size = _each(output_size, 2)
        channels = x.shape[-2] // int(np.prod(_each(moves["kernel_size"], 2)))
        seen = _seen((channels, *size), **moves).ravel()
        samples = x.reshape(-1, seen.size)
        y = np.zeros((len(samples), channels * size[0] * size[1]), x.dtype)
        for element, column in zip(seen, samples.T, strict=True):
            if element >= 0:
                y[:, element] += column
        y = y.reshape(len(samples), channels, *size)
        return y if x.ndim == 3 else y[0]

    for shape, named in MOVES:
        seen = _seen(shape[-3:], **named)
        columns = (*shape[:-3], int(np.prod(seen.shape[:3])), seen.shape[3])
        yield Case(formula, [normal(*columns)], {"output_size": shape[-2:], **named})
    x = normal(2, 12, 9)
    rule = "x must have shape (N, C·K·L, positions), N optional, got (3,)"
    yield Invalid([normal(3), 4, 2], ShapeError, rule)
    rule = "x's last axis but one must be a multiple of K·L = 9, got 12; x is (2, 12, 9) float64"
    yield Invalid([x, 5, 3], ShapeError, rule)
    rule = "x's last axis must be 4·4 = 16 positions for output_size (5, 5), got 9; x is (2, 12, 9)"
    yield Invalid([x, 5, 2], ShapeError, rule)
    yield Invalid(
        [x, 1, 2], ShapeError, "the filter must fit into the padded x, (1, 1), got (2, 2)"
    )
    rule = "output_size must be a whole number from 1 or 2 of them, got 0"
    yield Invalid([x, 0, 2], ArgumentError, rule)
