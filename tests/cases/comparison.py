"""Comparisons, logic and bits: Python's operators, element by element."""

import operator

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, constant, exactly, normal

NAN, INF = np.nan, np.inf
BOOLS = [exactly([[True], [False]]), exactly([True, False])]
WHOLE = [exactly([[-6], [3], [0]]), exactly([-1, 0, 2, 3])]
SPECIAL = [
    constant(exactly([0.0, 1.0, NAN, NAN, INF, INF, -INF])),
    constant(exactly([-0.0, 2.0, NAN, 1.0, INF, -INF, 0.0])),
]


def _given(*shape):
    """Few different values, so that many are equal; none has a gradient."""
    values = np.random.default_rng(len(shape)).integers(-2, 3, shape) / 2
    return constant(exactly(values))


def _refusals(*, floating=True):
    x, y = (_given(2, 3), _given(4)) if floating else (exactly([[1, 2]] * 2), exactly([1, 2, 3]))
    yield Invalid(
        [x, y], ShapeError, f"shapes must broadcast, got {'(2, 3)' if floating else '(2, 2)'}"
    )
    yield Invalid([x, "2"], DTypeError, "other must be a gpunet.Tensor or a number, got str")
    yield Invalid([x, np.ones(3)], DTypeError, "other must be a gpunet.Tensor or a number, got nd")
    yield Invalid([np.ones(3), x], DTypeError, "x must be a gpunet.Tensor or a number, got ndarray")


def _comparison(formula):
    for x, y in (((), ()), ((31,), (31,)), ((2, 3), (3,)), ((2, 1), (4,)), ((0, 3), (3,))):
        yield Case(formula, [_given(*x), _given(*y)])
    yield Case(formula, [_given(130, 127), _given(130, 127)])
    for number in (0.5, 1, True):
        yield Case(formula, [_given(31), number])
    yield Case(formula, [*WHOLE])
    yield Case(formula, [*BOOLS])
    yield Case(formula, [WHOLE[0], _given(4)])
    yield Case(lambda x, y: formula(x.astype(int), y), [exactly(np.array([1, -2], "int8")), 300])
    yield Edge(formula, SPECIAL)
    yield from _refusals()


def eq():
    yield from _comparison(operator.eq)


def ne():
    yield from _comparison(operator.ne)


def lt():
    yield from _comparison(operator.lt)


def le():
    yield from _comparison(operator.le)


def gt():
    yield from _comparison(operator.gt)


def ge():
    yield from _comparison(operator.ge)


def equal():
    def formula(x, y):
        return x.shape == y.shape and all(a == b for a, b in zip(x.flat, y.flat, strict=True))

    for x, y in (((), ()), ((31,), (31,)), ((2, 3), (3,)), ((0, 3), (0, 3)), ((0,), (0, 3))):
        yield Case(formula, [_given(*x), _given(*y)])
    yield Case(formula, [constant(normal(31)), constant(exactly(np.ones(31)))])
    yield Case(formula, [exactly([1, 2]), constant(exactly([1.0, 2.0]))])
    yield Edge(formula, [SPECIAL[0], SPECIAL[0]])
    yield Invalid([_given(3), 1.0], DTypeError, "other must be a gpunet.Tensor, got float")


def _is_close(x, y, rtol=1e-5, atol=1e-8, equal_nan=False):
    near = (x == y) | (np.isfinite(y) & (np.abs(x - y) <= atol + rtol * np.abs(y)))
    return near | (equal_nan & (x != x) & (y != y))


def _closeness(formula):
    x, y = constant(exactly([1.0, 1.0, 1.0, 0.0])), constant(exactly([1.0, 1.125, 2.0, 0.25]))
    for kwargs in (dict(), dict(rtol=0.25), dict(atol=0.5), dict(rtol=0, atol=1)):
        yield Case(formula, [x, y], kwargs)
    yield Case(formula, [_given(2, 1), _given(3)], dict(atol=0.6))
    yield Case(formula, [_given(0, 3), _given(3)])
    yield Case(formula, [_given(5), 0.5], unlike_torch="it wants two tensors")
    yield Case(formula, [*WHOLE], dict(atol=1))
    for equal_nan in (False, True):
        yield Edge(formula, SPECIAL, dict(equal_nan=equal_nan))
        yield Edge(formula, [SPECIAL[0], SPECIAL[0]], dict(equal_nan=equal_nan))
    for name in ("rtol", "atol"):
        rule = f"{name} must not be negative, got -1"
        yield Invalid([x, y], ArgumentError, rule, {name: -1})
    yield from _refusals()


def isclose():
    yield from _closeness(_is_close)


def allclose():
    yield from _closeness(lambda *args, **kwargs: bool(np.all(_is_close(*args, **kwargs))))


def isin():
    def formula(elements, test_elements, assume_unique=False, invert=False):
        held = list(np.ravel(test_elements))
        found = [any(e == t for t in held) for e in np.ravel(elements)]
        return np.array(found, bool).reshape(np.shape(elements)) != invert

    for invert in (False, True):
        yield Case(formula, [_given(2, 3), _given(4)], dict(invert=invert))
        yield Case(formula, [exactly([[1, 2], [3, 4]]), exactly([4, 1, 7])], dict(invert=invert))
    yield Case(formula, [exactly([3, 1, 2]), exactly([4, 1])], dict(assume_unique=True))
    yield Case(formula, [_given(0, 3), _given(4)])
    yield Case(formula, [_given(3), _given(0)])
    yield Case(formula, [_given(), _given(2, 2)])
    yield Case(formula, [exactly([1, 2]), constant(exactly([1.5, 2.0]))])
    yield Case(formula, [exactly([1, 2]), 2])
    yield Case(formula, [2, exactly([1, 2])])
    yield Edge(formula, SPECIAL)
    rule = "elements or test_elements must be a gpunet.Tensor, got int and int"
    yield Invalid([2, 3], DTypeError, rule)


def _logic(formula):
    for operands in ([_given(2, 3), _given(3)], [_given(), _given(4)], WHOLE, BOOLS, SPECIAL):
        yield Edge(lambda x, y: formula(x != 0, y != 0), operands)
    yield Case(lambda x, y: formula(x != 0, y != 0), [_given(0, 3), exactly([1, 0, 2])])
    reason = "it wants two tensors"
    yield Case(lambda x, y: formula(x != 0, y != 0), [_given(5), 2.5], unlike_torch=reason)
    tiny = exactly(np.array(1e-30))  # not 0, although it would be in float16
    yield Edge(lambda x, y: formula(x != 0, True), [exactly([True, False]), constant(tiny)])
    yield from _refusals()


def logical_and():
    yield from _logic(operator.and_)


def logical_or():
    yield from _logic(operator.or_)


def logical_xor():
    yield from _logic(operator.xor)


def logical_not():
    for x in (_given(), _given(2, 3), _given(0, 3), *WHOLE, *BOOLS):
        yield Case(lambda x: x == 0, [x])
    yield Edge(lambda x: x == 0, [SPECIAL[0]])
    yield Invalid([True], DTypeError, "x must be a gpunet.Tensor, got bool")


def _bits(formula):
    yield Case(formula, [*WHOLE])
    yield Case(formula, [WHOLE[0], 5])
    yield Case(formula, [5, WHOLE[0]])
    yield Case(formula, [exactly(np.zeros((0, 3), int)), 5])
    yield Case(
        lambda x, y: x,
        [exactly(np.array([3, 200], "uint8")), {"and_": -1}.get(formula.__name__, 0)],
    )
    rule = "operands must be integers or booleans, got float64; x is (2, 3) float64 on cpu"
    yield Invalid([_given(2, 3), 1], DTypeError, rule)
    yield Invalid([WHOLE[0], 1.5], DTypeError, "operands must be integers or booleans, got float32")
    yield from _refusals(floating=False)
    yield Case(formula, [*BOOLS])
    yield Case(formula, [BOOLS[0], exactly([1, 2])])


def bitwise_and():
    yield from _bits(operator.and_)


def bitwise_or():
    yield from _bits(operator.or_)


def bitwise_xor():
    yield from _bits(operator.xor)


def bitwise_not():
    yield Case(lambda x: -x - 1, [WHOLE[0]])
    yield Case(lambda x: 255 - x, [exactly(np.array([3, 200], "uint8"))])
    yield Case(lambda x: np.where(x, False, True), [BOOLS[0]])
    yield Invalid([_given(3)], DTypeError, "x must be integers or booleans, got float64")


def _shift(formula):
    yield Case(formula, [*WHOLE[:1], exactly([0, 1, 5])])
    yield Case(formula, [WHOLE[0], 2])
    yield Case(formula, [6, exactly([0, 1, 2])])
    yield Case(formula, [exactly(np.array([3, 100, -5], "int8")), 1])
    yield Invalid([BOOLS[0], BOOLS[1]], DTypeError, "operands must be integers, got bool")
    yield Invalid([_given(2, 3), 1], DTypeError, "operands must be integers, got float64")
    yield from _refusals(floating=False)


def bitwise_left_shift():
    yield from _shift(lambda x, y: (x * 2**y).astype(np.result_type(x, y)))
    yield Case(lambda x, y: np.zeros(3, int), [exactly([3, 0, -5]), exactly([64, 99, -1])])


def bitwise_right_shift():
    yield from _shift(lambda x, y: x // 2**y)
    yield Case(lambda x, y: np.array([0, 0, -1]), [exactly([3, 0, -5]), exactly([64, 99, -1])])
