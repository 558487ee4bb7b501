"""The tests, tested: each check is handed a fault, and must notice it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet.autograd import Op, Tensor, apply
from gpunet.errors import GradError, ShapeError
from gpunet.functional.activation import ReLU
from gpunet.functional.check import shape_error
from tests import checks, conftest, tolerance
from tests import test_cases as generated
from tests import test_public as sources
from tests.cases import public, rows_of, tables
from tests.cases.case import Case, Edge, Invalid, exactly, normal

# --- a wrong number in any function and any kernel


def slightly_off(x: Any) -> Any:
    """`x` with its last element off by 1e-5 of the largest."""
    x = x.copy()
    x[(-1,) * x.ndim] += 1e-5 * max(1.0, np.abs(x).max())
    return x


def one_row_each() -> Any:
    """Runs a test at one row a function."""
    found = {function: generated.representative(function) for function in public().values()}
    return pytest.mark.parametrize(
        ("function", "case"),
        [pytest.param(f, row, id=f.__name__) for f, row in found.items() if row is not None],
    )


def changed_last(results: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The results of a function with the last floating one changed."""
    several = list(results) if isinstance(results, tuple) else [results]
    last = max(i for i, y in enumerate(several) if y.is_floating_point())
    several[last] = change(several[last])
    return tuple(several) if isinstance(results, tuple) else several[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@one_row_each()
def test_wrong_value_of_a_function(function, case, dtype):
    def spoil(y: Tensor) -> Tensor:
        return Tensor(slightly_off(y.array), y.backend)

    def wrong(*args: Any, **kwargs: Any) -> Any:
        return changed_last(function(*args, **kwargs), spoil)

    with pytest.raises(AssertionError, match="the result is"):
        checks.check_forward(wrong, case, dtype)


@one_row_each()
def test_wrong_gradient_of_a_function(function, case):
    skew = planted(forward=lambda x: x + 0, backward=lambda g: g * (2.001 / 2))
    with pytest.raises(GradError, match=r"must be .* along a random direction"):
        checks.check_gradient(
            lambda *args, **kwargs: changed_last(function(*args, **kwargs), skew), case
        )


# Kernels with a result. What one does in place, no row of a table sees: tests/nn does.
IN_PLACE = {("normalization", "running_stats")}
KERNELS = sorted(set(sources.kernels_called_in(sources.PACKAGE / "functional")) - IN_PLACE)


def replace(patch: pytest.MonkeyPatch, kernel: tuple[str, str], change: Any) -> None:
    """Puts `change(kernel)` in the place of a CPU kernel."""
    module = importlib.import_module(f"gpunet.backend.cpu.{kernel[0]}")
    patch.setattr(module, kernel[1], change(getattr(module, kernel[1])))


@pytest.fixture(scope="module")
def row_of_kernel() -> dict[tuple[str, str], tuple[Any, Case]]:
    """For each kernel a row that reaches it, found by listening while all rows are called."""
    found: dict[tuple[str, str], tuple[Any, Case]] = {}
    reached: set[tuple[str, str]] = set()

    def listening(name: tuple[str, str], kernel: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            reached.add(name)
            return kernel(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in KERNELS:
            replace(patch, name, partial(listening, name))
        for function in public().values():
            for case in sorted(rows_of(function), key=generated.is_smooth, reverse=True):
                if type(case) is Case and all(x.size for x in case.arrays("float64")):
                    reached.clear()
                    checks.run(function, case, "float64")
                    found.update(dict.fromkeys(reached - found.keys(), (function, case)))
    return found


@pytest.mark.parametrize("kernel", KERNELS, ids=".".join)
def test_wrong_value_of_a_kernel(kernel, row_of_kernel, monkeypatch):
    def spoiling(kernel: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = kernel(*args, **kwargs)
            several = result if isinstance(result, tuple) else (result,)
            for y in several:
                if y is not None and y.size:
                    y[...] = slightly_off(y)  # in place: it may be an array that was given for it
            return result

        return call

    def forward_and_gradient() -> None:
        function, case = row_of_kernel[kernel]
        checks.check_forward(function, case, "float64")
        if generated.is_smooth(case):
            checks.check_gradient(function, case)

    forward_and_gradient()
    replace(monkeypatch, kernel, spoiling)
    with pytest.raises((AssertionError, GradError)):
        forward_and_gradient()


# --- each check of a function, with a fault of its own

CASE = Case(lambda x: 2 * x, [normal(4, 3)])


def double(x: Any) -> Any:
    return 2 * x


def planted(forward: Any = double, backward: Any = double) -> Any:
    """A function with an operation of its own: twice x, or the fault that is planted."""

    class Double(Op):
        def forward(self, be: Any, x: Any) -> Any:
            return forward(x)

        def backward(self, be: Any, g: Any) -> Any:
            return backward(g)

    return lambda x: apply(Double(), x)


def in_place(x: Any) -> Any:
    x *= 2
    return x


def in_memory_order(x: Any) -> Any:
    return 2 * x.ravel("K").reshape(x.shape)


def rounded(x: Any) -> Any:
    return 2 * (x.astype("float16").astype("float32") if x.dtype == "float32" else x)


def widened(x: Any) -> Any:
    return 2.0 * x.astype("float64")


def noisy(x: Any, turn: Any = count()) -> Any:  # noqa: B008
    return 2 * x + next(turn)


def recorded_always(x: Tensor) -> Tensor:
    with gpunet.enable_grad():
        return planted()(x)


SOUND = planted()
FORWARD = partial(checks.check_forward, dtype="float32")
FLOAT32_GRADIENT = partial(checks.check_rounded_gradient, dtype="float32")
FAULTS = {
    "shape": (FORWARD, planted(lambda x: 2 * x[:1])),
    "scalar": (FORWARD, planted(lambda x: np.float32(0))),
    "NaN": (FORWARD, planted(lambda x: np.where(x == x.max(), np.nan, 2 * x).astype(x.dtype))),
    "dtype": (FORWARD, planted(widened)),
    "precision": (FORWARD, planted(rounded)),
    "gradient, dtype": (FLOAT32_GRADIENT, planted(backward=widened)),
    "gradient, precision": (FLOAT32_GRADIENT, planted(backward=rounded)),
    "input overwritten": (checks.check_purity, planted(in_place)),
    "weights overwritten": (checks.check_purity, planted(backward=in_place)),
    "strides": (checks.check_strided, planted(in_memory_order)),
    "strides of weights": (checks.check_strided, planted(backward=in_memory_order)),
    "noise": (checks.check_determinism, planted(noisy)),
    "noise in the gradient": (checks.check_determinism, planted(backward=noisy)),
    "no record": (checks.check_recording, lambda x: (2 * x).detach()),
    "record under no_grad": (checks.check_recording, recorded_always),
}


@pytest.mark.parametrize(("check", "function"), FAULTS.values(), ids=FAULTS)
def test_fault(check, function):
    check(SOUND, CASE)
    with pytest.raises(AssertionError):
        check(function, CASE)


def test_wrong_gradient():
    checks.check_gradient(SOUND, CASE)
    with pytest.raises(GradError, match="the gradient of input 0 must be"):
        checks.check_gradient(planted(backward=lambda g: 2.001 * g), CASE)


def test_wrong_gradient_at_an_edge():
    case = Edge(np.abs, [exactly([0.0])], gradient=lambda x: [0])
    checks.check_gradient_at_an_edge(abs, case, "float64")
    with pytest.raises(AssertionError, match="the gradient of array 0"):
        checks.check_gradient_at_an_edge(planted(np.abs), case, "float64")


def test_shared_gradient():
    class Leak(Op):
        def forward(self, be: Any, x: Any) -> Any:
            self.saved = x
            return 2 * x

        def backward(self, be: Any, g: Any) -> Any:
            return self.saved

    with pytest.raises(AssertionError, match="gradient is shared"):
        checks.check_purity(lambda x: apply(Leak(), x), CASE)


def test_gradient_that_is_not_needed():
    class Add(Op):
        def forward(self, be: Any, x: Any, y: Any) -> Any:
            return x + y

        def backward(self, be: Any, g: Any) -> Any:
            return g + 0, g + 0

    case = Case(np.add, [normal(3), normal(3)])
    checks.check_only_what_is_needed(gpunet.functional.add, case)
    with pytest.raises(AssertionError, match="Add computes a gradient that is not needed"):
        checks.check_only_what_is_needed(lambda x, y: apply(Add(), x, y), case)


def test_fused_activation_that_differs():
    class Fast(ReLU):
        def forward_of_product(self, be: Any, x: Any, w: Any, bias: Any) -> Any:
            return slightly_off(super().forward_of_product(be, x, w, bias))

    generated.test_fused_activation(ReLU, True, (7, 5), "float32")
    with pytest.raises(AssertionError):
        generated.test_fused_activation(Fast, True, (7, 5), "float32")


def refusing(name: str, rule: str) -> Callable[..., Any]:
    def function(x: Any) -> Any:
        """Dtypes: float32."""
        shape_error(name, rule, x=x)

    function.__name__ = "double"
    return function


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (double, pytest.fail.Exception),  # nothing is raised
        (refusing("double", "x must be square"), AssertionError),
        (refusing("triple", "x must be flat"), AssertionError),
    ],
    ids=["none", "other words", "other name"],
)
def test_wrong_refusal(function, error):
    row = Invalid([normal(2, 3)], ShapeError, "x must be flat")
    checks.check_refusal(refusing("double", "x must be flat"), row)
    with pytest.raises(error):
        checks.check_refusal(function, row)


def test_mixed_devices_that_are_not_noticed():
    class Sum(Op):
        def forward(self, be: Any, x: Any, y: Any) -> Any:
            return x + y

    def blind(x: Any, y: Any) -> Any:
        return Tensor(x.array + y.array, x.backend)

    def half_blind(x: Any, y: Any) -> Any:
        return double(x) if y.device != "cpu" else gpunet.functional.add(x, y)

    case = Case(np.add, [normal(3), normal(3)])
    checks.check_mixed_devices(gpunet.functional.add, case)
    with pytest.raises(pytest.fail.Exception, match="blind takes array 0 from another device"):
        checks.check_mixed_devices(blind, case)
    half_blind.__name__ = "add"
    with pytest.raises(pytest.fail.Exception, match="add takes array 1 from another device"):
        checks.check_mixed_devices(half_blind, case)
    with pytest.raises(AssertionError, match=r"^Sum: all tensors"):
        checks.check_mixed_devices(lambda x, y: apply(Sum(), x, y), case)


def test_tensor_that_no_row_has():
    def scaled(x: Tensor, factor: Tensor | float = 1.0) -> Any:
        pass

    sources.check_tensors(scaled, [Case(np.add, [normal(3), normal(3)])])
    with pytest.raises(AssertionError, match="scaled: no row has a tensor as factor"):
        sources.check_tensors(scaled, [Case(np.add, [normal(3), 2.0])])


def test_tensors_and_dtypes_that_are_not_checked():
    def careless(x: Any) -> Any:
        """Dtypes: float32, float64."""
        return x

    for check in (checks.check_that_raw_arrays_are_refused, checks.check_dtypes):
        with pytest.raises(pytest.fail.Exception):
            check(careless, CASE)


def test_no_tolerance_is_wider_than_half_of_the_digits():
    for dtype, eps in tolerance.EPS.items():
        smallest = tolerance.SMALLEST[dtype]
        assert tolerance.bound(1e9, 1.0, dtype) == eps**0.5 + smallest
        assert tolerance.bound(0.0, 1.0, dtype) == 4 * eps + smallest


# --- each check of the sources


def new_function(x: Any) -> Any:
    """Twice x."""


new_function.__module__ = "gpunet.functional.activation"


def test_missing_case_table():
    functions, found = public(), set(tables())
    with pytest.raises(
        AssertionError, match=r"tests/cases/activation.py must have .* new_function"
    ):
        sources.check_tables({**functions, "new_function": new_function}, found)
    with pytest.raises(AssertionError, match=r"swish\(\) in tests/cases/activation.py"):
        sources.check_tables(functions, found | {("activation", "swish")})


def test_text_that_says_too_little():
    with pytest.raises(AssertionError, match="new_function: the docstring must say 'Shapes"):
        sources.test_text(new_function)

    def scaled(x: Any, factor: float = 1.0) -> Any:
        """Shapes: any."""

    with pytest.raises(AssertionError, match="scaled: nothing is said of factor"):
        sources.test_text(scaled)


def test_differences_that_are_not_told():
    def told(x: Any) -> Any:
        """Shapes: any.
        Differs from PyTorch: it is shorter.
        """

    like, unlike = Case(abs, [normal(3)]), Case(abs, [normal(3)], unlike_torch="it is longer")
    sources.check_differences(told, [like, unlike])
    with pytest.raises(AssertionError, match=r"told: no row shows what 'Differs from PyTorch: "):
        sources.check_differences(told, [like])
    sources.check_differences(new_function, [like])
    with pytest.raises(AssertionError, match=r"new_function: .* must say .* \(it is longer\)"):
        sources.check_differences(new_function, [like, unlike])


@pytest.mark.parametrize("line", ["import gpunet", "from gpunet.functional import relu"])
def test_oracle_that_is_not_independent(line):
    with pytest.raises(AssertionError, match="gpunet"):
        sources.check_independence(f"def relu():\n    {line}\n")


def test_missing_kernel():
    text = "def forward(be, x):\n    return be.activation.swish_fwd(be.xp.exp(x), be.device.index)"
    assert sources.called_kernels(text) == {("activation", "swish_fwd")}
    with pytest.raises(AssertionError, match=r"cpu/activation.py must have swish_fwd\(\)"):
        sources.check_kernels([("activation", "swish_fwd")], {"activation": set()})
    with pytest.raises(AssertionError, match=r"swish_fwd\(\) in .*activation.py is never called"):
        sources.check_kernels([], {"activation": {"swish_fwd"}})


def test_missing_twin():
    sources.check_twins({"softmax": {"sum"}}, {"softmax": ["sum", "sum_finish"]})
    with pytest.raises(AssertionError, match=r"kernels/softmax.cu must have KERNEL\(max\)"):
        sources.check_twins({"softmax": {"sum", "max"}}, {"softmax": ["sum"]})
    with pytest.raises(
        AssertionError, match=r"KERNEL\(summed\) in kernels/softmax.cu is no function"
    ):
        sources.check_twins({"softmax": {"sum"}}, {"softmax": ["sum", "summed"]})


# --- the line about GPU tests


def test_gpu_tests_that_did_not_run():
    def report(*keywords: str) -> Any:
        return SimpleNamespace(keywords=keywords, longrepr=("file", 1, "Skipped: no GPU"))

    lines: list[str] = []
    reports = [report("gpu"), report("gpu", "slow"), report("slow")]
    reporter: Any = SimpleNamespace(
        getreports=lambda _: reports, write_line=lambda line, **_: lines.append(line)
    )
    config: Any = SimpleNamespace(stash=pytest.Stash())
    conftest.pytest_deselected([SimpleNamespace(keywords=["gpu"], config=config)])
    conftest.pytest_terminal_summary(reporter, config)
    assert lines == ["2 GPU tests did NOT run: no GPU", "1 GPU test did NOT run: deselected"]
