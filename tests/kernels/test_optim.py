"""kernels/optim.cu, executed: steps of several parameters, against the rules and the CPU twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpunet.backend.cpu import optim as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

FIELDS = ("p", "g", "velocity", "m", "v", "v_max", "steps", "arrivals", "size")
PARAMETER = np.dtype([(name, np.uint64) for name in FIELDS])
SIZES = (1, 0, 31, 64, 100, 33)
CHUNK = 32
STEPS = 3
LR = 0.05


def example(dtype: DType) -> tuple[list[Array], list[list[Array]]]:
    """The parameters' first values, and their gradients of each step."""
    random = np.random.default_rng(1)
    values = [dtype.encode(random.normal(0, 1, size)) for size in SIZES]
    return values, [
        [dtype.encode(random.normal(0, 1, size)) for size in SIZES] for _ in range(STEPS)
    ]


def train(
    kernel: str, dtype: DType, state: tuple[str, ...], *scalars: float, aligned: bool = True
) -> list[list[Array]]:
    """The parameters after each step, a launch a step; `state` names the arrays the rule keeps."""
    values, gradients = example(dtype)
    chunks = [(row, i) for row, size in enumerate(SIZES) for i in range(max(1, -(-size // CHUNK)))]

    def program(device: Device) -> tuple[Array, ...]:
        table, keep, history = np.zeros(len(SIZES), PARAMETER), [], []
        arrays = [device.array(value, aligned) for value in values]
        for row, array in enumerate(arrays):
            zeros = {name: device.array(np.zeros_like(array), aligned) for name in state}
            zeros["steps"] = device.array(np.zeros(1))
            zeros["arrivals"] = device.array(np.zeros(1, np.uint64))
            keep.append(zeros)
            for name, member in {**zeros, "p": array}.items():
                table[row][name] = member.ctypes.data
            table[row]["size"] = array.size
        lr, pieces = device.array(np.array([LR])), device.array(np.array(chunks, np.int64))
        for step in range(STEPS):
            given = [device.array(gradient, aligned) for gradient in gradients[step]]
            table["g"] = [gradient.ctypes.data for gradient in given]
            launch = build.load("optim", dtype)[kernel], len(chunks), 32
            device.launch(*launch, device.array(table), pieces, CHUNK, lr, *scalars)
            history += [array.copy() for array in arrays]
        for zeros in keep:
            assert zeros["steps"] == STEPS
            assert zeros["arrivals"] == 0
        return tuple(history)

    flat = everywhere(program)
    return [list(flat[i : i + len(SIZES)]) for i in range(0, len(flat), len(SIZES))]


def sgd_rule(
    sign: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool
) -> Callable[..., Any]:
    def rule(p: Array, *gradients: Array) -> Array:
        velocity = 0 * p
        for step, g in enumerate(gradients):
            g = sign * g + weight_decay * p
            velocity = momentum * velocity + (1 - dampening) * g if step else g
            p = p - LR * (g + momentum * velocity if nesterov else velocity if momentum else g)
        return p

    return rule


def adam_rule(
    sign: float,
    beta1: float,
    beta2: float,
    eps: float,
    coupled: float,
    decoupled: float,
    amsgrad: bool = False,
) -> Callable[..., Any]:
    def rule(p: Array, *gradients: Array) -> Array:
        m, v, largest = 0 * p, 0 * p, 0 * p
        for step, g in enumerate(gradients, 1):
            g = sign * g + coupled * p
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            largest = np.maximum(largest, v) if amsgrad else v
            p = p - LR * decoupled * p
            root = np.sqrt(largest / (1 - beta2**step))
            p = p - LR * (m / (1 - beta1**step)) / (root + eps)
        return p

    return rule


SGD = {
    "plain": (1.0, 0.0, 0.5, 0.0, False),
    "momentum": (1.0, 0.9, 0.0, 0.0, False),
    "dampened, with decay": (1.0, 0.9, 0.25, 0.01, False),
    "nesterov": (1.0, 0.9, 0.0, 0.01, True),
    "climbing": (-1.0, 0.9, 0.0, 0.01, False),
}
ADAM = {
    "adam": (1.0, 0.9, 0.999, 1e-8, 0.0, 0.0),
    "with decay": (1.0, 0.9, 0.999, 1e-8, 0.01, 0.0),
    "adamw": (1.0, 0.8, 0.99, 1e-6, 0.0, 0.01),
    "climbing": (-1.0, 0.9, 0.999, 1e-8, 0.0, 0.01),
    "without memory": (1.0, 0.0, 0.0, 1e-3, 0.0, 0.0),
}


def assert_follows(history: list[list[Array]], rule: Callable[..., Any], dtype: DType) -> None:
    """Each parameter after each step; in a half type, whose stored state is rounded, after one."""
    values, gradients = example(dtype)
    for row, value in enumerate(values):
        given = [step[row] for step in gradients]
        for done in range(1, STEPS + 1):
            if dtype.accumulator == dtype.storage or done == 1:
                assert_close(history[done - 1][row], rule, dtype, value, *given[:done])


@pytest.mark.parametrize("rule", SGD)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sgd_equals_the_rule(dtype: DType, rule: str) -> None:
    state = () if rule == "plain" else ("velocity",)
    history = train("sgd_step", dtype, state, *SGD[rule])
    assert_follows(history, sgd_rule(*SGD[rule]), dtype)


@pytest.mark.parametrize("amsgrad", [False, True], ids=["", "amsgrad"])
@pytest.mark.parametrize("rule", ADAM)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_adam_equals_the_rule(dtype: DType, rule: str, amsgrad: bool) -> None:
    state = ("m", "v", "v_max") if amsgrad else ("m", "v")
    history = train("adam_step", dtype, state, *ADAM[rule])
    assert_follows(history, adam_rule(*ADAM[rule], amsgrad=amsgrad), dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_misaligned_parameters_give_the_same_bits(dtype: DType) -> None:
    for kernel, state, scalars in (
        ("sgd_step", ("velocity",), SGD["nesterov"]),
        ("adam_step", ("m", "v", "v_max"), ADAM["adamw"]),
    ):
        wide = train(kernel, dtype, state, *scalars)
        single = train(kernel, dtype, state, *scalars, aligned=False)
        for a, b in zip(wide, single, strict=True):
            assert [array.tobytes() for array in a] == [array.tobytes() for array in b]


def twin_arrays(dtype: DType, kept: bool) -> list[Array]:
    return [np.zeros(size if kept else 0, dtype.storage) for size in SIZES]


@pytest.mark.parametrize("rule", SGD)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_sgd_equals_the_cpu_twin(dtype: DType, rule: str) -> None:
    sign, momentum, dampening, weight_decay, nesterov = SGD[rule]
    velocities = twin_arrays(dtype, momentum > 0)
    history = train("sgd_step", dtype, ("velocity",) if momentum else (), *SGD[rule])
    parameters, gradients = example(dtype)
    steps, lr = [np.zeros(1) for _ in SIZES], np.array([LR])
    for step in range(STEPS):
        twin.sgd_step(
            parameters,
            gradients[step],
            velocities,
            steps,
            lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=sign < 0,
        )
        for actual, expected in zip(history[step], parameters, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=16 * dtype.epsilon)


@pytest.mark.parametrize("amsgrad", [False, True], ids=["", "amsgrad"])
@pytest.mark.parametrize("rule", ADAM)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_adam_equals_the_cpu_twin(dtype: DType, rule: str, amsgrad: bool) -> None:
    sign, beta1, beta2, eps, coupled, decoupled = ADAM[rule]
    state = ("m", "v", "v_max") if amsgrad else ("m", "v")
    history = train("adam_step", dtype, state, *ADAM[rule])
    parameters, gradients = example(dtype)
    m, v, v_max = (twin_arrays(dtype, kept) for kept in (True, True, amsgrad))
    steps, lr = [np.zeros(1) for _ in SIZES], np.array([LR])
    for step in range(STEPS):
        twin.adam_step(
            parameters,
            gradients[step],
            m,
            v,
            v_max,
            steps,
            lr,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            weight_decay=coupled or decoupled,
            decoupled=decoupled > 0,
            maximize=sign < 0,
        )
        for actual, expected in zip(history[step], parameters, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=16 * dtype.epsilon)
