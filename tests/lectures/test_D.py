"""Backpropagation: the rows D1 to D7 of docs/lectures.md."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tests import checks
from tests.cases import public, rows_of
from tests.cases.case import Case, Edge

EQUAL = {"rtol": 1e-12, "atol": 1e-14}  # a few roundings in float64


def equal(pairs, *names) -> None:
    """By autograd and by hand it is the same, and there is something to compare."""
    for name in names:
        by_autograd, by_hand = pairs[name]
        assert np.abs(by_hand).max() > 1e-3
        np.testing.assert_allclose(by_autograd, by_hand, **EQUAL)


def test_D1_one_neuron(demo) -> None:
    equal(demo("backpropagation")["one neuron"], "∂L/∂w", "∂L/∂b")


def test_D2_recursion_over_layers(demo) -> None:
    names = [f"∂L/∂{kind}{n}" for kind in "Wb" for n in (1, 2, 3)]
    equal(demo("backpropagation")["layer by layer"], *names)


def test_D3_exercise_at_the_board(demo) -> None:
    results = demo("backpropagation")
    equal(results["board"], "W1", "b1", "W2", "b2")
    by_autograd, by_hand = results["losses"].T
    np.testing.assert_allclose(by_autograd, by_hand, **EQUAL)
    assert by_hand[-1] < by_hand[0] / 5


def smooth(function):
    """The first row of a function where differences tell the gradient."""
    rows = (row for row in rows_of(function) if isinstance(row, Case) and row.differentiable)
    return next((row for row in rows if not isinstance(row, Edge)), None)


DIFFERENTIABLE = [f for f in public().values() if smooth(f) is not None]


@pytest.mark.parametrize("function", DIFFERENTIABLE, ids=lambda f: f.__name__)
def test_D4_gradcheck_of_every_operation(function) -> None:
    """`gradcheck` in float64; every other row of the case tables is in tests/test_cases.py."""
    checks.check_gradient(function, smooth(function))


def test_D4_numerical_differentiation(demo) -> None:
    """The error is of the order δ², and a gradient by differences is autograd's."""
    results = demo("numerical")
    assert min(results["errors"]["float64"]) < 1e-9
    by_autograd, by_differences = results["gradients"]
    np.testing.assert_allclose(by_autograd, by_differences, rtol=0, atol=1e-9)


def test_D4_a_planted_wrong_gradient_is_caught(demo) -> None:
    judged = demo("numerical")["judged"]
    assert judged["tanh"] == "agrees"
    pattern = (
        r"gradcheck: the gradient of input 0 must be (\S+) along a random direction, got (\S+);"
    )
    expected, got = map(float, re.match(pattern, judged["WrongTanh"]).groups())
    assert got == pytest.approx(1.01 * expected, rel=1e-6)


def test_D5_computation_graph(demo, performance) -> None:
    """The lecture's nodes with their values, in files of both kinds."""
    results = demo("graph")
    assert list(results["values"]) == ["x", "w", "z", "a", "L"]
    x, w = np.array(results["values"]["x"]), np.array(results["values"]["w"])
    z = w @ x
    a = 1 / (1 + np.exp(-z))
    got = results["values"]
    assert [got["z"], got["a"], got["L"]] == pytest.approx([z, a, -np.log(a)], rel=1e-6)
    g = results["gradients"]  # dL/da = −1/a, dL/dz = a − 1, dL/dw = (a − 1)·x
    assert [g["a"], g["z"]] == pytest.approx([-1 / a, a - 1], rel=1e-6)
    np.testing.assert_allclose(g["w"], (a - 1) * x, rtol=1e-6)
    assert set(results["two layers"]) == {"X", "W¹", "b¹", "W²", "b²", "Z¹", "A¹", "Z²", "L"}
    files = {path.name: path for path in performance("graph").figures}
    assert files["logistic.png"].read_bytes().startswith(b"\x89PNG")
    picture = ElementTree.parse(files["logistic.svg"]).getroot()
    assert picture.tag.endswith("svg")
    assert files["two_layers.png"].stat().st_size > 10_000


def test_D6_gradient_of_the_input(demo) -> None:
    equal(demo("backpropagation")["layer by layer"], "∂L/∂X")


def test_D7_sums_and_products(demo) -> None:
    names = ("X·W, by X", "X·W, by W", "+ b, by b")
    equal(demo("backpropagation")["sums and products"], *names)
