"""kernels/elementwise.cu, executed: every function is NumPy's, to the bit where it is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gpunet.backend.cuda import source
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
# IEEE 754 rounds these once; a result of float64 that is then rounded is the same, because it has
# more than twice the digits.
EXACT = ("negative", "absolute", "square", "reciprocal", "sqrt")
UNARY = (*EXACT, "exp", "log")
NUMBER = -1.5  # a value of every dtype


@dataclass(frozen=True)
class Case:
    """Size and launch; `misaligned` arrays take the path of single elements."""

    n: int
    blocks: int = 1
    threads: int = 32
    misaligned: bool = False


CASES = (
    Case(0),
    Case(1),
    Case(7),
    Case(31, blocks=2),
    Case(33, misaligned=True),
    Case(64, blocks=2, misaligned=True),
    Case(257),
    Case(1000, blocks=3, threads=64),
)
# Which operands are arrays; a number stands in for the other one.
OPERANDS = {"arrays": (True, True), "number, array": (False, True), "array, number": (True, False)}


def numbers(seed: int, n: int, low: float = -4) -> Array:
    return np.random.default_rng(seed).uniform(low, 4, n)


def run(name: str, dtype: DType, case: Case, *operands: Array | None, number: Any = ()) -> Array:
    def program(device: Device) -> Array:
        given = [None if x is None else device.array(x, not case.misaligned) for x in operands]
        z = device.empty((case.n,), dtype.storage, not case.misaligned)
        kernel = build.load("elementwise", dtype)[f"{name}_fwd"]
        device.launch(kernel, case.blocks, case.threads, *given, z, case.n, *number)
        return z

    return everywhere(program)


def rounded(name: str, dtype: DType, *operands: Any) -> Array:
    """NumPy's result of float64, in the dtype."""
    with np.errstate(all="ignore"):
        return dtype.encode(getattr(np, name)(*operands))


def assert_same(actual: Array, expected: Array, dtype: DType) -> None:
    """The same values, NaN and the signs of zeros among them."""
    actual, expected = dtype.decode(actual), dtype.decode(expected)
    np.testing.assert_array_equal(actual, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual[known]), np.signbit(expected[known]))


def binary(name: str, dtype: DType, case: Case, which: tuple[bool, bool], x: Any, y: Any) -> None:
    """Compares a kernel of two operands with NumPy."""
    there = [values if array else None for values, array in zip((x, y), which, strict=True)]
    z = run(name, dtype, case, *there, number=(NUMBER,))
    exact = [NUMBER if values is None else dtype.decode(values) for values in there]
    assert_same(z, rounded(name, dtype, *exact), dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name: str, operands: str, dtype: DType, case: Case) -> None:
    x, y = (dtype.encode(numbers(seed, case.n)) for seed in (1, 2))
    binary(name, dtype, case, OPERANDS[operands], x, y)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name: str, dtype: DType, case: Case) -> None:
    x = dtype.encode(numbers(3, case.n, 0.25 if name in ("sqrt", "log") else -4))
    z = run(name, dtype, case, x)
    if name in EXACT:
        assert_same(z, rounded(name, dtype, dtype.decode(x)), dtype)
    else:
        assert_close(z, getattr(np, name), dtype, x)


EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("name", BINARY)
def test_zeros_infinities_and_nan_of_two_operands(name: str, operands: str, dtype: DType) -> None:
    pairs = [np.ravel(each) for each in np.meshgrid(EDGES, EDGES)]
    if name in ("maximum", "minimum"):  # of 0 and -0 NumPy takes either
        either = (pairs[0] == 0) & (pairs[1] == 0) & (np.signbit(pairs[0]) != np.signbit(pairs[1]))
        pairs = [each[~either] for each in pairs]
    x, y = map(dtype.encode, pairs)
    binary(name, dtype, Case(x.size), OPERANDS[operands], x, y)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_zeros_infinities_and_nan_of_one_operand(name: str, dtype: DType) -> None:
    edges = np.delete(EDGES, [2, 3]) if name == "exp" else EDGES  # e is not exact
    x = dtype.encode(edges)
    z = run(name, dtype, Case(x.size), x)
    assert_same(z, rounded(name, dtype, dtype.decode(x)), dtype)


@pytest.mark.parametrize("name", ["exp", "log"])
def test_small_results_keep_their_digits(name: str) -> None:
    x = (np.linspace(-80, 0, 50) if name == "exp" else 1 + np.geomspace(1e-6, 1, 50)).astype("f4")
    exact = getattr(np, name)(x.astype(np.float64))
    z = run(name, FLOAT32, Case(x.size), x)
    np.testing.assert_allclose(z, exact, rtol=2 * FLOAT32.epsilon, atol=0)


@pytest.mark.parametrize("place", [0, 1], ids=["x", "y"])
def test_output_may_be_an_operand(place: int) -> None:
    kernels = build.load("elementwise", FLOAT32)
    x, y = (numbers(seed, 77).astype(np.float32) for seed in (4, 5))

    def in_place(device: Device) -> tuple[Array, Array]:
        given = [device.array(x), device.array(y)]
        device.launch(kernels["divide_fwd"], 2, 32, *given, given[place], 77, 0.0)
        device.launch(kernels["negative_fwd"], 2, 32, given[1 - place], given[1 - place], 77)
        return given[place], given[1 - place]

    quotient, opposite = everywhere(in_place)
    np.testing.assert_array_equal(quotient, x / y)
    np.testing.assert_array_equal(opposite, -(y, x)[place])


def test_every_kernel_of_the_file_is_tested() -> None:
    tested = {f"{name}_fwd" for name in (*BINARY, *UNARY)}
    assert tested == set(source.signatures(source.text("elementwise")))
