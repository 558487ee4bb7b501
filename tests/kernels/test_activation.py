"""kernels/activation.cu, executed: every function against its formula and its CPU twin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gpunet.backend.cpu import activation as twin
from gpunet.backend.cuda import source
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler


def erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def gelu_tanh_slope(x: Array) -> Array:
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


def mish_slope(x: Array) -> Array:
    t = np.tanh(np.logaddexp(0, x))
    return t + x * (1 - t * t) * sigmoid(x)


# f(x), and its derivative as a function of what the forward pass keeps.
FORWARD: dict[str, Any] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "elu": lambda x, alpha, scale, stretch: np.where(
        x > 0, scale * x, alpha * np.expm1(np.minimum(stretch * x, 0))
    ),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "gelu": lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * sigmoid(x),
    "softplus": lambda x, beta, limit: np.where(
        beta * x > limit, x, np.logaddexp(0, beta * x) / beta
    ),
    "logsigmoid": lambda x: -np.logaddexp(0, -x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "step": lambda x: np.where(x > 0, 1, 0).astype(x.dtype),
    "threshold": lambda x, limit, value: np.where(x <= limit, x.dtype.type(value), x),
    "hardtanh": lambda x, low, high: np.clip(x, low, high),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * (np.clip(x + 3, 0, 6) / 6),
    "softshrink": lambda x, lambd: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    "hardshrink": lambda x, lambd: np.where(np.abs(x) <= lambd, 0 * x, x),
    "erf": erf,
    "erfc": lambda x: np.vectorize(math.erfc, otypes=[x.dtype])(x) if x.size else x,
}
SLOPE: dict[str, Any] = {
    "relu": lambda y: np.where(y > 0, 1, 0).astype(y.dtype),
    "leaky_relu": lambda x, slope: np.where(x > 0, 1, slope).astype(x.dtype),
    "elu": lambda x, alpha, scale, stretch: np.where(
        x > 0, x.dtype.type(scale), alpha * stretch * np.exp(np.minimum(stretch * x, 0))
    ),
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
    "gelu": lambda x: (
        0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    ),
    "gelu_tanh": gelu_tanh_slope,
    "silu": lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
    "softplus": lambda x, beta, limit: np.where(beta * x > limit, 1 + 0 * x, sigmoid(beta * x)),
    "logsigmoid": lambda x: sigmoid(-x),
    "softsign": lambda x: (1 + np.abs(x)) ** -2,
    "tanhshrink": lambda x: np.tanh(x) ** 2,
    "mish": mish_slope,
    "threshold": lambda x, limit: (x > limit).astype(x.dtype),
    "hardtanh": lambda y, low, high: ((low < y) & (y < high)).astype(y.dtype),
    "hardsigmoid": lambda x: (np.abs(x) < 3) / x.dtype.type(6),
    "hardswish": lambda x: np.where(np.abs(x) < 3, x / 3 + 0.5, (x > 0) + 0 * x),
    "shrink": lambda x, lambd: (np.abs(x) > lambd).astype(x.dtype),
}
PARAMETERS: dict[str, tuple[float, ...]] = {
    "leaky_relu": (0.125,),
    "elu": (1.5, 1.25, 0.5),
    "softplus": (2.0, 8.0),
    "threshold": (0.5, -2.0),
    "hardtanh": (-1.5, 2.0),
    "softshrink": (0.5,),
    "hardshrink": (0.5,),
    "shrink": (0.5,),
}
# The kernel that is a function's derivative; where two share one, it has a name of its own.
DERIVATIVE = {name: name for name in FORWARD if name in SLOPE}
DERIVATIVE |= {"softshrink": "shrink", "hardshrink": "shrink"}
KEEPS_OUTPUT = ("relu", "sigmoid", "tanh", "hardtanh")


def parameters_of(kernel: str) -> tuple[float, ...]:
    """What follows the arrays of a forward or backward kernel."""
    name = kernel.rsplit("_", 1)[0]
    return PARAMETERS.get(name, ())[: 1 if kernel == "threshold_bwd" else None]


@dataclass(frozen=True)
class Case:
    """Shape and launch; `misaligned` arrays and odd columns take the path of single elements."""

    rows: int
    columns: int
    bias: bool
    blocks: int = 1
    threads: int = 32
    misaligned: bool = False


CASES = (
    Case(0, 5, bias=False),
    Case(1, 1, bias=True),
    Case(1, 31, bias=False),
    Case(1, 33, bias=True, blocks=2),
    Case(3, 32, bias=True, blocks=3),
    Case(5, 8, bias=True, threads=64),
    Case(9, 33, bias=False, blocks=2, threads=64),
    Case(4, 16, bias=True, misaligned=True),
    Case(33, 24, bias=True, blocks=2, threads=96),
)


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 3, shape)


def run(
    kernel: str,
    dtype: DType,
    case: Case,
    arrays: list[Array],
    bias: Array | None,
    *parameters: float,
) -> Array:
    def program(device: Device) -> Array:
        out = device.empty(arrays[0].shape, dtype.storage, not case.misaligned)
        given = [device.array(array, not case.misaligned) for array in arrays]
        b = None if bias is None else device.array(bias, not case.misaligned)
        kernels = build.load("activation", dtype)
        launch = kernels[kernel], case.blocks, case.threads
        device.launch(*launch, *given, b, out, out.size, case.columns, *parameters)
        return out

    return everywhere(program)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FORWARD)
def test_forward_equals_the_formula(name: str, dtype: DType, case: Case) -> None:
    x = dtype.encode(numbers(1, case.rows, case.columns))
    bias = dtype.encode(numbers(2, case.columns) if case.bias else np.zeros(case.columns))
    parameters = parameters_of(f"{name}_fwd")
    y = run(f"{name}_fwd", dtype, case, [x], bias if case.bias else None, *parameters)
    assert_close(y, lambda x, bias: FORWARD[name](x + bias, *parameters), dtype, x, bias)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SLOPE)
def test_backward_equals_the_formula(name: str, dtype: DType, case: Case) -> None:
    gy = dtype.encode(numbers(3, case.rows, case.columns))
    kept = numbers(4, case.rows, case.columns)
    with_bias = case.bias and name not in KEEPS_OUTPUT
    bias = dtype.encode(numbers(5, case.columns) if with_bias else np.zeros(case.columns))
    parameters = parameters_of(f"{name}_bwd")
    kept = dtype.encode(FORWARD[name](kept, *parameters) if name in KEEPS_OUTPUT else kept)
    gx = run(f"{name}_bwd", dtype, case, [gy, kept], bias if with_bias else None, *parameters)
    oracle = lambda gy, kept, bias: gy * SLOPE[name](kept + bias, *parameters)  # noqa: E731
    assert_close(gx, oracle, dtype, gy, kept, bias)


@pytest.mark.parametrize(("name", "backward"), DERIVATIVE.items())
def test_backward_is_the_derivative_of_forward(name: str, backward: str) -> None:
    # Central differences have an error of about h^2 f''' / 6 + eps |f| / h.
    x, h = np.linspace(-6, 6, 61) + 0.01, 1e-5
    case, parameters = Case(1, 61, bias=False), parameters_of(f"{name}_fwd")
    above, y, below = (
        run(f"{name}_fwd", FLOAT64, case, [x + d], None, *parameters) for d in (h, 0, -h)
    )
    kept, parameters = y if name in KEEPS_OUTPUT else x, parameters_of(f"{backward}_bwd")
    slope = run(f"{backward}_bwd", FLOAT64, case, [np.ones(61), kept], None, *parameters)
    np.testing.assert_allclose(slope, (above - below) / (2 * h), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("kernel", [*(f"{n}_fwd" for n in FORWARD), *(f"{n}_bwd" for n in SLOPE)])
def test_equals_the_cpu_twin(kernel: str, dtype: DType) -> None:
    name, direction = kernel.rsplit("_", 1)
    x, gy = (numbers(seed, 33, 24).astype(dtype.storage) for seed in (6, 7))
    keeps_output = direction == "bwd" and name in KEEPS_OUTPUT
    bias = None if keeps_output else numbers(8, 24).astype(dtype.storage)
    parameters = parameters_of(kernel)
    kept = FORWARD[name](x, *parameters).astype(x.dtype) if keeps_output else x
    arrays = [kept] if direction == "fwd" else [gy, kept]
    actual = run(kernel, dtype, Case(33, 24, bias=True), arrays, bias, *parameters)
    expected = getattr(twin, kernel)(*arrays, *parameters, bias=bias)
    # Both are within a few units of the exact value, and so within twice as many of each other.
    assert np.abs(actual - expected).max() <= 8 * dtype.epsilon * np.abs(expected).max()


EXTREMES = np.array([0.0, -0.0, 1e-3, -1e-3, 20, -20, 100, -100, 1e4, -1e4])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FORWARD)
def test_extreme_inputs_give_finite_and_right_results(name: str, dtype: DType) -> None:
    case, parameters = Case(1, EXTREMES.size, bias=False), parameters_of(f"{name}_fwd")
    x, ones = dtype.encode(EXTREMES), dtype.encode(np.ones_like(EXTREMES))
    exact_x = dtype.decode(x)
    with np.errstate(over="ignore"):
        exact = FORWARD[name](exact_x, *parameters)
    y = run(f"{name}_fwd", dtype, case, [x], None, *parameters)
    unit = 8 * dtype.epsilon
    assert (np.abs(dtype.decode(y) - exact) <= unit * np.maximum(1, np.abs(exact))).all()
    if name in DERIVATIVE:
        backward, kept = DERIVATIVE[name], y if name in KEEPS_OUTPUT else x
        parameters = parameters_of(f"{backward}_bwd")
        slope = dtype.decode(run(f"{backward}_bwd", dtype, case, [ones, kept], None, *parameters))
        exact = SLOPE[backward](dtype.decode(kept), *parameters)
        assert (np.abs(slope - exact) <= unit * np.maximum(1, np.abs(exact))).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [name for name in FORWARD if name != "step"])
def test_nan_stays_nan(name: str, dtype: DType) -> None:
    x, parameters = dtype.encode(np.full(5, np.nan)), parameters_of(f"{name}_fwd")
    y = run(f"{name}_fwd", dtype, Case(1, 5, bias=False), [x], None, *parameters)
    assert np.isnan(dtype.decode(y)).all()


@pytest.mark.parametrize(
    ("small", "function"), [(-1e-6, "elu"), (-10.0, "softplus"), (20.0, "logsigmoid")]
)
def test_small_results_keep_their_digits(small: float, function: str) -> None:
    # e^x - 1 near 0 and log(1 + e^x) far below it: both lose every digit if written as they stand.
    x, parameters = np.full(4, small, np.float32), parameters_of(f"{function}_fwd")
    y = run(f"{function}_fwd", FLOAT32, Case(1, 4, bias=False), [x], None, *parameters)
    exact = FORWARD[function](x.astype(np.float64), *parameters)
    np.testing.assert_allclose(y, exact, rtol=4 * FLOAT32.epsilon, atol=0)


def test_output_may_be_the_input() -> None:
    kernels = build.load("activation", FLOAT32)
    x, gy = (numbers(seed, 77).astype(np.float32) for seed in (9, 10))

    def in_place(device: Device) -> tuple[Array, Array]:
        y, gx = device.array(x), device.array(gy)
        device.launch(kernels["tanh_fwd"], 2, 32, y, None, y, y.size, 1)
        device.launch(kernels["tanh_bwd"], 2, 32, gx, y, None, gx, y.size, 1)
        return y, gx

    y, gx = everywhere(in_place)
    case = Case(1, 77, bias=False)
    assert (y == run("tanh_fwd", FLOAT32, case, [x], None)).all()
    assert (gx == run("tanh_bwd", FLOAT32, case, [gy, y], None)).all()


def test_every_kernel_of_the_file_is_tested() -> None:
    tested = {f"{name}_fwd" for name in FORWARD} | {f"{name}_bwd" for name in SLOPE}
    assert tested == set(source.signatures(source.text("activation")))
