"""What every public function must satisfy, at every row of its case table (tests/cases/).

Each test is an ordinary function of (function, case), so that tests/test_the_tests.py can hand it a
function with a planted fault and require that it is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet import functional as F
from gpunet.autograd import Tensor, apply
from gpunet.backend.random import random
from gpunet.errors import DTypeError
from gpunet.functional.activation import Activation
from tests.cases import Case, rows
from tests.cases.case import SEED, Array, Edge, Invalid, Row, normal
from tests.tolerance import EPS, assert_close, of_gradient, of_result

DTYPES = ("float32", "float64")


# --- one call of a row


@dataclass(frozen=True)
class Run:
    """A call and its backward pass as raw arrays; a gradient is None where there is none."""

    arrays: list[Array]
    result: Tensor
    weights: Array
    gradients: list[Array | None]


def run(
    function: Callable[..., Tensor],
    case: Case,
    dtype: str,
    *,
    arrays: Sequence[Array] | None = None,
    needs: Sequence[int] | None = None,
    weights: Callable[[Array], Array] = lambda drawn: drawn,
    inspect: Callable[[Tensor], None] = lambda y: None,
) -> Run:
    """Calls `function`, and its backward pass with random weights of the elements of the result.

    Args:
        arrays: in place of the case's own.
        needs: positions of the arrays that require a gradient; all that can have one if None.
        weights: changes the weights. inspect: sees the result before the backward pass.
    """
    arrays = case.arrays(dtype) if arrays is None else list(arrays)
    needs = case.differentiable if needs is None else needs
    tensors = [Tensor(x, backend.cpu, i in needs) for i, x in enumerate(arrays)]
    gpunet.manual_seed(SEED)
    with np.errstate(all="ignore") if isinstance(case, Edge) else nullcontext():
        y = case.call(function, tensors)
        inspect(y)
        w = weights(drawn_weights(y))
        if y.requires_grad:
            y.backward(Tensor(w, backend.cpu))
    return Run(arrays, y, w, [None if x.grad is None else x.grad.array for x in tensors])


def drawn_weights(y: Tensor) -> Array:
    """Weights of the elements of a result, the same at each call."""
    return np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)


def bounded_gradients(
    function: Callable[..., Tensor], case: Case, dtype: str
) -> Iterator[tuple[int, Array, float]]:
    """Position, value in float64 and, for one computed in `dtype`, bound of each gradient."""
    rng = np.random.default_rng(0)

    def rounded(x: Array) -> Array:
        return x * (1 + EPS["float32"] * rng.uniform(-1, 1, x.shape)) if x.dtype.kind == "f" else x

    def rounded_run() -> Run:
        arrays = [rounded(x) for x in exact.arrays]
        return run(function, case, "float64", arrays=arrays, weights=rounded)

    exact = run(function, case, "float64")
    near = [rounded_run().gradients for _ in range(4)]
    for i in case.differentiable:
        g = exact.gradients[i]
        yield i, g, of_gradient(g, [gradients[i] for gradients in near], exact.weights, dtype)


def parametrize(kind: type[Row], only: Callable[[Any], Any] = lambda row: True) -> Any:
    """Runs a test at each row of a kind for which `only` is true."""
    found = [(function, row, name) for name, function, row in rows(kind) if only(row)]
    return pytest.mark.parametrize(
        ("function", "case"),
        [pytest.param(function, row, id=name) for function, row, name in found],
    )


def is_smooth(case: Case) -> bool:
    return bool(case.differentiable) and not isinstance(case, Edge)


# --- values and gradients


@parametrize(Case)
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward(function, case, dtype):
    """The result is the oracle's up to rounding, and an array of its shape and dtype."""
    y = run(function, case, dtype, needs=()).result.array
    assert type(y) is np.ndarray
    assert y.dtype == case.expected(dtype).dtype
    assert_close(y, case.expected("float64"), of_result(case, dtype), "the result")


@parametrize(Case, is_smooth)
def test_gradient(function, case):
    """The backward pass agrees with differences of the oracle along several directions."""
    for direction in range(3):
        arrays = enumerate(case.arrays("float64"))
        inputs = [Tensor(x, backend.cpu, i in case.differentiable) for i, x in arrays]
        gpunet.manual_seed(SEED)
        random.host.random(direction)  # directions are drawn from this stream; moves it on
        gpunet.gradcheck(
            lambda *values: case.call(function, values),
            inputs,
            reference=lambda *values: case.answer(values),
        )


@parametrize(Edge, lambda case: case.gradient)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_at_an_edge(function, case, dtype):
    """Where differences tell nothing, the gradient is the one written down."""
    done = run(function, case, dtype, weights=np.ones_like)
    gradients = case.call(case.gradient, done.arrays)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for i, expected in zip(case.differentiable, gradients, strict=True):
        size = np.abs(np.nan_to_num(expected, posinf=0.0, neginf=0.0))
        tolerance = 4 * EPS[dtype] * np.maximum(size, 1.0)
        assert_close(done.gradients[i], expected, tolerance, f"the gradient of array {i}")


@parametrize(Case, is_smooth)
def test_gradient_in_float32(function, case):
    """Gradients in float32 are those in float64 up to rounding, and arrays of float32."""
    got = run(function, case, "float32").gradients
    for i, expected, tolerance in bounded_gradients(function, case, "float32"):
        assert type(got[i]) is np.ndarray
        assert got[i].dtype == "float32"
        assert_close(got[i], expected, tolerance, f"the gradient of array {i}")


# --- manners


@parametrize(Case)
def test_purity(function, case):
    """Nothing that a function is given changes, and each gradient has memory of its own."""
    done = run(function, case, "float32")
    for x, before in zip(done.arrays, case.arrays("float32"), strict=True):
        assert x.tobytes() == before.tobytes(), "an input has changed"
    assert done.weights.tobytes() == drawn_weights(done.result).tobytes(), (
        "the weights have changed"
    )
    others = [*done.arrays, done.weights, done.result.array]
    for g in done.gradients:
        if g is not None:
            assert not any(np.may_share_memory(g, other) for other in others), "gradient is shared"
            others.append(g)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: np.flip(np.flip(x).copy()),
}


@parametrize(Case, lambda case: any(x.size > 1 for x in case.arrays("float64")))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strided(function, case, layout):
    """Views with any strides give what contiguous arrays give."""

    def strided(x: Array) -> Array:
        return LAYOUTS[layout](x) if x.ndim else x

    plain = run(function, case, "float64")
    views = [strided(x) for x in plain.arrays]
    done = run(function, case, "float64", arrays=views, weights=strided)
    assert_close(
        done.result.array, plain.result.array, of_result(case, "float64"), "the result of views"
    )
    if isinstance(case, Edge):
        np.testing.assert_equal(done.gradients, plain.gradients)
        return
    for i, expected, tolerance in bounded_gradients(function, case, "float64"):
        assert_close(done.gradients[i], expected, tolerance, f"the gradient of view {i}")


@parametrize(Case)
def test_determinism(function, case):
    """The same call gives the same bits."""
    first, second = run(function, case, "float32"), run(function, case, "float32")
    assert first.result.array.tobytes() == second.result.array.tobytes()
    for one, other in zip(first.gradients, second.gradients, strict=True):
        assert one is other is None or one.tobytes() == other.tobytes()


@parametrize(Case)
def test_recording(function, case):
    """A result is recorded if an input requires a gradient and recording is on."""
    recorded = run(function, case, "float32").result
    assert recorded.requires_grad == bool(case.differentiable)
    plain = run(function, case, "float32", needs=()).result
    assert not plain.requires_grad
    with gpunet.no_grad():
        unrecorded = run(function, case, "float32").result
    for y in (plain, unrecorded):
        assert y.is_leaf
        assert y.array.tobytes() == recorded.array.tobytes()


@parametrize(Case, lambda case: case.differentiable)
def test_only_what_is_needed(function, case):
    """A gradient asked for alone is the same, and none is computed that nobody asked for."""
    together = run(function, case, "float32").gradients
    for i in case.differentiable:
        alone = run(function, case, "float32", needs=[i], inspect=refuse_waste).gradients
        assert [g is not None for g in alone] == [j == i for j in range(len(alone))]
        assert alone[i].tobytes() == together[i].tobytes()


def refuse_waste(y: Tensor) -> None:
    """Makes operations below `y` fail in the backward pass if they compute what is not needed."""

    def watched(op: Any, backward: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*args: Any) -> Any:
            gradients = backward(*args)
            each = gradients if type(gradients) is tuple else (gradients,)
            for need, g in zip(op.needs, each, strict=True):
                assert need or g is None, f"{op.name} computes a gradient that is not needed"
            return gradients

        return watch

    seen, edges = set(), [y.origin]
    while edges:
        edge = edges.pop()
        if type(edge) is tuple and edge[0] not in seen:
            op = edge[0]
            seen.add(op)
            edges.extend(op.edges)
            op.backward = watched(op, op.backward)


# --- what is refused


@parametrize(Invalid)
def test_invalid(function, case):
    """A wrong call is refused with the class and the words that the table says."""
    tensors = [Tensor(x, backend.cpu) for x in case.arrays("float64")]
    with pytest.raises(case.error) as caught:
        case.call(function, tensors)
    assert str(caught.value).startswith(f"{function.__name__}: ")
    assert case.message in str(caught.value)


def one_row_each() -> Any:
    """Runs a test at one row a function, of enough elements that nothing hides behind a zero."""
    first: dict[Any, Any] = {}
    for _, function, case in rows(Case):
        if is_smooth(case) and case.arrays("float64")[0].size >= 20:
            first.setdefault(function, pytest.param(function, case, id=function.__name__))
    return pytest.mark.parametrize(("function", "case"), list(first.values()))


@one_row_each()
def test_raw_arrays_are_refused(function, case):
    """A raw array is no tensor: its device and its history are not known."""
    with pytest.raises(DTypeError, match=f"^{function.__name__}: .* gpunet.Tensor.*, got ndarray"):
        case.call(function, case.arrays("float64"))


@one_row_each()
def test_dtypes_are_as_documented(function, case):
    """Functions whose text says which dtypes they take refuse integers; the others take them."""
    integers = [Tensor(np.ones(x.shape, int), backend.cpu) for x in case.arrays("float64")]
    if "Dtypes:" in function.__doc__:
        with pytest.raises(DTypeError, match=f"^{function.__name__}: .*, got int64"):
            case.call(function, integers)
    else:
        assert case.call(function, integers).dtype.kind in "if"


# --- fused


def activations(base: type[Activation] = Activation) -> Iterator[type[Activation]]:
    """Every activation there is."""
    for activation in base.__subclasses__():
        yield activation
        yield from activations(activation)


@pytest.mark.parametrize("dtype", DTYPES)
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
    plain, together = run(one_after_the_other, case, dtype), run(fused, case, dtype)
    assert together.result.array.tobytes() == plain.result.array.tobytes()
    for got, expected in zip(together.gradients, plain.gradients, strict=True):
        assert got.tobytes() == expected.tobytes()
