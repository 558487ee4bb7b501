"""What every public function must satisfy at every row of its case table (tests/cases/).

Each check is an ordinary function of (function, row), so that tests/test_the_tests.py can hand it a
function with a planted fault and require that it is noticed. tests/test_cases.py calls all of them.
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
from gpunet.autograd import Tensor, engine
from gpunet.backend.cpu import CPUBackend
from gpunet.backend.random import random
from gpunet.errors import DeviceError, DTypeError
from tests.cases.case import SEED, Array, Case, Draw, Edge, Invalid, is_real
from tests.tolerance import EPS, assert_close, of_gradient, of_results

Function = Callable[..., Any]

ELSEWHERE = CPUBackend()  # a second device, as far as an operation can tell
ELSEWHERE.device = "cuda:7"


# --- one call of a row


@dataclass(frozen=True)
class Run:
    """A call and its backward pass; a gradient is None where there is none.

    `weights` are those of the floating results, in order.
    """

    arrays: list[Array]
    results: tuple[Tensor, ...]
    weights: list[Array]
    gradients: list[Array | None]


def run(
    function: Function,
    case: Case,
    dtype: str,
    *,
    arrays: Sequence[Array] | None = None,
    needs: Sequence[int] | None = None,
    weights: Callable[[Array], Array] = lambda drawn: drawn,
    inspect: Callable[[Tensor], None] = lambda y: None,
) -> Run:
    """Calls `function`, and its backward pass with random weights of the elements of the results.

    Args:
        arrays: in place of the case's own.
        needs: positions of the arrays that require a gradient; all that can have one if None.
        weights: changes the weights. inspect: sees each result before the backward pass.
    """
    arrays = case.arrays(dtype) if arrays is None else list(arrays)
    needs = case.differentiable if needs is None else needs
    tensors = [Tensor(x, backend.cpu, i in needs) for i, x in enumerate(arrays)]
    gpunet.manual_seed(SEED)
    with np.errstate(all="ignore") if isinstance(case, Edge) else nullcontext():
        results = case.call(function, tensors)
        results = tuple(map(_tensor, results if isinstance(results, tuple) else (results,)))
        for y in results:
            inspect(y)
        weighted = [(y, weights(drawn_weights(y))) for y in results if y.is_floating_point()]
        roots = [(y, w) for y, w in weighted if y.requires_grad]
        if roots:
            engine.backward([y.origin or y for y, _ in roots], [w for _, w in roots])
    gradients = [None if x.grad is None else x.grad.array for x in tensors]
    return Run(arrays, results, [w for _, w in weighted], gradients)


def _tensor(y: Any) -> Tensor:
    """A result; one bool, say, as a tensor, too."""
    return y if isinstance(y, Tensor) else Tensor(np.asarray(y), backend.cpu)


def drawn_weights(y: Tensor) -> Array:
    """Weights of the elements of a result, the same at each call."""
    return np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)


def bounded_gradients(
    function: Function, case: Case, dtype: str
) -> Iterator[tuple[int, Array, float]]:
    """Position, value in float64 and, for one computed in `dtype`, bound of each gradient."""
    rng = np.random.default_rng(0)

    def exactly(x: Array) -> Array:
        return x.astype(dtype).astype("float64") if is_real(x) else x

    def nearly(x: Array) -> Array:
        x = exactly(x)
        if not is_real(x):
            return x
        return x * (1 + EPS["float32"] * rng.uniform(-1, 1, x.shape))

    def gradients(changed: Callable[[Array], Array]) -> Run:
        arrays = [changed(x) for x in case.arrays("float64")]
        return run(function, case, "float64", arrays=arrays, weights=changed)

    exact, near = gradients(exactly), [gradients(nearly).gradients for _ in range(2)]
    for i in case.differentiable:
        g = exact.gradients[i]
        assert g is not None
        yield i, g, of_gradient(g, [there[i] for there in near], exact.weights, dtype)  # type: ignore[misc]


# --- values and gradients


def check_forward(function: Function, case: Case, dtype: str) -> None:
    """Each result is the oracle's up to rounding, and an array of its shape and dtype."""
    results = run(function, case, dtype, needs=()).results
    if not any(is_real(x) for x in case.arrays(dtype)):
        dtype = "float32"  # what whole numbers become where a result is real
    own = "float16" if dtype == "bfloat16" else dtype  # oracles need not know what NumPy does not
    expected, kinds = case.expected(dtype, "float64"), case.expected(dtype, own)
    assert len(results) == len(expected), f"{len(results)} results instead of {len(expected)}"
    for y, exact, kind, tolerance in zip(
        results, expected, kinds, of_results(case, dtype), strict=True
    ):
        assert type(y.array) is np.ndarray
        wanted = (case.always or dtype) if is_real(kind) else kind.dtype
        assert y.dtype == wanted, f"the result is {y.dtype}, not {wanted}"
        assert_close(y.array, exact, tolerance, "the result")


def check_gradient(function: Function, case: Case) -> None:
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


def check_gradient_at_an_edge(function: Function, case: Edge, dtype: str) -> None:
    """Where differences tell nothing, the gradient is the one written down."""
    assert case.gradient is not None
    done = run(function, case, dtype, weights=np.ones_like)
    gradients = case.call(case.gradient, done.arrays)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for i, expected in zip(case.differentiable, gradients, strict=True):
        size = np.abs(np.nan_to_num(expected, posinf=0.0, neginf=0.0))
        tolerance = 4 * EPS[dtype] * np.maximum(size, 1.0)
        assert_close(done.gradients[i], expected, tolerance, f"the gradient of array {i}")


def check_rounded_gradient(function: Function, case: Case, dtype: str) -> None:
    """Gradients in a short dtype are those in float64 up to rounding, and arrays of that dtype."""
    got = run(function, case, dtype).gradients
    for i, expected, tolerance in bounded_gradients(function, case, dtype):
        assert type(got[i]) is np.ndarray
        assert got[i].dtype == dtype, f"the gradient of array {i} is {got[i].dtype}"
        assert_close(got[i], expected, tolerance, f"the gradient of array {i}")


# --- manners


def check_purity(function: Function, case: Case) -> None:
    """Nothing that a function is given changes, and each gradient has memory of its own."""
    done = run(function, case, "float32")
    for x, before in zip(done.arrays, case.arrays("float32"), strict=True):
        assert x.tobytes() == before.tobytes(), "an input has changed"
    floating = [y for y in done.results if y.is_floating_point()]
    for y, w in zip(floating, done.weights, strict=True):
        assert w.tobytes() == drawn_weights(y).tobytes(), "the weights have changed"
    others = [*done.arrays, *done.weights, *(y.array for y in done.results)]
    for g in done.gradients:
        if g is not None:
            assert not any(np.may_share_memory(g, other) for other in others), "gradient is shared"
            others.append(g)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": np.asfortranarray,
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: np.flip(np.flip(x).copy()),
}


# Units in the last place by which NumPy's functions may be off: on processors with AVX-512 it has
# other ones for arrays that lie in order than for those with negative strides.
NUMPY = 4


def check_strided(function: Function, case: Case) -> None:
    """Views with any strides give what contiguous arrays give."""
    plain, bounds = run(function, case, "float64"), of_results(case, "float64")
    gradients = [] if isinstance(case, Edge) else list(bounded_gradients(function, case, "float64"))
    for name, layout in LAYOUTS.items():

        def strided(x: Array, layout: Callable[[Array], Array] = layout) -> Array:
            return layout(x) if x.ndim else x

        views = [strided(x) for x in plain.arrays]
        done = run(function, case, "float64", arrays=views, weights=strided)
        for y, expected, tolerance in zip(done.results, plain.results, bounds, strict=True):
            assert_close(y.array, expected.array, tolerance, f"the result of {name} views")
        for i, g, tolerance in gradients:
            assert_close(done.gradients[i], g, tolerance, f"the gradient of {name} view {i}")
        if isinstance(case, Edge):
            for i in case.differentiable:
                g, expected = done.gradients[i], plain.gradients[i]
                np.testing.assert_allclose(g, expected, rtol=NUMPY * EPS["float64"], atol=0)


def check_determinism(function: Function, case: Case) -> None:
    """The same call gives the same bits."""
    first, second = run(function, case, "float32"), run(function, case, "float32")
    for one, other in zip(first.results, second.results, strict=True):
        assert one.array.tobytes() == other.array.tobytes()
    for g, h in zip(first.gradients, second.gradients, strict=True):
        assert g is h is None or (g is not None and h is not None and g.tobytes() == h.tobytes())


def check_recording(function: Function, case: Case) -> None:
    """Floating results are recorded if an input requires a gradient and recording is on."""
    recorded = run(function, case, "float32").results
    plain = run(function, case, "float32", needs=()).results
    with gpunet.no_grad():
        unrecorded = run(function, case, "float32").results
    for y, *others in zip(recorded, plain, unrecorded, strict=True):
        assert y.requires_grad == bool(case.differentiable and y.is_floating_point())
        assert not others[0].requires_grad
        for other in others:
            assert other.is_leaf
            assert other.array.tobytes() == y.array.tobytes()


def check_only_what_is_needed(function: Function, case: Case) -> None:
    """A gradient asked for alone is the same, and none is computed that nobody asked for."""
    together = run(function, case, "float32").gradients
    for i in case.differentiable:
        alone = run(function, case, "float32", needs=[i], inspect=refuse_waste).gradients
        assert [g is not None for g in alone] == [j == i for j in range(len(alone))]
        assert alone[i].tobytes() == together[i].tobytes()  # type: ignore[union-attr]


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

    seen: set[Any] = set()
    edges: list[Any] = [y.origin]
    while edges:
        edge = edges.pop()
        if type(edge) is tuple and edge[0] not in seen:
            op = edge[0]
            seen.add(op)
            edges.extend(op.edges)
            op.backward = watched(op, op.backward)


# --- what is refused


def check_refusal(function: Function, case: Invalid) -> None:
    """A wrong call is refused with the class and the words that the table says."""
    tensors = [Tensor(x, backend.cpu) for x in case.arrays("float64")]
    with pytest.raises(case.error) as caught:
        case.call(function, tensors)
    assert str(caught.value).startswith(f"{function.__name__}: "), str(caught.value)
    assert case.message in str(caught.value), str(caught.value)


def check_mixed_devices(function: Function, case: Case) -> None:
    """Each tensor that is not where the others are is refused, in the methods in place, too."""
    arrays = case.arrays("float64")
    in_place = in_place_forms(function) if isinstance(case.inputs[0], Draw) else []
    for form in (function, *in_place):
        for alone in range(len(arrays)):
            homes = [ELSEWHERE if i == alone else backend.cpu for i in range(len(arrays))]
            try:
                case.call(form, list(map(Tensor, arrays, homes)))
            except DeviceError as error:
                text = str(error)
                assert text.startswith(f"{function.__name__}: all tensors must be on one dev"), text
                assert {"cpu", "cuda:7"} <= set(text.split()), text
            else:
                pytest.fail(f"{form.__name__} takes array {alone} from another device")


def in_place_forms(function: Function) -> list[Function]:
    """The methods that write what a function computes into the tensor itself."""
    methods = {f for f in vars(Tensor).values() if getattr(f, "__wrapped__", None) is function}
    return sorted(methods, key=lambda f: f.__name__)


def check_that_raw_arrays_are_refused(function: Function, case: Case) -> None:
    """A raw array is no tensor: its device and its history are not known."""
    with pytest.raises(DTypeError, match=f"^{function.__name__}: .* gpunet.Tensor.*, got ndarray"):
        case.call(function, case.arrays("float64"))


def check_dtypes(function: Function, case: Case) -> None:
    """Functions whose text says which dtypes they take refuse integers; the others take them."""
    drawn = case.arrays("float64")
    whole = [np.ones(x.shape, int) if is_real(x) else x for x in drawn]
    integers = [Tensor(x, backend.cpu) for x in whole]
    if "Dtypes:" in (function.__doc__ or ""):
        with pytest.raises(DTypeError, match=f"^{function.__name__}: .*, got int64"):
            case.call(function, integers)
    else:
        with np.errstate(all="ignore"):  # 1 may be a pole
            results = case.call(function, integers)
        for y in results if isinstance(results, tuple) else (results,):
            assert is_real(y) or y.dtype.kind in "bi"
