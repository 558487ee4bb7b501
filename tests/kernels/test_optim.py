"""kernels/optim.cu, executed: steps of several parameters, against the rules and the CPU twins.

What a rule's kernel gets is taken from the optimizers themselves: each option of tests/optim/rules
is one case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import optim
from gpunet.backend.cpu import optim as twin
from gpunet.backend.cuda import source
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere
from tests.optim.rules import OPTIONS, RULES

pytestmark = needs.compiler

PARAMETER = np.dtype(
    [
        *((name, np.uint64) for name in ("p", "g")),
        ("state", np.uint64, 3),
        *((name, np.uint64) for name in ("steps", "product", "arrivals", "size")),
    ]
)
SIZES = (1, 0, 31, 64, 100, 33)
CHUNK = 32
STEPS = 7  # RAdam's average is long enough after five
LR = 0.05
every_rule = pytest.mark.parametrize(
    ("rule", "options"), OPTIONS, ids=[f"{rule} {options}" for rule, options in OPTIONS]
)


@dataclass
class Call:
    """What an optimizer asks of its kernel for one parameter, in the first step.

    Attributes:
        states: the first value of what it remembers, None for what the options do not need.
        counted: whether it has a count of steps.
    """

    kernel: str
    states: list[float | None]
    counted: bool
    options: dict[str, Any]


def call(rule: str, options: dict[str, Any]) -> Call:
    """Runs a step of the optimizer on a backend that notes it."""
    found: list[Call] = []

    class Recorder:
        def __getattr__(self, kernel: str) -> Any:
            def record(parameters, gradients, *rest, **options):  # type: ignore[no-untyped-def]
                *states, steps, _ = rest
                first = [float(each[0].flat[0]) if each else None for each in states]
                found.append(Call(kernel, first, bool(steps), options))

            return record

    p = gpunet.tensor(np.zeros(2), requires_grad=True)
    p.grad = gpunet.tensor(np.zeros(2))
    be, real = p.backend, p.backend.optim
    be.optim = Recorder()
    try:
        getattr(optim, rule)([p], lr=LR, **options).step()
    finally:
        be.optim = real
    return found[0]


def example(dtype: DType) -> tuple[list[Array], list[list[Array]]]:
    """The parameters' first values, and their gradients of each step."""
    random = np.random.default_rng(1)
    values = [dtype.encode(random.normal(0, 1, size)) for size in SIZES]
    return values, [
        [dtype.encode(random.normal(0, 1, size)) for size in SIZES] for _ in range(STEPS)
    ]


def train(asked: Call, dtype: DType, steps: int = STEPS, aligned: bool = True) -> list[list[Array]]:
    """The parameters after each step, a launch a step."""
    values, gradients = example(dtype)
    chunks = [(row, i) for row, size in enumerate(SIZES) for i in range(max(1, -(-size // CHUNK)))]
    product = asked.kernel == "nadam_step"
    states = asked.states[:2] if product else asked.states  # the product has a field of its own

    def program(device: Device) -> tuple[Array, ...]:
        table, keep, history = np.zeros(len(SIZES), PARAMETER), [], []
        arrays = [device.array(value, aligned) for value in values]
        for row, array in zip(table, arrays, strict=True):
            counts = {name: device.array(np.zeros(1)) for name in ("steps", "product")}
            counts["product"][0] = 1
            arrivals = device.array(np.zeros(1, np.uint64))
            for index, first in enumerate(states):
                if first is not None:
                    filled = dtype.encode(np.full(array.shape, first))
                    keep.append(device.array(filled, aligned))
                    row["state"][index] = keep[-1].ctypes.data
            row["p"], row["size"], row["arrivals"] = (
                array.ctypes.data,
                array.size,
                arrivals.ctypes.data,
            )
            row["steps"] = counts["steps"].ctypes.data if asked.counted else 0
            row["product"] = counts["product"].ctypes.data if product else 0
            keep.append((counts, arrivals))
        lr, pieces = device.array(np.array([LR])), device.array(np.array(chunks, np.int64))
        kernel = build.load("optim", dtype)[asked.kernel]
        for step in range(steps):
            given = [device.array(gradient, aligned) for gradient in gradients[step]]
            table["g"] = [gradient.ctypes.data for gradient in given]
            device.launch(
                kernel, len(chunks), 32, device.array(table), pieces, CHUNK, lr,
                *asked.options.values(),
            )  # fmt: skip
            history += [array.copy() for array in arrays]
        for counts, arrivals in (each for each in keep if isinstance(each, tuple)):
            assert counts["steps"] == (steps if asked.counted else 0)
            assert arrivals == 0
        return tuple(history)

    flat = everywhere(program)
    return [list(flat[i : i + len(SIZES)]) for i in range(0, len(flat), len(SIZES))]


@every_rule
def test_options_are_those_of_the_twin(rule: str, options: dict[str, Any]) -> None:
    """By name and in order, as double or bool: so a launch needs no list of them."""
    asked = call(rule, options)
    signature = source.signatures(source.text("optim"))[asked.kernel]
    parameters = signature[[parameter.name for parameter in signature].index("lr") + 1 :]
    assert [parameter.name for parameter in parameters] == list(asked.options)
    for parameter, value in zip(parameters, asked.options.values(), strict=True):
        assert parameter.type == ("bool" if isinstance(value, bool) else "double")


@every_rule
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_rule(dtype: DType, rule: str, options: dict[str, Any]) -> None:
    """Each parameter after each step; in a half type, whose stored state is rounded, after one."""
    steps = STEPS if dtype.accumulator == dtype.storage else 1
    history = train(call(rule, options), dtype, steps)
    values, gradients = example(dtype)

    def oracle(p: Array, *given: Array) -> Array:
        return RULES[rule](p, given, [LR] * len(given), **options)[-1]

    for row, value in enumerate(values):
        for done in range(1, steps + 1):
            given = [step[row] for step in gradients[:done]]
            assert_close(history[done - 1][row], oracle, dtype, value, *given)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_misaligned_parameters_give_the_same_bits(dtype: DType) -> None:
    for rule, options in OPTIONS:
        if options.get("maximize"):  # the one with most state, of each rule
            asked = call(rule, {**options, "momentum": 0.9} if rule == "SGD" else options)
            wide = train(asked, dtype, 2)
            single = train(asked, dtype, 2, aligned=False)
            for a, b in zip(wide, single, strict=True):
                assert [array.tobytes() for array in a] == [array.tobytes() for array in b]


@every_rule
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_equals_the_cpu_twin(dtype: DType, rule: str, options: dict[str, Any]) -> None:
    asked = call(rule, options)
    history = train(asked, dtype)
    parameters, gradients = example(dtype)
    states = [
        []
        if first is None
        else [np.ones(1) for _ in SIZES]
        if (asked.kernel, index) == ("nadam_step", 2)
        else [np.full(size, first, dtype.storage) for size in SIZES]
        for index, first in enumerate(asked.states)
    ]
    steps = [np.zeros(1) for _ in SIZES] if asked.counted else []
    for step in range(STEPS):
        lists = (parameters, gradients[step], *states, steps)
        getattr(twin, asked.kernel)(*lists, np.array([LR]), **asked.options)
        for actual, expected in zip(history[step], parameters, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=32 * dtype.epsilon)
