"""Normalisation: means and variances as NumPy has them."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal, positive

RUN = 4096  # elements that the CPU's kernels take at a time


def _normalised(x, axes, eps):
    mean = x.mean(axes, keepdims=True)
    var = ((x - mean) ** 2).mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + x.dtype.type(eps))


def _of_channels(parameter, x):
    return parameter.reshape(-1, *[1] * (x.ndim - 2))


def _affine(x, weight, bias):
    y = x if weight is None else x * _of_channels(weight, x)
    return y if bias is None else y + _of_channels(bias, x)


def _with_parameters(shape):
    """Every choice of weight and bias."""
    for names in [(), ("weight",), ("bias",), ("weight", "bias")]:
        yield {name: normal(*shape) for name in names}


def _channel_refusals(x, channels, *before):
    rule = f"weight must have shape (C,) = ({channels},), got (2,); x is {(4, channels, 5)}"
    yield Invalid([x, *before], ShapeError, rule, dict(weight=normal(2)))
    rule = f"bias must have shape (C,) = ({channels},), got (2, 3)"
    yield Invalid([x, *before], ShapeError, rule, dict(bias=normal(2, 3)))
    rule = "weight must be floating, got int64"
    yield Invalid([x, *before], DTypeError, rule, dict(weight=labels(3, channels)))
    yield Invalid([normal(3), *before], ShapeError, "x must have shape (N, C, ")


def batch_norm():
    def formula(
        x,
        running_mean,
        running_var,
        weight=None,
        bias=None,
        training=False,
        momentum=0.1,
        eps=1e-5,
    ):
        if training:
            y = _normalised(x, (0, *range(2, x.ndim)), eps)
        else:
            mean, var = _of_channels(running_mean, x), _of_channels(running_var, x)
            y = (x - mean) / np.sqrt(var + x.dtype.type(eps))
        return _affine(y, weight, bias)

    training = dict(training=True)
    for parameters in _with_parameters((3,)):
        yield Case(formula, [normal(4, 3, 5), None, None], {**parameters, **training})
        yield Case(formula, [normal(7, 3), None, None], {**parameters, **training})
        running = constant(normal(3)), constant(positive(3))
        yield Case(formula, [normal(4, 3, 2, 2), *running], parameters)
    for shape in [(3, 2, 4, 5), (2, 2, 2, 3, 4), (65, 70), (1, 2, 6)]:
        affine = dict(weight=normal(shape[1]), bias=normal(shape[1]))
        yield Case(formula, [normal(*shape), None, None], {**affine, **training})
        running = constant(normal(shape[1])), constant(positive(shape[1]))
        yield Case(formula, [normal(*shape), *running], dict(**affine, eps=0.1))
    yield Case(formula, [normal(5, 1, RUN // 4), None, None], training)
    yield Case(formula, [normal(4, 2, 3), None, None], dict(**training, eps=0.5))
    running = constant(normal(2)), constant(positive(2))
    yield Case(formula, [normal(0, 2, 3), *running])
    spoilt = np.arange(24.0).reshape(4, 2, 3)
    spoilt[2, 0, 1] = np.nan
    yield Edge(formula, [exactly(spoilt), None, None], training)
    yield from _channel_refusals(normal(4, 3, 5), 3, constant(normal(3)), constant(positive(3)))
    x, right = normal(4, 3, 5), constant(positive(3))
    rule = "running_mean must have shape (C,) = (3,), got (4,)"
    yield Invalid([x, constant(normal(4)), right], ShapeError, rule)
    rule = "running_var must be floating, got int64"
    yield Invalid([x, right, labels(3, 3)], DTypeError, rule)
    rule = "running_mean and running_var must be there unless training; x is (4, 3, 5)"
    yield Invalid([x, None, None], ArgumentError, rule)
    rule = "each channel must have more than one value in training, got 1; x is (1, 3)"
    yield Invalid([normal(1, 3), None, None], ShapeError, rule, training)
    rule = "activation must be an Activation, got 'relu'"
    yield Invalid([x, right, right], ArgumentError, rule, dict(activation="relu"))


def instance_norm():
    def formula(
        x,
        running_mean=None,
        running_var=None,
        weight=None,
        bias=None,
        use_input_stats=True,
        momentum=0.1,
        eps=1e-5,
    ):
        if use_input_stats:
            y = _normalised(x, tuple(range(2, x.ndim)), eps)
        else:
            mean, var = _of_channels(running_mean, x), _of_channels(running_var, x)
            y = (x - mean) / np.sqrt(var + x.dtype.type(eps))
        return _affine(y, weight, bias)

    for parameters in _with_parameters((3,)):
        yield Case(formula, [normal(2, 3, 5)], parameters)
    yield Case(formula, [normal(3, 2, 4, 5)], dict(weight=normal(2), bias=normal(2), eps=0.1))
    yield Case(formula, [normal(1, 2, 2, 3, 2)])
    given = dict(use_input_stats=False, weight=normal(3), bias=normal(3))
    running = constant(normal(3)), constant(positive(3))
    yield Case(formula, [normal(2, 3, 5), *running], given)
    yield from _channel_refusals(normal(4, 3, 5), 3)
    rule = "running_mean and running_var must be there unless use_input_stats; x is (4, 3, 5)"
    yield Invalid([normal(4, 3, 5)], ArgumentError, rule, dict(use_input_stats=False))
    rule = "each channel of a sample must have more than one value, got 1; x is (4, 3, 1)"
    yield Invalid([normal(4, 3, 1)], ShapeError, rule)


def group_norm():
    def formula(x, num_groups, weight=None, bias=None, eps=1e-5):
        grouped = x.reshape(len(x), num_groups, -1) if x.size else x
        y = _normalised(grouped, -1, eps).reshape(x.shape) if x.size else x
        return _affine(y, weight, bias)

    for parameters in _with_parameters((4,)):
        alone = "PyTorch's function fails with a bias alone" * (list(parameters) == ["bias"])
        yield Case(formula, [normal(3, 4, 5), 2], parameters, unlike_torch=alone)
    for shape, groups in [((2, 6), 2), ((3, 4, 2, 3), 4), ((2, 4, 2, 2, 2), 1), ((0, 4, 3), 2)]:
        affine = dict(weight=normal(shape[1]), bias=normal(shape[1]))
        yield Case(formula, [normal(*shape), groups], affine)
    yield Case(formula, [normal(2, 4, 3), 2], dict(eps=0.5))
    yield from _channel_refusals(normal(4, 3, 5), 3, 1)
    rule = "num_groups must divide the 3 channels of x, got "
    for groups in (2, 0):
        yield Invalid([normal(4, 3, 5), groups], ShapeError, rule + str(groups))
    rule = "each group must have more than one value, got 1; x is (1, 3)"
    yield Invalid([normal(1, 3), 3], ShapeError, rule)


def layer_norm():
    def formula(x, normalized_shape, weight=None, bias=None, eps=1e-5):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        y = _normalised(x, tuple(range(-len(shape), 0)), eps) if x.size else x
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    for parameters in _with_parameters((5,)):
        yield Case(formula, [normal(4, 5), (5,)], parameters)
    for shape, axes in [((5,), 1), ((2, 3, 4), 2), ((2, 3, 4), 3), ((3, 33), 1), ((0, 3), 1)]:
        last = shape[-axes:]
        affine = dict(weight=normal(*last), bias=normal(*last))
        yield Case(formula, [normal(*shape), last], affine)
    yield Case(formula, [normal(2, RUN + 3), (RUN + 3,)])
    yield Case(formula, [normal(3, 4), (4,)], dict(eps=0.5))
    reason = "PyTorch's function takes no number here, its layer does"
    yield Case(formula, [normal(3, 4), 4], unlike_torch=reason)
    spoilt = np.arange(12.0).reshape(3, 4)
    spoilt[1, 2] = np.nan
    yield Edge(formula, [exactly(spoilt), (4,)])
    yield from _row_refusals()
    rule = "bias must have normalized_shape (4,), got (3,)"
    yield Invalid([normal(3, 4), (4,)], ShapeError, rule, dict(bias=normal(3)))


def _row_refusals():
    x = normal(3, 4)
    rule = "x must have shape (..., 3), got (3, 4); x is (3, 4) float64"
    yield Invalid([x, (3,)], ShapeError, rule)
    yield Invalid([x, (2, 3, 4)], ShapeError, "x must have shape (..., 2, 3, 4), got (3, 4)")
    yield Invalid([x, ()], ShapeError, "x must have shape (..., ), got (3, 4)")
    rule = "weight must have normalized_shape (4,), got (3,)"
    yield Invalid([x, (4,)], ShapeError, rule, dict(weight=normal(3)))
    rule = "weight must be floating, got int64"
    yield Invalid([x, (4,)], DTypeError, rule, dict(weight=labels(3, 4)))
    yield Invalid([x, (1.5,)], DTypeError, "normalized_shape must be integers, got (1.5,)")


def rms_norm():
    def formula(x, normalized_shape, weight=None, eps=None):
        eps = (2.0**-52 if x.dtype == "float64" else 2.0**-23) if eps is None else eps
        axes = tuple(range(-len(normalized_shape), 0))
        y = x / np.sqrt((x**2).mean(axes, keepdims=True) + x.dtype.type(eps)) if x.size else x
        return y if weight is None else y * weight

    for shape, axes in [((5,), 1), ((4, 5), 1), ((2, 3, 4), 2), ((3, 33), 1), ((0, 3), 1)]:
        yield Case(formula, [normal(*shape), shape[-axes:]])
        yield Case(formula, [normal(*shape), shape[-axes:]], dict(weight=normal(*shape[-axes:])))
    yield Case(formula, [normal(2, RUN + 3), (RUN + 3,)])
    yield Case(formula, [normal(3, 4), (4,)], dict(eps=0.5))
    yield from _row_refusals()


def local_response_norm():
    def formula(x, size, alpha=1e-4, beta=0.75, k=1.0):
        channels = x.shape[1]
        means = np.empty_like(x)
        for c in range(channels):
            near = x[:, max(0, c - size // 2) : c - size // 2 + size]
            means[:, c] = (near**2).sum(1) / size
        return x / (x.dtype.type(k) + x.dtype.type(alpha) * means) ** x.dtype.type(beta)

    for size in (1, 2, 3, 9):
        yield Case(formula, [normal(2, 5, 3), size], dict(alpha=0.5))
    yield Case(formula, [normal(2, 3, 2, 2), 2])
    yield Case(formula, [normal(2, 3, 2, 2, 2), 3], dict(alpha=0.3, beta=0.5, k=2.0))
    yield Case(formula, [normal(0, 3, 2), 2])
    rule = "x must have shape (N, C, L, ...), got (2, 3)"
    yield Invalid([normal(2, 3), 2], ShapeError, rule)
    yield Invalid([normal(2, 3, 4), 0], ArgumentError, "size must be at least 1, got 0")
