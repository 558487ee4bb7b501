"""Every check of tests/checks.py, for every public function, at every row of its case table.

One test is one check of one function; what it says when it fails begins with the row, written like
the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gpunet import functional as F
from gpunet.autograd import Tensor, apply
from gpunet.functional.activation import Activation
from tests import checks
from tests.cases import public, rows_of
from tests.cases.case import Case, Edge, Invalid, normal
from tests.tolerance import EPS

HALVES = ("bfloat16", "float16")
DTYPES = (*HALVES, "float32", "float64")


def is_smooth(row: Any) -> bool:
    """Whether differences tell the gradient."""
    return isinstance(row, Case) and not isinstance(row, Edge) and bool(row.differentiable)


def takes_half(function: Any, row: Any) -> bool:
    """Whether a row is for halves, too: edges are given in the numbers of the longer dtypes."""
    if isinstance(row, Edge):
        return False
    documented = (function.__doc__ or "").partition("Dtypes:")[2]
    return not documented or documented.lstrip().startswith("floating")


def tried(function: Any, row: Any, dtype: str) -> bool:
    return isinstance(row, Case) and (dtype not in HALVES or takes_half(function, row))


def has_several_elements(row: Any) -> bool:
    return isinstance(row, Case) and any(x.size > 1 for x in row.arrays("float64"))


def representative(function: Any) -> Any:
    """A smooth row of enough elements that nothing hides behind a zero, if there is one."""
    smooth = [row for row in rows_of(function) if is_smooth(row)]
    return next((row for row in smooth if row.arrays("float64")[0].size >= 20), None)


def at_every_row(
    check: Callable[..., None], function: Any, fits: Callable[[Any], bool], *more: Any
) -> None:
    """Calls a check at each row of a function that fits; a failure begins with the row."""
    for row in rows_of(function):
        if fits(row):
            try:
                check(function, row, *more)
            except (Exception, pytest.fail.Exception) as failure:
                raise AssertionError(f"{function.__name__}({row}): {failure}") from failure


every_function = pytest.mark.parametrize("function", public().values(), ids=lambda f: f.__name__)


@every_function
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward(function, dtype):
    at_every_row(checks.check_forward, function, lambda r: tried(function, r, dtype), dtype)


@every_function
def test_gradient(function):
    at_every_row(checks.check_gradient, function, is_smooth)


@every_function
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_at_an_edge(function, dtype):
    def known(row: Any) -> bool:
        return isinstance(row, Edge) and row.gradient is not None

    at_every_row(checks.check_gradient_at_an_edge, function, known, dtype)


@every_function
@pytest.mark.parametrize("dtype", [*HALVES, "float32"])
def test_rounded_gradient(function, dtype):
    def fits(row: Any) -> bool:
        return is_smooth(row) and tried(function, row, dtype)

    at_every_row(checks.check_rounded_gradient, function, fits, dtype)


@every_function
@pytest.mark.parametrize(
    "check",
    [
        checks.check_purity,
        checks.check_determinism,
        checks.check_recording,
    ],
    ids=lambda check: check.__name__.removeprefix("check_"),
)
def test_manners(function, check):
    at_every_row(check, function, lambda row: isinstance(row, Case))


@every_function
def test_strided(function):
    at_every_row(checks.check_strided, function, has_several_elements)


@every_function
def test_only_what_is_needed(function):
    def differentiable(row: Any) -> bool:
        return isinstance(row, Case) and bool(row.differentiable)

    at_every_row(checks.check_only_what_is_needed, function, differentiable)


@every_function
def test_refusal(function):
    at_every_row(checks.check_refusal, function, lambda row: isinstance(row, Invalid))


def takes_several(row: Any) -> bool:
    return isinstance(row, Case) and len(row.draws) > 1


@pytest.mark.parametrize(
    "function",
    [f for f in public().values() if any(map(takes_several, rows_of(f)))],
    ids=lambda f: f.__name__,
)
def test_mixed_devices(function):
    at_every_row(checks.check_mixed_devices, function, takes_several)


@every_function
@pytest.mark.parametrize(
    "check", [checks.check_that_raw_arrays_are_refused, checks.check_dtypes], ids=["raw", "dtypes"]
)
def test_types(function, check):
    row = representative(function)
    if row is not None:
        check(function, row)


# --- fused


def activations(base: type[Activation] = Activation) -> Iterator[type[Activation]]:
    """Every activation there is."""
    for activation in base.__subclasses__():
        yield activation
        yield from activations(activation)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (2, 3, 33), (0, 5), (130, 17)], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", list(activations()), ids=lambda a: a.__name__)
def test_fused_activation(activation, bias, shape, dtype):
    """`linear(..., activation=op)` is `linear`, then `op`, to the last bit; so are gradients."""

    def one_after_the_other(*inputs: Tensor) -> Tensor:
        return apply(activation(), F.linear(*inputs))

    def fused(*inputs: Tensor) -> Tensor:
        return F.linear(*inputs, activation=activation())

    outputs = 127 if shape == (130, 17) else 5
    weight, b = normal(outputs, shape[-1]), normal(outputs) if bias else None
    case = Case(F.linear, [normal(*shape), weight, b])
    plain = checks.run(one_after_the_other, case, dtype)
    together = checks.run(fused, case, dtype)
    assert together.results[0].array.tobytes() == plain.results[0].array.tobytes()
    for got, expected in zip(together.gradients, plain.gradients, strict=True):
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", list(activations()), ids=lambda a: a.__name__)
def test_fused_bias(activation, dtype):
    """`apply(op, x, bias)` is `op` of x + bias to the last bit, and so is the gradient of x."""
    case = Case(F.add, [normal(31, 33), normal(33)])
    plain = checks.run(lambda x, b: apply(activation(), x + b), case, dtype)
    together = checks.run(lambda x, b: apply(activation(), x, b), case, dtype)
    assert together.results[0].array.tobytes() == plain.results[0].array.tobytes()
    (gx, gb), (expected, _) = together.gradients, plain.gradients
    assert gx.tobytes() == expected.tobytes()
    exact = expected.sum(0, dtype="float64")
    assert np.abs(gb - exact).max() <= 31 * EPS[dtype] * np.abs(expected).sum(0).max()
