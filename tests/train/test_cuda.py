"""Training on the CUDA backend: configs/digits.toml, its kernels executed on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import backend, nn
from gpunet.train import Callback, Trainer
from gpunet.train.build import build_data, build_model, build_trainer
from gpunet.train.config import load
from tests.kernels import needs
from tests.kernels.host.array import HostArray
from tests.kernels.host.gpu import HostGPU, pretended

CONFIG = Path(__file__).parents[2] / "configs" / "digits.toml"
EPOCHS = 2


def trainer(device: str, nudge: float = 0.0) -> Trainer:
    """As `gpunet train` builds it, with initial weights moved by a share of themselves."""
    config = load(CONFIG, [f"train.epochs={EPOCHS}"])
    gpunet.manual_seed(config.seed)
    model = build_model(config)
    for parameter in model.parameters():
        signs = np.random.default_rng(0).choice((-1, 1), parameter.shape)
        parameter.array *= (1 + nudge * signs).astype("float32")
    model.to(device)
    train, name, held_out = build_data(config.data, config.seed)
    return build_trainer(config, model, train, (name, held_out))


def losses(device: str, nudge: float = 0.0) -> Any:
    """The training and test loss after each epoch."""
    made = trainer(device, nudge)
    made.fit()
    return np.array([[r["train_loss"], r["test_loss"]] for r in made.progress.history])


def assert_same_curve(device: str) -> None:
    """The losses of the device are those of the CPU, up to what rounding makes of them.

    A difference of one rounding grows: sooner or later a unit is just above 0 in one run and just
    below in the other, and Adam makes steps of full size of that. So the bound is what becomes of
    weights that start eight roundings away, about as far as a hundred steps lead.
    """
    expected = losses("cpu")
    noise = max(np.abs(losses("cpu", n * 2.0**-23) - expected).max() for n in (-8, 8))
    assert expected[-1, 0] < np.log(10) / 3, "it does not learn"  # log 10 is that of a guess
    assert np.abs(losses(device) - expected).max() <= 2 * noise


@needs.compiler
def test_the_loss_curve_is_that_of_the_cpu() -> None:
    with pretended(HostGPU()):
        assert_same_curve("cuda:0")


def first_losses(device: str) -> Any:
    """The losses of the first batches, before differences can grow."""

    class Record(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            sums.append(trainer.progress.sums["loss"])
            trainer.stop = len(sums) == 10

    sums: list[float] = []
    made = trainer(device)
    made.callbacks = [Record()]
    made.fit()
    return np.diff(sums, prepend=0) / made.config.batch_size


@needs.compiler
def test_the_first_losses_are_those_of_the_cpu() -> None:
    with pretended(HostGPU()):
        got = first_losses("cuda:0")
    # Rounding is at most a few units of the loss in each of the steps so far.
    np.testing.assert_allclose(got, first_losses("cpu"), rtol=10 * 4 * 2.0**-23)


@needs.compiler
def test_a_step_reads_nothing_from_the_device() -> None:
    """So that Python runs ahead of the device, and a step can be captured and replayed."""
    with pretended(HostGPU()) as _:
        made = trainer("cuda:0")
        be, model = made.be, made.model
        x, t = next(iter(made.loader))
        x, t = gpunet.tensor(x, device=be.device), gpunet.tensor(t, device=be.device)

        def step() -> gpunet.Tensor:
            made.optimizer.zero_grad()
            loss = nn.CrossEntropyLoss(label_smoothing=0.1)(model(x), t)
            loss.backward()
            made.optimizer.step()
            return loss

        step()
        HostArray.reads = 0
        loss = step()
        assert HostArray.reads == 0
        loss.item()
        assert HostArray.reads > 0


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    if reason := backend.cuda.probe():
        pytest.skip(reason)
    assert_same_curve("cuda:0")
