"""The sweep over learning rates."""

import numpy as np
import pytest

from gpunet.errors import ArgumentError
from gpunet.train.config import OptimizerConfig
from gpunet.train.find_lr import Sweep, _steepest, find_lr


def test_a_sweep(build) -> None:
    """From no change at all to an explosion; the suggestion trains, and is not the edge."""
    trainer = build(optimizer=OptimizerConfig("SGD", {"lr": 1.0}))
    found = find_lr(trainer, 1e-5, 1e4, 100)
    assert isinstance(found, Sweep)
    assert len(found.rates) == len(found.losses) < 100
    np.testing.assert_allclose(found.rates[0], 1e-5, rtol=1e-12)
    factors = np.array(found.rates[1:]) / found.rates[:-1]
    np.testing.assert_allclose(factors, 1e9 ** (1 / 99), rtol=1e-9)
    assert found.losses[0] == pytest.approx(np.log(10), rel=0.2)
    assert 0.01 < found.suggestion < 10
    assert found.losses[-1] > 2 * min(found.losses)


def test_the_steepest_slope_before_the_least_loss() -> None:
    rates = [1e-3, 1e-2, 1e-1, 1.0, 10.0]
    assert _steepest(rates, [2.0, 1.95, 0.2, 0.1, 5.0]) == 1e-1
    assert _steepest(rates, [2.0, 2.0, 1.0, 0.0, 9.0]) == 1e-1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((0.0, 1.0, 50), "must be 0 < lowest < highest, got 0 and 1"),
        ((1.0, 0.1, 50), "must be 0 < lowest < highest, got 1 and 0.1"),
        ((1e-3, 1.0, 9), "steps must be at least 10, got 9"),
    ],
)
def test_refused(build, arguments, problem) -> None:
    with pytest.raises(ArgumentError, match=f"find_lr: {problem}"):
        find_lr(build(), *arguments)


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_a_model_that_explodes_at_once(build) -> None:
    trainer = build(optimizer=OptimizerConfig("SGD", {"lr": 1.0}))
    with pytest.raises(ArgumentError, match="lowest must be a rate that the model survives"):
        find_lr(trainer, 1e30, 1e32, 10)
