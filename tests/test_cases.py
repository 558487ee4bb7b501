"""What every public function must satisfy, for every row of its case table (tests/cases/).

Each test is an ordinary function of (function, case), so that tests/test_the_tests.py can hand it a
function with a planted fault and require that it notices.
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
from tests.cases import Case, Invalid, rows
from tests.cases.case import SEED, Array, Edge, normal
from tests.tolerance import EPS, assert_close, of_gradients, of_result

DTYPES = ("float32", "float64")


# --- one call of a case


@dataclass(frozen=True)
class Run:
    """A call, its backward pass, and the raw arrays of both; a gradient is None where there is none."""

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
    """Calls `function` as the case says, and its backward pass with random weights of the result's elements.

    Args:
        arrays: in place of the case's own.
        needs: positions of the array inputs that require a gradient; all that can, if None.
        weights: changes the weights. `inspect`: sees the result before the backward pass.
    """
    arrays = case.arrays(dtype) if arrays is None else list(arrays)
    needs = case.differentiable if needs is None else needs
    tensors = [Tensor(array, backend.cpu, i in needs) for i, array in enumerate(arrays)]
    gpunet.manual_seed(SEED)
    with np.errstate(all="ignore") if isinstance(case, Edge) else nullcontext():
        y = case.call(function, tensors)
        inspect(y)
        drawn = weights(drawn_weights(y))
        if y.requires_grad:
            y.backward(Tensor(drawn, backend.cpu))
    return Run(arrays, y, drawn, [None if x.grad is None else x.grad.array for x in tensors])


def drawn_weights(y: Tensor) -> Array:
    """Weights of the elements of a result, the same at each call."""
    return np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)


def gradients_and_bounds(
    function: Callable[..., Tensor], case: Case, dtype: str
) -> tuple[list[Array], list[float]]:
    """The gradients in float64, and how far those of `dtype` may be off: see tests/tolerance.py."""
    exact = run(function, case, "float64")
    rng = np.random.default_rng(0)

    def rounded(x: Array) -> Array:
        return x * (1 + EPS["float32"] * rng.uniform(-1, 1, x.shape)) if x.dtype.kind == "f" else x

    changed = [
        run(
            function, case, "float64", arrays=[rounded(x) for x in exact.arrays], weights=rounded
        ).gradients
        for _ in range(4)
    ]
    picked = [
        [gradients[i] for i in case.differentiable] for gradients in (exact.gradients, *changed)
    ]
    return picked[0], of_gradients(picked[0], picked[1:], dtype)


def parametrize(
    found: Iterator[tuple[str, Any, Any]], only: Callable[[Any], Any] = lambda row: True
) -> Any:
    picked = [pytest.param(function, row, id=name) for name, function, row in found if only(row)]
    return pytest.mark.parametrize(("function", "case"), picked)


every_case = parametrize(rows(Case))
differentiable = parametrize(rows(Case), lambda case: case.differentiable)
smooth = parametrize(rows(Case), lambda case: case.differentiable and not isinstance(case, Edge))
edges = parametrize(rows(Case), lambda case: isinstance(case, Edge) and case.gradient)


# --- values and gradients


@every_case
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward(function, case, dtype):
    """The result is the oracle's, up to rounding, and of the same shape and dtype."""
    y = run(function, case, dtype, needs=()).result
    expected = case.expected(dtype)
    assert type(y.array) is np.ndarray
    assert y.dtype == expected.dtype
    tolerance = of_result(case, dtype) if y.dtype.kind == "f" else 0
    assert_close(y.array, case.expected("float64"), tolerance, "the result")


@smooth
def test_gradient(function, case):
    """The backward pass agrees with differences of the oracle, along several directions."""
    for direction in range(3):
        inputs = [
            Tensor(x, backend.cpu, i in case.differentiable)
            for i, x in enumerate(case.arrays("float64"))
        ]
        gpunet.manual_seed(SEED)
        random.host.random(direction)  # moves on the stream that directions are drawn from
        gpunet.gradcheck(
            lambda *values: case.call(function, values),
            inputs,
            reference=lambda *values: case.call(case.oracle, values),
        )


@edges
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_at_an_edge(function, case, dtype):
    """Where differences tell nothing, the gradient is the one written down."""
    done = run(function, case, dtype, weights=np.ones_like)
    expected = case.call(case.gradient, done.arrays)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for i, wanted in zip(case.differentiable, expected, strict=True):
        wanted = np.asarray(wanted, "float64")
        scale = np.maximum(np.abs(np.nan_to_num(wanted, posinf=0.0, neginf=0.0)), 1.0)
        assert_close(
            done.gradients[i], wanted, 4 * EPS[dtype] * scale, f"the gradient of array {i}"
        )


@smooth
def test_gradient_in_float32(function, case):
    """Gradients in float32 are those in float64, up to rounding, and of their input's dtype."""
    got = run(function, case, "float32").gradients
    for i, expected, tolerance in zip(
        case.differentiable, *gradients_and_bounds(function, case, "float32"), strict=True
    ):
        assert got[i].dtype == "float32"
        assert_close(got[i], expected, tolerance, f"the gradient of array {i}")


# --- manners


@every_case
def test_purity(function, case):
    """Nothing given to a function changes, and each gradient has memory of its own."""
    before = [x.tobytes() for x in case.arrays("float32")]
    done = run(function, case, "float32")
    assert [x.tobytes() for x in done.arrays] == before, "an input has changed"
    assert done.weights.tobytes() == drawn_weights(done.result).tobytes(), (
        "the gradient of the result has changed"
    )
    gradients = [g for g in done.gradients if g is not None]
    for i, g in enumerate(gradients):
        others = [*done.arrays, done.weights, *gradients[:i]]
        assert not any(np.may_share_memory(g, other) for other in others), (
            "a gradient is another array, too"
        )


LAYOUTS = {
    "fortran": np.asfortranarray,
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: np.flip(np.flip(x).copy()),
}


@parametrize(rows(Case), lambda case: any(x.size > 1 for x in case.arrays("float64")))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strided(function, case, layout):
    """Views of any strides give what contiguous arrays give."""

    def strided(x: Array) -> Array:
        return LAYOUTS[layout](x) if x.ndim else x

    contiguous = run(function, case, "float64")
    done = run(
        function, case, "float64", arrays=[strided(x) for x in contiguous.arrays], weights=strided
    )
    y, tolerance = (
        contiguous.result.array,
        of_result(case, "float64") if contiguous.result.dtype.kind == "f" else 0,
    )
    assert_close(done.result.array, y, tolerance, "the result")
    if isinstance(case, Edge):
        np.testing.assert_equal(done.gradients, contiguous.gradients)
        return
    for i, expected, tolerance in zip(
        case.differentiable, *gradients_and_bounds(function, case, "float64"), strict=True
    ):
        assert_close(done.gradients[i], expected, tolerance, f"the gradient of array {i}")


@every_case
def test_determinism(function, case):
    """The same call gives the same bits."""
    first, second = run(function, case, "float32"), run(function, case, "float32")
    assert first.result.array.tobytes() == second.result.array.tobytes()
    for one, other in zip(first.gradients, second.gradients, strict=True):
        assert one is other is None or one.tobytes() == other.tobytes()


@every_case
def test_recording(function, case):
    """A result is recorded if an input requires a gradient and recording is on; its values are the same."""
    recorded = run(function, case, "float32").result
    assert recorded.requires_grad == bool(case.differentiable)
    plain = run(function, case, "float32", needs=()).result
    assert not plain.requires_grad
    assert plain.is_leaf
    with gpunet.no_grad():
        unrecorded = run(lambda *x, **y: function(*x, **y).detach() + 0, case, "float32").result
    assert not unrecorded.requires_grad
    for other in (plain, unrecorded):
        assert other.array.tobytes() == recorded.array.tobytes()


@differentiable
def test_only_what_is_needed(function, case):
    """A gradient asked for alone is the same; no operation computes one that nobody asked for."""
    together = run(function, case, "float32").gradients
    for i in case.differentiable:
        alone = run(function, case, "float32", needs=[i], inspect=refuse_waste).gradients
        assert [g is not None for g in alone] == [j == i for j in range(len(alone))]
        assert alone[i].tobytes() == together[i].tobytes()


def refuse_waste(y: Tensor) -> None:
    """Makes each operation below `y` fail in its backward pass if it computes a gradient that is not needed."""

    def watch(op: Any) -> None:
        original = op.backward

        def backward(*args: Any) -> Any:
            gradients = original(*args)
            for need, g in zip(
                op.needs, gradients if type(gradients) is tuple else (gradients,), strict=True
            ):
                assert need or g is None, f"{op.name} computes a gradient that is not needed"
            return gradients

        op.backward = backward

    seen, waiting = set(), [y.origin]
    while waiting:
        edge = waiting.pop()
        if type(edge) is tuple and edge[0] not in seen:
            seen.add(edge[0])
            waiting.extend(edge[0].edges)
            watch(edge[0])


# --- what is refused


@parametrize(rows(Invalid))
def test_invalid(function, case):
    """The call is refused with the class and the sentence that the table says."""
    tensors = [Tensor(x, backend.cpu) for x in case.arrays("float64")]
    with pytest.raises(case.error, match=case.message) as caught:
        case.call(function, tensors)
    assert str(caught.value).startswith(f"{function.__name__}: ")


def first_rows() -> Iterator[tuple[str, Any, Case]]:
    """A function's first row with an array of floating values, for what does not depend on the row."""
    seen = set()
    for _, function, case in rows(Case):
        if function not in seen and case.differentiable and not isinstance(case, Edge):
            seen.add(function)
            yield function.__name__, function, case


@parametrize(first_rows())
def test_refuses_arrays(function, case):
    """Raw arrays are no tensors."""
    with pytest.raises(DTypeError, match=f"^{function.__name__}: .* gpunet.Tensor.*, got ndarray"):
        case.call(function, case.arrays("float64"))


@parametrize(first_rows())
def test_dtypes_are_as_documented(function, case):
    """Functions that say which dtypes they take refuse others; the rest take integers."""
    integers = [Tensor(np.ones(x.shape, "int64"), backend.cpu) for x in case.arrays("float64")]
    if "Dtypes:" in function.__doc__:
        with pytest.raises(
            DTypeError, match=f"^{function.__name__}: .*float32 or float64, got int64"
        ):
            case.call(function, integers)
    else:
        assert case.call(function, integers).dtype.kind in "if"


# --- fused


def activations(base: type[Activation] = Activation) -> Iterator[type[Activation]]:
    for activation in base.__subclasses__():
        yield activation
        yield from activations(activation)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (2, 3, 33), (0, 5), (130, 17)], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", list(activations()), ids=lambda a: a.__name__)
def test_fused_activation(activation, bias, shape, dtype):
    """`linear(..., activation=op)` is `linear` and then the activation, to the last bit, as are its gradients."""

    def one_after_the_other(*inputs: Tensor) -> Tensor:
        return apply(activation(), F.linear(*inputs))

    def fused(*inputs: Tensor) -> Tensor:
        return F.linear(*inputs, activation=activation())

    outputs = 1 if shape == (1, 1) else 127
    case = Case(
        F.linear, [normal(*shape), normal(outputs, shape[-1]), normal(outputs) if bias else None]
    )
    plain, together = run(one_after_the_other, case, dtype), run(fused, case, dtype)
    assert plain.result.array.tobytes() == together.result.array.tobytes()
    for one, other in zip(plain.gradients, together.gradients, strict=True):
        assert one.tobytes() == other.tobytes()
