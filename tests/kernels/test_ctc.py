"""kernels/ctc.cu, executed: against the probabilities of alignments, and the CPU twins."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gpunet.backend.cpu import ctc as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

LAUNCHES = ((1, 32), (3, 64), (2, 256))  # blocks, threads


@dataclass(frozen=True, eq=False)
class Problem:
    """Sequences to align; `classes` are the blank and the labels, those beyond `counts` wrong."""

    dtype: DType
    x: Array
    classes: Array
    times: Array
    counts: Array
    launch: tuple[int, int] = (3, 64)

    @property
    def path(self) -> tuple[Array, Array, Array]:
        return self.classes, self.times, self.counts

    def forward(self) -> tuple[Array, Array]:
        """The losses and alpha."""
        (steps, batch, channels), width = self.x.shape, self.classes.shape[1]
        wide = self.dtype.accumulator

        def program(device: Device) -> tuple[Array, Array]:
            alpha, loss = device.empty((batch, steps, 2, width), wide), device.empty(batch, wide)
            arrays = *map(device.array, (self.x, *self.path)), alpha, loss
            kernel = build.load("ctc", self.dtype)["ctc_loss_fwd"]
            device.launch(kernel, *self.launch, *arrays, steps, batch, channels, width)
            return loss, alpha

        return everywhere(program)

    def backward(self, gy: Array, zero_infinity: bool = False) -> Array:
        """The gradient, by the two launches of the kernels."""
        sizes = *self.x.shape, self.classes.shape[1]
        loss, alpha = self.forward()
        kernels = build.load("ctc", self.dtype)

        def program(device: Device) -> Array:
            path = [device.array(array) for array in self.path]
            beta = device.empty(alpha.shape, alpha.dtype)
            gx = device.empty(self.x.shape, self.x.dtype)
            arrays = device.array(self.x), *path, beta
            device.launch(kernels["ctc_loss_bwd"], *self.launch, *arrays, *sizes)
            known = device.array(alpha), beta, device.array(loss)
            arrays = device.array(gy), *path, *known, gx
            finish = kernels["ctc_loss_bwd_finish"], *self.launch
            device.launch(*finish, *arrays, *sizes, zero_infinity)
            return gx

        return everywhere(program)

    def logarithm(self, x: Array, n: int) -> Array:
        """log p of all alignments of a sequence, step after step from all states to all."""
        labels = self.classes[n, 1 : 1 + self.counts[n]]
        states = np.full(2 * len(labels) + 1, self.classes[n, 0])
        states[1::2] = labels
        follow = np.eye(len(states), dtype=bool) | np.eye(len(states), k=1, dtype=bool)
        for u in range(3, len(states), 2):
            follow[u - 2, u] = states[u] != states[u - 2]
        at = np.where(np.arange(len(states)) == 0, 0, -np.inf).astype(x.dtype)
        for t in range(self.times[n]):
            ways = np.where(follow, at[:, None], -np.inf).astype(x.dtype)
            at = np.logaddexp.reduce(ways) + x[t, n, states]
        return np.logaddexp.reduce(at[-2:])

    def losses(self, x: Array) -> Array:
        return -np.array([self.logarithm(x, n) for n in range(x.shape[1])])

    def gradient(self, gy: Array, x: Array) -> Array:
        """Minus the share of all alignments that have a class at a step: no other one may come."""
        gx = np.zeros_like(x)
        for t, n, c in np.ndindex(x.shape):
            if t < self.times[n]:
                alone = x.copy()
                alone[t, n] = -np.inf
                alone[t, n, c] = x[t, n, c]
                gx[t, n, c] = -gy[n] * np.exp(self.logarithm(alone, n) - self.logarithm(x, n))
        return gx


def example(
    dtype: DType, steps: int, batch: int, channels: int, labels: int, blank: int = 0
) -> Problem:
    """Labels that all fit into the shortest sequence, with equal ones beside each other."""
    random = np.random.default_rng(steps + labels)
    classes = np.full((batch, 1 + labels), blank)
    others = np.delete(np.arange(channels), blank)
    classes[:, 1:] = np.sort(random.choice(others, (batch, labels)))
    counts = labels - np.arange(batch) % (labels + 1)
    classes[np.arange(1 + labels) > counts[:, None]] = -1
    repeated = (np.diff(classes, axis=1) == 0) & (np.arange(labels) < counts[:, None])
    fewest = counts + repeated.sum(1)
    times = np.maximum(fewest, steps - np.arange(batch))
    x = random.normal(0, 1, (times.max(initial=steps), batch, channels))
    logs = x - np.log(np.exp(x).sum(-1, keepdims=True))
    return Problem(dtype, dtype.encode(logs), classes, times, counts)


# Steps, sequences, classes, labels, blank: one step; no labels; repeated ones; several blocks.
SIZES = ((1, 1, 2, 1, 0), (3, 2, 3, 0, 2), (4, 1, 2, 2, 1), (5, 4, 3, 3, 1), (7, 3, 40, 4, 0))


def gradients(problem: Problem) -> Array:
    return problem.dtype.encode(np.random.default_rng(5).normal(0, 1, problem.x.shape[1]))


def in_single(problem: Problem) -> tuple[DType, Array]:
    """What a kernel of halves computes in, and what it reads."""
    if problem.dtype in (FLOAT32, FLOAT64):
        return problem.dtype, problem.x
    return FLOAT32, problem.dtype.decode(problem.x).astype(np.float32)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_losses_are_those_of_all_alignments(dtype: DType, sizes: tuple[int, ...]) -> None:
    problem = example(dtype, *sizes)
    loss, _ = problem.forward()
    assert np.isfinite(loss).all()
    assert_close(loss, problem.losses, *in_single(problem))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_is_the_share_of_alignments(dtype: DType, sizes: tuple[int, ...]) -> None:
    problem = example(dtype, *sizes)
    gy = gradients(problem)
    assert_close(problem.backward(gy), problem.gradient, dtype, gy, problem.x)


def assert_like_the_twin(problem: Problem) -> None:
    gy = gradients(problem)
    loss, alpha = problem.forward()
    twins, twin_alpha = twin.ctc_loss_fwd(problem.x, *problem.path)
    largest, epsilon = np.abs(twins).max(), problem.dtype.epsilon
    # Each step rounds a logarithm of at most the size of the loss, or of those that never count.
    close = 2 * problem.x.shape[0] * epsilon * largest
    np.testing.assert_allclose(loss, twins, rtol=0, atol=close)
    for n, (steps, count) in enumerate(zip(problem.times, problem.counts, strict=True)):
        here, there = (a[n, :steps, :, : count + 1] for a in (alpha, twin_alpha))
        likely = there > -2 * largest
        assert ((here > -2 * largest) == likely)[:, 0].all()
        likely[:, 1, 0] = False
        np.testing.assert_allclose(here[likely], there[likely], rtol=0, atol=2 * close)
    expected = twin.ctc_loss_bwd(gy, problem.x, *problem.path, twin_alpha, twins, False)
    np.testing.assert_allclose(problem.backward(gy), expected, rtol=0, atol=4 * close)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_equals_the_cpu_twin(dtype: DType, sizes: tuple[int, ...]) -> None:
    assert_like_the_twin(example(dtype, *sizes))


def test_more_labels_than_threads() -> None:
    assert_like_the_twin(replace(example(FLOAT32, 90, 2, 9, 70), launch=(1, 32)))


def test_more_labels_than_lie_in_shared_memory() -> None:
    problem = example(FLOAT64, 520, 1, 600, 512)
    assert problem.classes.shape[1] == 513, "one more than HELD of kernels/ctc.cu"
    assert_like_the_twin(replace(problem, launch=(1, 256)))


def test_any_launch_gives_the_same_losses() -> None:
    problem = example(FLOAT32, 40, 5, 7, 35)
    gy = gradients(problem)
    alone = replace(problem, launch=(5, 128))
    bits = [array.tobytes() for array in alone.forward()]
    for launch in LAUNCHES:
        other = replace(problem, launch=launch)
        assert [array.tobytes() for array in other.forward()] == bits
        close = 4 * 36 * FLOAT32.epsilon  # the blanks are added up in another order
        np.testing.assert_allclose(other.backward(gy), alone.backward(gy), rtol=0, atol=close)


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_labels_that_do_not_fit(zero_infinity: bool) -> None:
    # The first needs a blank in between, the second all its steps, the third has none, nor labels.
    classes = np.array([[0, 1, 1, 1], [0, 1, 2, 1], [0, -1, -1, -1]])
    x = np.log(np.full((4, 3, 3), 1 / 3, np.float32))
    problem = Problem(FLOAT32, x, classes, np.array([2, 3, 0]), np.array([2, 3, 0]))
    loss, _ = problem.forward()
    np.testing.assert_allclose(loss, [np.inf, 3 * np.log(3), 0], rtol=4 * FLOAT32.epsilon)
    gx = problem.backward(np.ones(3, np.float32), zero_infinity)
    slope = 0 if zero_infinity else np.nan
    np.testing.assert_array_equal(gx[:, 0], [[slope] * 3] * 2 + [[0] * 3] * 2)
    np.testing.assert_array_equal(gx[3, 1], 0)
    np.testing.assert_array_equal(gx[:, 2], 0)
    expected = twin.ctc_loss_bwd(
        np.ones(3, np.float32), x, *problem.path, *twin.ctc_loss_fwd(x, *problem.path)[::-1],
        zero_infinity,
    )  # fmt: skip
    np.testing.assert_allclose(gx, expected, rtol=0, atol=8 * FLOAT32.epsilon)
