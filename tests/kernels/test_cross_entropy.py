"""The cross entropy of kernels/softmax.cu, executed: against the formulas and the CPU twins."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gpunet.backend.cpu import softmax as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere
from tests.kernels.test_softmax import LAUNCHES, LONG, SHAPES, log_softmax, numbers, softmax

pytestmark = needs.compiler

NONE = 2**64 - 1  # in bad_row: every target is a class


@dataclass(frozen=True, eq=False)
class Problem:
    """A loss to compute; `weight` is all ones where it is not `weighted`."""

    dtype: DType
    target: Array
    weight: Array
    weighted: bool = True
    smoothing: float = 0.0
    ignore_index: int = 0
    launch: tuple[int, int] = (3, 64)

    def forward(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Losses, totals, softmax and bad_row, by the two launches of the kernels."""
        kernels, storage, (rows, columns) = self.kernels, self.dtype.storage, x.shape

        def program(device: Device) -> tuple[Array, Array, Array, Array]:
            losses, totals = device.empty(rows, storage), device.empty(3, storage)
            p, bad = device.empty(x.shape, storage), device.array(np.array([NONE], np.uint64))
            target, weight = self.on(device)
            first = kernels["cross_entropy_fwd"], *self.launch
            sizes = rows, columns, self.ignore_index
            arrays = device.array(x), target, weight, losses, p, bad
            device.launch(*first, *arrays, *sizes, self.smoothing)
            finish = kernels["cross_entropy_fwd_finish"], 1, self.launch[1]
            device.launch(*finish, losses, target, weight, totals, *sizes)
            return losses, totals, p, bad

        return everywhere(program)

    def backward(self, gy: Array, p: Array, in_place: bool = False) -> Array:
        """The gradient, by the kernel; `in_place` writes it over the softmax."""

        def program(device: Device) -> Array:
            kept = device.array(p)
            gx = kept if in_place else device.empty(p.shape, self.dtype.storage)
            numbers = *p.shape, int(gy.size > 1), self.ignore_index, self.smoothing
            launch = self.kernels["cross_entropy_bwd"], *self.launch
            device.launch(*launch, device.array(gy), kept, *self.on(device), gx, *numbers)
            return gx

        return everywhere(program)

    @property
    def kernels(self) -> dict[str, build.Kernel]:
        return build.load("softmax", self.dtype)

    def on(self, device: Device) -> tuple[Array, Array | None]:
        return device.array(self.target), device.array(self.weight) if self.weighted else None

    def losses(self, x: Array, weight: Array) -> Array:
        """The formula, row by row: -(1 - s) w[t] log p[t] - s/C sum(w log p)."""
        logs, s = log_softmax(x), self.smoothing
        hard = weight[self.target] * logs[np.arange(len(x)), self.target]
        soft = (weight * logs).sum(-1) / x.shape[1]
        return np.where(self.target == self.ignore_index, 0, -(1 - s) * hard - s * soft)

    def gradient(self, gy: Array, p: Array, weight: Array) -> Array:
        """The formula: d(-log p[k])/dx = p - onehot(k), for each class k by its share."""
        shares = np.zeros_like(p) + self.smoothing / p.shape[1] * weight
        shares[np.arange(len(p)), self.target] += (1 - self.smoothing) * weight[self.target]
        counted = (self.target != self.ignore_index)[:, None]
        return np.where(counted, gy[:, None] * (shares.sum(-1, keepdims=True) * p - shares), 0)


def example(dtype: DType, shape: tuple[int, int], weighted: bool = True) -> tuple[Array, Problem]:
    """Scores, and a problem of which every third row is to be ignored (class 0)."""
    target = np.random.default_rng(4).integers(0, shape[1], shape[0])
    target[::3] = 0
    weight = np.random.default_rng(5).uniform(0.5, 2, shape[1]) if weighted else np.ones(shape[1])
    return dtype.encode(numbers(3, *shape)), Problem(dtype, target, dtype.encode(weight), weighted)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("weighted", [False, True], ids=["even", "weighted"])
@pytest.mark.parametrize("shape", [*SHAPES, *LONG], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_forward_equals_the_formula(
    dtype: DType, shape: tuple[int, int], weighted: bool, smoothing: float
) -> None:
    x, problem = example(dtype, shape, weighted)
    problem = replace(problem, smoothing=smoothing)
    losses, totals, p, bad = problem.forward(x)
    counted = problem.target != 0
    assert bad == NONE
    assert_close(losses, problem.losses, dtype, x, problem.weight)
    assert_close(p, lambda x: np.where(counted[:, None], softmax(x), 0), dtype, x)
    assert_close(totals[:1], lambda rows: rows.sum(keepdims=True), dtype, losses)
    weights = problem.weight[problem.target[counted]]
    assert_close(totals[1:2], lambda w: w.sum(keepdims=True), dtype, weights)
    if counted.any():
        assert_close(totals[2:], lambda sums: sums[:1] / sums[1:], dtype, totals[:2])
    else:
        assert np.isnan(dtype.decode(totals[2:]))


@pytest.mark.parametrize("gradients", ["one a row", "one for all"])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("weighted", [False, True], ids=["even", "weighted"])
@pytest.mark.parametrize("shape", [*SHAPES, *LONG], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_backward_equals_the_formula(
    dtype: DType, shape: tuple[int, int], weighted: bool, smoothing: float, gradients: str
) -> None:
    x, problem = example(dtype, shape, weighted)
    problem = replace(problem, smoothing=smoothing)
    p = dtype.encode(softmax(dtype.decode(x))) if shape[0] else x
    gy = dtype.encode(numbers(6, shape[0] if gradients == "one a row" else 1))
    gx = problem.backward(gy, p)

    def oracle(gy: Array, p: Array, weight: Array) -> Array:
        return problem.gradient(np.broadcast_to(gy, shape[:1]), p, weight)

    assert_close(gx, oracle, dtype, gy, p, problem.weight)


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_any_launch_is_right(launch: tuple[int, int]) -> None:
    x, problem = example(FLOAT32, (40, 70))
    problem = replace(problem, smoothing=0.1, launch=launch)
    losses, totals, _, _ = problem.forward(x)
    assert_close(losses, problem.losses, FLOAT32, x, problem.weight)
    assert_close(totals[:1], lambda rows: rows.sum(keepdims=True), FLOAT32, losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_equals_the_cpu_twin(dtype: DType, smoothing: float) -> None:
    x, problem = example(dtype, (9, 33))
    problem = replace(problem, smoothing=smoothing)
    losses, totals, p, _ = problem.forward(x)
    gy = numbers(7, 9).astype(dtype.storage)
    arguments = problem.target, problem.weight, 0, smoothing
    expected = [*twin.cross_entropy_fwd(x, *arguments), twin.cross_entropy_bwd(gy, p, *arguments)]
    for actual, wanted in zip((losses, totals, p, problem.backward(gy, p)), expected, strict=True):
        assert np.abs(actual - wanted).max() <= 16 * dtype.epsilon * np.abs(wanted).max()


def test_large_scores_keep_their_differences() -> None:
    # At 10^4 float32 numbers are 10^-3 apart: the logarithm of the sum must not be added to them.
    x = np.array([[10000, 9990, 9980], [-10000, -10001, -10002]], np.float32)
    weight = np.ones(3, np.float32)
    losses = Problem(FLOAT32, np.array([0, 0]), weight, ignore_index=-100).forward(x)[0]
    exact = -log_softmax(x.astype(np.float64))[:, 0]
    np.testing.assert_allclose(losses, exact, rtol=FLOAT32.epsilon, atol=FLOAT32.epsilon)


def test_the_lowest_impossible_target_is_reported_and_its_row_is_nan() -> None:
    x, problem = example(FLOAT32, (8, 5))
    target = np.array([1, -100, 4, 5, 2, -1, 2**40, 3])
    problem = replace(problem, target=target, ignore_index=-100, smoothing=0.1)
    losses, totals, p, bad = problem.forward(x)
    impossible = np.array([False, False, False, True, False, True, True, False])
    assert bad == 3
    assert (np.isnan(losses) == impossible).all()
    assert (np.isnan(p).any(-1) == impossible).all()
    assert np.isnan(totals[[0, 2]]).all()
    gx = problem.backward(np.ones(1, np.float32), p)
    assert (np.isnan(gx).all(-1) == impossible).all()
    assert (gx[1] == 0).all()


def test_the_gradient_may_take_the_memory_of_the_softmax() -> None:
    x, problem = example(FLOAT32, (6, 40))
    p, gy = softmax(x), np.ones(1, np.float32)
    assert (problem.backward(gy, p, in_place=True) == problem.backward(gy, p)).all()
