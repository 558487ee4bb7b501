"""The schedule of a run: stepped in time, as long as the run, refused where it does not fit."""

import numpy as np
import pytest

from gpunet import optim
from gpunet.errors import ConfigError
from gpunet.train import Callback, Trainer
from gpunet.train.config import OptimizerConfig, ScheduleConfig, TrainConfig
from gpunet.train.schedule import build_schedule


class Rates(Callback):
    """Writes down the learning rate and the figures that decided on it."""

    def __init__(self) -> None:
        self.of_batches: list[float] = []

    def on_batch(self, trainer: Trainer) -> None:
        self.of_batches.append(trainer.progress.lr)


def rates(build, schedule: ScheduleConfig | None, epochs: int = 4) -> np.ndarray:
    """(epochs, 5) the rate of every batch; 150 pictures in batches of 32."""
    seen = Rates()
    trainer = build(
        [seen],
        optimizer=OptimizerConfig("SGD", {"lr": 0.5, "momentum": 0.9}),
        schedule=schedule,
        train=TrainConfig(epochs, 32),
    )
    trainer.fit()
    last = [record["lr"] for record in trainer.progress.history]
    found = np.array(seen.of_batches).reshape(epochs, 5)
    np.testing.assert_array_equal(last, found[:, -1])
    return found


def test_without_a_schedule_the_rate_is_constant(build) -> None:
    assert (rates(build, None) == 0.5).all()


def test_a_step_a_batch(build) -> None:
    """Half a cosine from lr to 0 over the 20 steps of the run, whose length is left out."""
    found = rates(build, ScheduleConfig("CosineAnnealingLR"))
    expected = 0.25 * (1 + np.cos(np.pi * np.arange(20) / 20))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-12, atol=1e-15)


def test_a_step_an_epoch(build) -> None:
    found = rates(build, ScheduleConfig("StepLR", {"step_size": 2, "gamma": 0.1}, "epoch"))
    expected = np.repeat([0.5, 0.5, 0.05, 0.05], 5).reshape(4, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_one_cycle_goes_up_to_the_optimizers_rate(build) -> None:
    """pct_start·20 − 1 = 4: the fifth batch has the largest rate, the last the least."""
    found = rates(build, ScheduleConfig("OneCycleLR", {"pct_start": 0.25})).ravel()
    np.testing.assert_allclose(found[[0, 4, 19]], [0.5 / 25, 0.5, 0.5 / 25 / 1e4], rtol=1e-12)


def test_one_after_the_other(build) -> None:
    warmup = {"kind": "LinearLR", "start_factor": 0.2, "total_iters": 5}
    arguments = {"schedulers": [warmup, {"kind": "CosineAnnealingLR"}], "milestones": [5]}
    found = rates(build, ScheduleConfig("SequentialLR", arguments)).ravel()
    cosine = 0.25 * (1 + np.cos(np.pi * np.arange(15) / 15))
    expected = [*np.linspace(0.1, 0.5, 6)[:5], *cosine]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_each_group_keeps_its_own_rate(build, config) -> None:
    """One cycle, to the rate of each group."""
    first, *others = build().model.parameters()
    optimizer = optim.SGD([{"params": [first]}, {"params": others, "lr": 0.4}], lr=0.2)
    schedule = build_schedule(config, optimizer, 5, True)
    seen = []
    for _ in range(20):
        seen.append([group["lr"] for group in optimizer.param_groups])
        schedule.after_batch()
    np.testing.assert_allclose(np.max(seen, axis=0), [0.2, 0.4], rtol=1e-12)
    np.testing.assert_allclose(*np.transpose(seen) / [[0.2], [0.4]], rtol=1e-12)


def test_on_a_plateau_the_figure_decides(build) -> None:
    """Accuracy is better the higher it is: the rate is halved after each epoch without a record."""
    seen = Rates()
    trainer = build(
        [seen],
        optimizer=OptimizerConfig("SGD", {"lr": 1e-3}),
        schedule=ScheduleConfig("ReduceLROnPlateau", {"patience": 0, "factor": 0.5}),
        train=TrainConfig(6, 32),
    )
    trainer.fit()
    lr, best, expected = 1e-3, -1.0, []
    for record in trainer.progress.history:
        expected += [lr] * 5
        if record["test_accuracy"] > best * (1 + 1e-4):
            best = record["test_accuracy"]
        else:
            lr *= 0.5
    assert seen.of_batches == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        (ScheduleConfig("OneCycle"), 'kind "OneCycle" is not known; did you mean "OneCycleLR"?'),
        (ScheduleConfig("LambdaLR"), 'kind "LambdaLR" is not known; '),
        (
            ScheduleConfig("CosineAnnealingLR", {"T_max": 21}),
            "T_max must be at most the 20 steps there are, got 21",
        ),
        (
            ScheduleConfig("StepLR", {"step_size": 5}, "epoch"),
            "step_size must be at most the 4 epochs there are, got 5",
        ),
        (
            ScheduleConfig("MultiStepLR", {"milestones": [3, 30]}),
            "milestones must be at most the 20 steps there are, got 30",
        ),
        (
            ScheduleConfig("OneCycleLR", {"epochs": 4, "steps_per_epoch": 4}),
            "total_steps must be 20 steps or left out, got 16",
        ),
        (ScheduleConfig("OneCycleLR", {"total_steps": 30}), "total_steps must be at most the 20 "),
        (ScheduleConfig("StepLR"), "StepLR needs step_size"),
        (ScheduleConfig("StepLR", {"stepsize": 2}), "StepLR has no argument stepsize; did you "),
        (ScheduleConfig("ExponentialLR", {"gamma": -1.0}), "ExponentialLR: gamma must be at least"),
        (ScheduleConfig("SequentialLR"), "SequentialLR needs schedulers and milestones, two lists"),
        (
            ScheduleConfig(
                "SequentialLR", {"schedulers": [{"kind": "ConstantLR"}], "milestones": [3]}
            ),
            "milestones must be one less than the 1 schedulers, got 1",
        ),
        (
            ScheduleConfig("SequentialLR", {"schedulers": [{"gamma": 1}], "milestones": []}),
            "must be a table with a kind, got {'gamma': 1}",
        ),
        (
            ScheduleConfig(
                "SequentialLR",
                {"schedulers": [{"kind": "ConstantLR"}, {"kind": "Cosine"}], "milestones": [5]},
            ),
            'kind "Cosine" is not known; ',
        ),
    ],
)
def test_refused(build, schedule, problem) -> None:
    with pytest.raises(ConfigError) as caught:
        build(schedule=schedule)
    assert str(caught.value).startswith("small: schedule")
    assert f": {problem}" in str(caught.value)
