"""Operators between tensors and what is none."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import gpunet
from gpunet.errors import ArgumentError, DTypeError

NUMBERS = [2, 2.0, True, np.float32(2), np.float64(2), np.int64(2), np.bool_(True), np.array(2.0)]
ARITHMETIC = [
    *(operator.add, operator.sub, operator.mul, operator.truediv),
    *(operator.floordiv, operator.mod, operator.pow),
]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("op", [*ARITHMETIC, *COMPARISONS], ids=lambda f: f.__name__)
def test_a_number_on_either_side(op, number) -> None:
    values = np.array([1.0, 2.0, 3.5], "float32")
    x = gpunet.tensor(values)
    kind = "bool" if op in COMPARISONS else "float32"
    for got, expected in (
        (op(x, number), op(values, float(number))),
        (op(number, x), op(float(number), values)),
    ):
        assert isinstance(got, gpunet.Tensor)
        assert got.dtype == kind, "a number keeps the tensor's dtype"
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "other", [None, "a", object(), [1.0, 2.0]], ids=["None", "text", "object", "list"]
)
def test_equality_with_something_else_is_false(other) -> None:
    x = gpunet.tensor([1.0, 2.0])
    assert (x == other) is False
    assert (x != other) is True
    assert (other == x) is False
    for op in COMPARISONS[2:]:
        with pytest.raises(TypeError):
            op(x, other)


def test_equality_with_a_raw_array_is_refused() -> None:
    # False, or an array of objects, would hide that the devices were not compared.
    with pytest.raises(DTypeError, match=r"other must be a gpunet.Tensor or a number, got ndarray"):
        gpunet.tensor([1.0, 2.0]) == np.ones(2)  # noqa: B015


def test_tensors_are_still_keys() -> None:
    x, y = gpunet.tensor([1.0]), gpunet.tensor([1.0])
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y}) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: operator.ifloordiv(x, 2), [2, -2]),
        (lambda x: operator.imod(x, 3), [2, 0]),
        (lambda x: operator.iand(x, 4), [4, 4]),
        (lambda x: operator.ior(x, 1), [5, -3]),
        (lambda x: operator.ixor(x, 1), [4, -4]),
        (lambda x: operator.ilshift(x, 1), [10, -6]),
        (lambda x: operator.irshift(x, 1), [2, -2]),
        (lambda x: x.clamp_(min=0), [5, 0]),
        (lambda x: x.eq_(5), [1, 0]),
        (lambda x: x.sub_(1, alpha=2), [3, -5]),
    ],
)
def test_in_place(change, expected) -> None:
    x = gpunet.tensor([5, -3])
    memory = x.array
    assert change(x) is x
    assert x.array is memory
    assert x.tolist() == expected


def test_an_in_place_result_must_fit() -> None:
    with pytest.raises(DTypeError, match=r"^sqrt_: result must fit into the tensor's dtype int64"):
        gpunet.tensor([4, 9]).sqrt_()


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.truediv])
def test_a_number_beyond_float16(op) -> None:
    """float16 meets numbers in float32: 1e-6 and 1e6 are numbers there, not 0 and Inf."""
    x = gpunet.tensor([1e3], dtype="float16", requires_grad=True)
    for number in (1e-6, 1e6):
        exact = op(1e3, number)
        with np.errstate(over="ignore"):
            y = op(x, number)
            assert y.dtype == "float16"
            assert y.item() == np.float16(exact)


def test_integers_wrap_around_only_where_sums_do() -> None:
    x = gpunet.tensor([3, 200], dtype="uint8")
    assert (x - 4).tolist() == [255, 196]
    assert (x * -1).tolist() == [253, 56]
    assert (x < 300).tolist() == [True, True]
    assert (x > -1).tolist() == [True, True]
    with pytest.raises(ArgumentError, match=r"^remainder: Python integer 300 out of bounds"):
        x % 300
