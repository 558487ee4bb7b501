"""NaN and Inf: training ends, says where they came from, and keeps the last good checkpoint."""

import math
import re

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.errors import NonFiniteError
from gpunet.train import Callback, Trainer
from gpunet.train.config import OptimizerConfig, TrainConfig
from gpunet.train.diagnostics import first_non_finite

# NumPy may tell of the same Inf, in a warning that would hide the error.
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")


class Spoil(Callback):
    """Puts a value into the last layer's weights after so many batches."""

    def __init__(self, batch: int, value: float):
        self.batch, self.value = batch, value

    def on_batch(self, trainer: Trainer) -> None:
        self.batch -= 1
        if not self.batch:
            trainer.model[4].weight.array[3, 2] = self.value


class Diary(Callback):
    """Counts what a checkpoint would have been written for."""

    saved = 0

    def on_epoch(self, trainer: Trainer, record: dict) -> None:
        self.saved += 1

    def on_stop(self, trainer: Trainer) -> None:
        self.saved += 1


def message(trainer: Trainer) -> str:
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit()
    assert isinstance(caught.value, ArithmeticError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind"), [(math.nan, "NaN"), (math.inf, "Inf"), (-math.inf, "Inf")]
)
def test_bad_inputs(build, run, value, kind) -> None:
    """The seventh batch is the second of the second epoch."""
    trainer = build([run])
    batches = []

    def spoil(inputs: np.ndarray, targets: np.ndarray, _: object) -> tuple:
        batches.append(len(inputs))
        if len(batches) == 7:
            inputs[5, 0, 3, 3] = value
        return inputs, targets

    trainer.loader.transform = spoil
    assert message(trainer) == (
        "train: the loss must be finite, got nan at epoch 2, batch 2; the input holds "
        f"{kind}; a smaller learning rate often helps"
    )


@pytest.mark.parametrize(("value", "kind"), [(math.nan, "NaN"), (math.inf, "Inf")])
def test_bad_weights(build, value, kind) -> None:
    """Spoilt after the eighth batch, seen in the ninth."""
    text = message(build([Spoil(8, value)]))
    assert text.startswith("train: the loss must be finite, got nan at epoch 2, batch 4; ")
    assert f"parameter 4.weight holds {kind} (the step before made it)" in text


def test_weights_that_overflow_in_a_layer(build) -> None:
    """A finite weight whose product with 2 is not: the layer is named, not the parameter."""
    trainer = build([Spoil(1, 3e38)])
    trainer.model[1].bias.array[...] = 2.0
    trainer.loader.transform = lambda inputs, targets, _: (np.ones_like(inputs), targets)
    text = message(trainer)
    assert "at epoch 1, batch 2; layer 4 (Linear) was the first to return Inf" in text


@pytest.mark.parametrize("rate", [1e20, 1e38])
def test_too_large_a_rate(build, rate) -> None:
    """Wherever it breaks first, epoch, batch and the guilty layer or parameter are told."""
    text = message(build(optimizer=OptimizerConfig("SGD", {"lr": rate}), train=TrainConfig(9, 32)))
    assert re.fullmatch(
        r"train: the (test )?loss must be finite, got (nan|inf) "
        r"(at epoch 1, batch [2-5]|after epoch 1); "
        r"(layer \d \(Linear\) was the first to return|parameter \d\.(weight|bias) holds) "
        r"(NaN|Inf).*; a smaller learning rate often helps",
        text,
    )


def test_the_last_good_checkpoint_stays(build, run) -> None:
    kept = []

    class Keep(Callback):
        def on_epoch(self, trainer: Trainer, record: dict) -> None:
            kept.append(run.checkpoint.read_bytes())

    message(build([run, Keep(), Spoil(8, math.nan)]))
    assert kept == [run.checkpoint.read_bytes()]
    trainer = build()
    run.restore(trainer)
    assert all(np.isfinite(p.array).all() for p in trainer.model.parameters())
    assert trainer.loader.epoch == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_last_step_of_an_epoch_is_looked_at_before_anything_is_written(build, value) -> None:
    """The loss of its batch was still finite; the evaluation tells."""
    diary = Diary()
    text = message(build([Spoil(5, value), diary]))
    assert text.startswith(
        "train: the test loss must be finite, got nan after epoch 1; parameter 4.w"
    )
    assert diary.saved == 0


def test_so_is_the_step_before_a_stop(build) -> None:
    class Stop(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            trainer.stop = trainer.progress.step == 3

    diary = Diary()
    text = message(build([Spoil(3, math.nan), Stop(), diary]))
    assert text == (
        "train: weights must be finite to be kept at epoch 1, batch 3; parameter 4.weight holds "
        "NaN (the step before made it); a smaller learning rate often helps"
    )
    assert diary.saved == 0


# --- who was first


class Explode(nn.Module):
    """Multiplies by a number so large that the product overflows."""

    def forward(self, x):
        return x * 1e38 * 1e38


def model() -> nn.Sequential:
    block = nn.Sequential(nn.ReLU(), Explode(), nn.Sigmoid())
    return nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Tanh(), block), nn.Softmax(1))


def test_the_innermost_layer_is_named() -> None:
    network = model()
    network[0].weight.array[...] = 1.0
    x = gpunet.tensor([[1.0, 2.0]])
    found = first_non_finite(network, x)
    assert found == "layer 1.1.1 (Explode) was the first to return Inf"
    assert all(module._forward_hooks == () for module in network.modules())


def test_inputs_come_before_parameters_and_these_before_layers() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    network[2].bias.array[1] = np.inf
    good, bad = gpunet.tensor([[1.0, 2.0]]), gpunet.tensor([[1.0, math.nan]])
    assert first_non_finite(network, bad) == "the input holds NaN"
    assert first_non_finite(network, good).startswith("parameter 2.bias holds Inf")
    network[0].weight.array[0, 0] = np.nan
    assert first_non_finite(network, good).startswith("parameter 0.weight holds NaN")


def test_the_model_itself() -> None:
    found = first_non_finite(Explode(), gpunet.tensor([[1.0, 2.0]]))
    assert found == "layer the model (Explode) was the first to return Inf"


def test_nothing_but_the_loss() -> None:
    found = first_non_finite(nn.Sequential(nn.Linear(2, 3)), gpunet.tensor([[1.0, 2.0]]))
    assert found == "every layer's output is finite: the loss itself overflowed"


def test_hooks_are_gone_after_an_error() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with pytest.raises(ValueError, match="x must have shape"):
        first_non_finite(network, gpunet.tensor([[1.0, 2.0, 3.0]]))
    assert all(module._forward_hooks == () for module in network.modules())
    assert F.relu(gpunet.tensor([1.0])).item() == 1
