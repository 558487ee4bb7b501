"""The modes of the loop: accumulated and full batches, early stopping, averages, L-BFGS."""

from dataclasses import replace

import numpy as np
import pytest

from gpunet import backend
from gpunet.errors import ConfigError
from gpunet.train import Callback, Run, Trainer
from gpunet.train.config import (
    AugmentConfig,
    AverageConfig,
    LayerConfig,
    ModelConfig,
    OptimizerConfig,
    RegularizationConfig,
    TrainConfig,
)
from tests.train.test_trainer import StopAfter, outcome

PLAIN = ModelConfig(
    (
        LayerConfig("Flatten"),
        LayerConfig("Linear", {"in_features": 64, "out_features": 16}),
        LayerConfig("Tanh"),
        LayerConfig("Linear", {"in_features": 16, "out_features": 10}),
    )
)


@pytest.fixture
def plain(build, config):
    """A trainer in which nothing is drawn at random but the order."""

    def make(*callbacks: Callback, **changes) -> Trainer:
        data = replace(config.data, augment=AugmentConfig())
        changes = {"optimizer": OptimizerConfig("SGD", {"lr": 0.5}), **changes}
        return build(callbacks, data=data, model=PLAIN, schedule=None, **changes)

    return make


def weights(trainer: Trainer) -> list[np.ndarray]:
    return [p.array.copy() for p in trainer.model.parameters()]


# --- accumulation: the gradient is that of the mean over all examples


@pytest.mark.parametrize(("batch", "accumulate"), [(75, 2), (32, 5), (1, 150), (70, 3)])
def test_an_accumulated_full_batch_is_a_full_batch(plain, batch, accumulate) -> None:
    """Up to rounding in float32; smaller last batches weigh less."""
    full, added = plain(train=TrainConfig(3, 150)), plain(train=TrainConfig(3, batch, accumulate))
    for trainer in (full, added):
        trainer.fit()
        assert trainer.progress.step == 3
    for a, b in zip(weights(full), weights(added), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    a, b = (trainer.progress.history[-1]["train_loss"] for trainer in (full, added))
    assert a == pytest.approx(b, rel=1e-5)


def test_the_last_step_of_an_epoch_may_have_fewer(plain) -> None:
    """150 in batches of 32, two a step: 64, 64, 22; the schedule is told of three steps."""
    seen = []

    class Look(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            seen.append((trainer.loader.position, trainer.progress.seen))

    plain(Look(), train=TrainConfig(1, 32, accumulate=2)).fit()
    assert seen == [(2, 64), (4, 128), (5, 150)]


def test_accumulating_more_than_there_is(plain) -> None:
    with pytest.raises(ConfigError) as caught:
        plain(train=TrainConfig(1, 32, accumulate=6))
    assert str(caught.value) == (
        "small: train.accumulate must be at most the 5 batches of an epoch, got 6"
    )


# --- an optimizer that evaluates more than once a step


def test_lbfgs(plain) -> None:
    """A step of 20 iterations on the full batch leads further than 20 of gradient descent."""
    arguments = {"line_search_fn": "strong_wolfe", "max_iter": 20}
    newton = plain(optimizer=OptimizerConfig("LBFGS", arguments), train=TrainConfig(2, 150))
    descent = plain(train=TrainConfig(20, 150))
    for trainer in (newton, descent):
        trainer.fit()
    losses = [trainer.progress.history[-1]["train_loss"] for trainer in (newton, descent)]
    assert losses[0] < losses[1]
    assert newton.progress.step == 2


# --- early stopping


class Pretend(Callback):
    """Puts these figures in the place of the real ones."""

    def __init__(self, *figures: float):
        self.figures = figures
        self.weights: list[list[np.ndarray]] = []

    def on_epoch(self, trainer: Trainer, record: dict) -> None:
        record["test_accuracy"] = self.figures[record["epoch"] - 1]
        self.weights.append(weights(trainer))


def test_patience(plain, run, config) -> None:
    """The best is the second; after three epochs without a better one it ends there."""
    figures = Pretend(0.1, 0.5, 0.5, 0.4, 0.3, 0.9)
    run.config = replace(config, train=TrainConfig(6, 32, patience=3))
    trainer = plain(figures, run, train=run.config.train)
    assert trainer.fit() is True
    assert len(trainer.progress.history) == 5
    for a, b in zip(weights(trainer), figures.weights[1], strict=True):
        np.testing.assert_array_equal(a, b)
    on_test = trainer.task.evaluate(trainer.model, trainer.held_out, backend.cpu)
    assert trainer.evaluation.figures == on_test.figures
    path, saved, part = run.trained()
    assert (path.name, part) == ("best.safetensors", "model")
    np.testing.assert_array_equal(saved.tensors["model.1.weight"], figures.weights[1][0])


def test_without_patience_it_goes_on(plain, run) -> None:
    figures = Pretend(0.9, 0.1, 0.1, 0.1)
    trainer = plain(figures, run, train=TrainConfig(4, 32))
    trainer.fit()
    assert len(trainer.progress.history) == 4
    np.testing.assert_array_equal(weights(trainer)[0], figures.weights[-1][0])
    assert run.trained()[0].name == "checkpoint.safetensors"


def test_a_run_that_lost_patience_is_finished(plain, run, config) -> None:
    run.config = replace(config, train=TrainConfig(6, 32, patience=1))
    plain(Pretend(0.5, 0.4), run, train=run.config.train).fit()
    again = plain(train=run.config.train)
    run.restore(again)
    assert again.fit() is True
    assert len(again.progress.history) == 2


# --- averages


class Keep(Callback):
    """The weights after each step, and after each epoch."""

    def __init__(self) -> None:
        self.steps: list[list[np.ndarray]] = []
        self.epochs: list[list[np.ndarray]] = []

    def on_batch(self, trainer: Trainer) -> None:
        self.steps.append(weights(trainer))

    def on_epoch(self, trainer: Trainer, record: dict) -> None:
        self.epochs.append(weights(trainer))


def test_exponential_average(plain) -> None:
    kept = Keep()
    trainer = plain(kept, average=AverageConfig("ema", 0.9), train=TrainConfig(2, 32))
    trainer.fit()
    expected = [w.astype("float64") for w in kept.steps[0]]
    for step in kept.steps[1:]:
        expected = [0.9 * e + 0.1 * w for e, w in zip(expected, step, strict=True)]
    for e, p in zip(expected, trainer.averaging.average.module.parameters(), strict=True):
        np.testing.assert_allclose(p.array, e, rtol=1e-5, atol=1e-7)


def test_mean_of_the_epochs_from_a_start_on(plain, digits) -> None:
    """And it is the mean that is judged."""
    kept = Keep()
    trainer = plain(kept, average=AverageConfig("swa", start=1), train=TrainConfig(4, 32))
    trainer.fit()
    average = trainer.averaging.average.module
    for i, p in enumerate(average.parameters()):
        mean = np.mean([epoch[i] for epoch in kept.epochs[1:]], axis=0, dtype="float64")
        np.testing.assert_allclose(p.array, mean, rtol=1e-5, atol=1e-7)
    judged = trainer.task.evaluate(average, digits[1], backend.cpu).figures
    assert trainer.evaluation.figures == judged
    assert judged != trainer.task.evaluate(trainer.model, digits[1], backend.cpu).figures


# --- all of it at once, stopped and resumed

EVERYTHING = {
    "train": TrainConfig(4, 32, accumulate=2, patience=3, metrics=("f1", "top_2_accuracy")),
    "regularization": RegularizationConfig(1e-4, 1e-3, 1.0, 0.5, 2.0),
    "average": AverageConfig("ema", 0.8),
}


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 7])
def test_a_resumed_run_ends_with_the_same_bits(build, config, tmp_path, stop) -> None:
    config = replace(config, **EVERYTHING)
    through = Run.create(tmp_path / "through", config, 0)
    trainer = build([through], **EVERYTHING)
    trainer.fit()
    expected = outcome(trainer, through)
    assert {"test_f1", "test_top_2_accuracy"} < expected["metrics"][0].keys()

    run = Run.create(tmp_path / "stopped", config, 0)
    assert build([run, StopAfter(stop)], **EVERYTHING).fit() is False
    again = build([run], **EVERYTHING)
    run.restore(again)
    again.fit()
    assert outcome(again, run) == expected
    averages = [t.averaging.average.state_dict() for t in (trainer, again)]
    assert all((averages[0][name] == averages[1][name]).all() for name in averages[0])


def test_a_metric_of_another_task(build) -> None:
    with pytest.raises(ConfigError) as caught:
        build(train=TrainConfig(1, 32, metrics=("perplexity",)))
    assert str(caught.value).startswith(
        'small: train.metrics: "perplexity" is no metric of classification; '
    )
