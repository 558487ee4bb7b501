"""The loop: its schedule, its figures, the order of events, and the same bits after a resume."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet.backend.random import random
from gpunet.train import Callback, Run, Trainer
from gpunet.train.config import (
    LayerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)

# --- figures


def test_figures_of_a_model_that_does_not_change(build, digits) -> None:
    """At a rate of 0 the averages over an epoch are those of the whole set."""
    dense = LayerConfig("Linear", {"in_features": 64, "out_features": 10})
    trainer = build(
        model=ModelConfig((LayerConfig("Flatten"), dense)),
        loss=None,
        optimizer=OptimizerConfig("SGD", {"lr": 0.0}),
        schedule=None,
        train=TrainConfig(2, 32),
    )
    trainer.loader.transform = None
    assert trainer.fit() is True
    on_train, on_test = (
        trainer.task.evaluate(trainer.model, part, backend.cpu).figures for part in digits
    )
    for epoch, record in enumerate(trainer.progress.history, 1):
        assert record["epoch"] == epoch
        assert record["lr"] == 0.0
        assert record["train_loss"] == pytest.approx(
            on_train["loss"], rel=1e-6
        )  # summed in float32
        assert record["train_accuracy"] == pytest.approx(on_train["accuracy"], rel=1e-12)
        assert record["test_loss"] == on_test["loss"]
        assert record["test_accuracy"] == on_test["accuracy"]
        assert record["samples_per_second"] * record["seconds"] == pytest.approx(150, rel=1e-12)
    assert trainer.progress.step == 10
    assert trainer.evaluation.figures["accuracy"] == on_test["accuracy"]


def test_training_learns(build, digits) -> None:
    """150 pictures are learnt, and most others recognised; one in ten would be by chance."""
    optimizer = OptimizerConfig("AdamW", {"lr": 1e-2})
    trainer = build(train=TrainConfig(80, 32), optimizer=optimizer, schedule=None)
    trainer.fit()
    assert trainer.progress.history[0]["test_accuracy"] < 0.5
    assert trainer.evaluation.figures["accuracy"] > 0.7
    on_train = trainer.task.evaluate(trainer.model, digits[0], backend.cpu)
    assert on_train.figures["accuracy"] > 0.9


def test_the_loss_is_smoothed_as_configured(build) -> None:
    half = LossConfig("CrossEntropyLoss", {"label_smoothing": 0.5})
    plain = build(train=TrainConfig(1, 32), loss=None)
    smoothed = build(train=TrainConfig(1, 32), loss=half)
    for trainer in (plain, smoothed):
        trainer.fit()
    first, second = plain.progress.history[0], smoothed.progress.history[0]
    assert first["train_loss"] != second["train_loss"]
    assert 0.5 * math.log(10) < second["train_loss"]  # half of the target is spread evenly


# --- events


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_start(self, trainer: Trainer) -> None:
        self.events.append("start")

    def on_batch(self, trainer: Trainer) -> None:
        self.events.append(f"{trainer.loader.epoch}.{trainer.loader.position}")

    def on_epoch(self, trainer: Trainer, record: dict) -> None:
        self.events.append(f"epoch {record['epoch']}")

    def on_stop(self, trainer: Trainer) -> None:
        self.events.append("stop")

    def on_end(self, trainer: Trainer) -> None:
        self.events.append("end")


class StopAfter(Callback):
    """Asks the trainer to stop once this many batches are done."""

    def __init__(self, batches: float):
        self.batches = batches

    def on_batch(self, trainer: Trainer) -> None:
        self.batches -= 1
        trainer.stop = self.batches == 0


def test_order_of_events(build) -> None:
    diary = Diary()
    assert build([diary], train=TrainConfig(2, 64)).fit() is True
    epochs = ["0.1", "0.2", "0.3", "epoch 1", "1.1", "1.2", "1.3", "epoch 2"]
    assert diary.events == ["start", *epochs, "end"]


def test_a_stop_comes_between_two_batches(build) -> None:
    diary = Diary()
    assert build([StopAfter(2), diary], train=TrainConfig(2, 64)).fit() is False
    assert diary.events == ["start", "0.1", "0.2", "stop", "end"]


def test_the_end_is_told_after_an_error(build) -> None:
    class Fail(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            raise KeyError("mine")

    diary = Diary()
    with pytest.raises(KeyError, match="mine"):
        build([diary, Fail()]).fit()
    assert diary.events == ["start", "0.1", "end"]


def test_dropout_is_on_in_training_and_off_in_evaluation(build) -> None:
    trainer = build()
    modes = []
    trainer.model[3].register_forward_hook(lambda layer, *_: modes.append(layer.training))
    trainer.fit()
    assert modes == ([True] * 5 + [False]) * 4


# --- resume

TIMES = ("seconds", "samples_per_second")
SCHEDULES = {
    "momentum": ScheduleConfig("ReduceLROnPlateau", {"patience": 0}),
    "AdamW": ScheduleConfig("OneCycleLR", {"pct_start": 0.3}),
}
OPTIMIZERS = {
    "momentum": OptimizerConfig("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "AdamW": OptimizerConfig("AdamW", {"lr": 3e-3, "amsgrad": True}),
}


def outcome(trainer: Trainer, run: Run) -> dict:
    """Everything that training leaves behind, but for the time it took."""
    lines = map(json.loads, (run.folder / "metrics.jsonl").read_text().splitlines())
    state = trainer.optimizer.state_dict()["state"]
    return {
        "weights": {name: a.tobytes() for name, a in trainer.model.state_dict().items()},
        "moments": {i: {k: a.tobytes() for k, a in of.items()} for i, of in state.items()},
        "metrics": [{k: v for k, v in line.items() if k not in TIMES} for line in lines],
        "random": random.state_dict(),
        "loader": trainer.loader.state_dict(),
        "step": trainer.progress.step,
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stops", [[1], [3], [5], [6], [12], [19], [20], [2, 5, 9]], ids=str)
def test_a_resumed_run_ends_with_the_same_bits(build, config, tmp_path, stops, optimizer) -> None:
    """Stopped after the first batch, amid an epoch, at its end, after the very last, or thrice."""
    parts = {"optimizer": OPTIMIZERS[optimizer], "schedule": SCHEDULES[optimizer]}
    config = replace(config, **parts)
    through = Run.create(tmp_path / "through", config, 0)
    trainer = build([through], **parts)
    assert trainer.fit() is True
    expected = outcome(trainer, through)
    assert len(expected["metrics"]) == 4

    run = Run.create(tmp_path / "stopped", config, 0)
    trainer = build([run, StopAfter(stops[0])], **parts)
    for stop, following in itertools.pairwise([*stops, math.inf]):
        assert trainer.fit() is False
        assert trainer.progress.step == stop
        gpunet.manual_seed(999)  # what else happens in the process must not matter
        run = Run.open(run.folder)
        assert run.config == config
        trainer = build([run, StopAfter(following - stop)], **parts)
        run.restore(trainer)
    assert trainer.fit() is True
    assert outcome(trainer, run) == expected


def test_a_finished_run_has_nothing_to_go_on_with(build, run) -> None:
    build([run], train=TrainConfig(1, 32)).fit()
    diary = Diary()
    trainer = build([diary], train=TrainConfig(1, 32))
    run.restore(trainer)
    assert trainer.fit() is True
    assert diary.events == ["start", "end"]
    assert trainer.evaluation is None


def test_an_epoch_more_goes_on_with_the_same_weights(build, run) -> None:
    first = build([run], train=TrainConfig(1, 32), schedule=None)
    first.fit()
    trainer = build(train=TrainConfig(2, 32), schedule=None)
    run.restore(trainer)
    np.testing.assert_array_equal(trainer.model[1].weight.array, first.model[1].weight.array)
    trainer.fit()
    assert [record["epoch"] for record in trainer.progress.history] == [1, 2]
