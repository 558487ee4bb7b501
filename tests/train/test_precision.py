"""Training in halves: near float32, with steps that are left out and counted, and exact resume."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gpunet.errors import ConfigError, NonFiniteError
from gpunet.train import Callback, Run, Trainer
from gpunet.train.config import OptimizerConfig, PrecisionConfig, TrainConfig
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended

HALF = PrecisionConfig("float16")
DIGITS = {"float16": 11, "bfloat16": 8}
both = pytest.mark.parametrize("half", DIGITS)
TIMES = ("seconds", "samples_per_second")


def history(trainer: Trainer) -> list[dict]:
    trainer.fit()
    return trainer.progress.history


@both
def test_the_curve_is_that_of_float32(build, half) -> None:
    """Products are rounded to 11 bits, so losses agree to a few units of 2^-11 for a while."""
    exact, rounded = history(build()), history(build(precision=PrecisionConfig(half)))
    for before, after in zip(exact, rounded, strict=True):
        for figure in ("train_loss", "test_loss"):
            assert after[figure] == pytest.approx(before[figure], rel=20 * 2.0 ** -DIGITS[half])
            assert after[figure] != before[figure]
        assert "loss_scale" not in before
        if half == "float16":
            assert (after["skipped_steps"], after["loss_scale"]) == (0, 65536.0)
        else:
            assert "loss_scale" not in after


@both
def test_weights_stay_in_float32_and_so_does_evaluation(build, half) -> None:
    trainer = build(precision=PrecisionConfig(half), train=TrainConfig(1, 32))
    dtypes = []
    trainer.model[1].register_forward_hook(lambda layer, _, y: dtypes.append(str(y.dtype)))
    trainer.fit()
    assert dtypes == [half] * 5 + ["float32"]
    assert {str(p.dtype) for p in trainer.model.parameters()} == {"float32"}
    assert {str(p.grad.dtype) for p in trainer.model.parameters()} == {"float32"}


class Scales(Callback):
    """Notes the scale after each step, and whether the step changed a weight."""

    def __init__(self) -> None:
        self.scales: list[float] = []
        self.moved: list[bool] = []
        self.looked = 0

    def on_start(self, trainer: Trainer) -> None:
        self.before = trainer.model[1].weight.array.copy()

    def on_gradients(self, trainer: Trainer) -> None:
        self.looked += 1
        assert np.isfinite(trainer.model[1].weight.grad.array).all()

    def on_batch(self, trainer: Trainer) -> None:
        after = trainer.model[1].weight.array.copy()
        self.moved.append(bool((after != self.before).any()))
        self.before = after
        self.scales.append(trainer.gradients.scaler.get_scale())


def test_an_overflow_is_left_out_halves_the_scale_and_is_counted(build) -> None:
    seen = Scales()
    config = PrecisionConfig("float16", init_scale=2.0**24, growth_interval=5)
    trainer = build([seen], precision=config)
    records = history(trainer)
    assert not seen.moved[0], "a scale of 2^24 must overflow"
    skips = seen.moved.count(False)
    assert skips == sum(record["skipped_steps"] for record in records) > 2
    assert seen.looked == 20 - skips
    scale, good = 2.0**24, 0
    for moved, found in zip(seen.moved, seen.scales, strict=True):
        good = good + 1 if moved else 0
        scale *= 1 if moved else 0.5
        if good == 5:
            scale, good = 2 * scale, 0
        assert found == scale
    assert records[-1]["loss_scale"] == scale
    assert max(state["step"][0] for state in trainer.optimizer.state.values()) == 20 - skips


class StopAfter(Callback):
    def __init__(self, batches: float):
        self.batches = batches

    def on_batch(self, trainer: Trainer) -> None:
        self.batches -= 1
        trainer.stop = self.batches == 0


def test_resume_is_exact_with_the_scale_under_way(build, config, tmp_path) -> None:
    precision = PrecisionConfig("float16", init_scale=2.0**24, growth_interval=4)
    config = replace(config, precision=precision)

    def outcome(trainer: Trainer) -> dict:
        records = [
            {k: v for k, v in record.items() if k not in TIMES}
            for record in trainer.progress.history
        ]
        weights = {name: a.tobytes() for name, a in trainer.model.state_dict().items()}
        return {**weights, "records": records, "scaler": trainer.gradients.scaler.state_dict()}

    through = build([], precision=precision)
    through.fit()
    for stop in (3, 7, 13):
        run = Run.create(tmp_path / str(stop), config, 0)
        assert build([run, StopAfter(stop)], precision=precision).fit() is False
        run = Run.open(run.folder)
        trainer = build([run], precision=precision)
        run.restore(trainer)
        trainer.fit()
        assert outcome(trainer) == outcome(through)
        line = json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[-1])
        assert line["loss_scale"] == through.gradients.scaler.get_scale()


def test_a_loss_that_no_scale_helps_is_explained(build) -> None:
    """Weights of 1e6 overflow in float16 on the way forward."""
    trainer = build(precision=HALF, train=TrainConfig(1, 32))
    trainer.model[1].weight.array *= 1e6
    with pytest.raises(NonFiniteError, match=r"forward: \w+ of 1 was the first to give Inf"):
        trainer.fit()


def test_gradients_that_no_scale_helps_are_explained(build) -> None:
    class Spoil(Callback):
        def on_start(self, trainer: Trainer) -> None:
            trainer.model[4].weight.register_hook(lambda g: g + float("inf"))

    trainer = build([Spoil()], precision=PrecisionConfig("float16", init_scale=4.0))
    with pytest.raises(NonFiniteError, match="gradients must be finite at a loss scale of 1 at"):
        trainer.fit()
    assert trainer.progress.skipped == 2


@both
def test_lbfgs_is_refused(build, half) -> None:
    with pytest.raises(ConfigError, match=f"must be float32 with LBFGS.* got {half}"):
        build(precision=PrecisionConfig(half), optimizer=OptimizerConfig("LBFGS"), schedule=None)


@needs.compiler
@both
def test_on_the_pretended_gpu(build, half) -> None:
    """The same batches on the CUDA backend, its kernels executed on the host."""
    precision = PrecisionConfig(half)
    expected = history(build(precision=precision, train=TrainConfig(2, 32)))
    with pretended(HostGPU()):
        trainer = build(precision=precision, train=TrainConfig(2, 32), device="cuda:0")
        got = history(trainer)
        assert trainer.be.device == "cuda:0"
    for before, after in zip(expected, got, strict=True):
        assert after["test_loss"] == pytest.approx(
            before["test_loss"], rel=20 * 2.0 ** -DIGITS[half]
        )
        assert after.get("skipped_steps", 0) == 0
