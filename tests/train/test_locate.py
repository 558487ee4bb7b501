"""NaN and Inf: training ends, names what made them, and keeps the last good checkpoint."""

import math
import re

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.autograd import Op, apply
from gpunet.errors import NonFiniteError
from gpunet.train import Callback, Trainer
from gpunet.train import build as builders
from gpunet.train.config import LayerConfig, ModelConfig, OptimizerConfig, TrainConfig
from gpunet.train.locate import fault_in_operations, gradients_finite, small_parameters

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


# --- ten faults, each in the fourth of five batches


class Broken(Op):
    """Passes its input on, and a NaN back."""

    def forward(self, be, x):
        return x + 0

    def backward(self, be, gy):
        gx = gy + 0
        gx[1, 2] = math.nan
        return gx


OF_X = {
    "Log": (lambda x: (x - x.detach() - 1).log(), "forward: Log of 2", "NaN"),
    "Exp": (lambda x: (x * 0 + 89).exp(), "forward: Exp of 2", "Inf"),
    "Div": (lambda x: (x - x.detach()) / (x - x.detach()), "forward: Divide of 2", "NaN"),
    "Mul": (lambda x: (x * 0 + 1e30) * 1e30, "forward: Multiply of 2", "Inf"),
    "Sqrt": (lambda x: x + (x - x.detach()).sqrt(), "backward: Sqrt of 2", "NaN"),
    "Mul, backward": (
        lambda x: x + (x - x.detach()) * 1e30 * 1e30,
        "backward: Multiply of 2",
        "Inf",
    ),
    "an operation of one's own": (lambda x: apply(Broken(), x), "backward: Broken of 2", "NaN"),
}


@pytest.fixture
def planted(build, monkeypatch):
    """A trainer whose layer 2 computes `function` in the fourth step, and nothing before."""

    def make(function, **changes) -> Trainer:
        class Planted(nn.Module):
            def forward(self, x):
                return function(x) if self.training and trainer.progress.step == 3 else x

        monkeypatch.setitem(builders._LAYERS, "Planted", Planted)
        layers = (
            LayerConfig("Flatten"),
            LayerConfig("Linear", {"in_features": 64, "out_features": 16}),
            LayerConfig("Planted"),
            LayerConfig("Dropout", {"p": 0.2}),
            LayerConfig("Linear", {"in_features": 16, "out_features": 10}),
        )
        trainer = build(model=ModelConfig(layers), **changes)
        return trainer

    return make


@pytest.mark.parametrize("name", OF_X)
def test_an_operation_at_fault(planted, name) -> None:
    function, where, kind = OF_X[name]
    trainer = planted(function)
    text = message(trainer)
    assert re.match(
        rf"train: (the loss|gradients) must be finite(, got (nan|inf))? at epoch 1, batch 4; "
        rf"{where} was the first to give {kind}, at element \[\d+, \d+\]; \w",
        text,
    ), text
    assert ("backward" in where) == text.startswith("train: gradients must be finite at")
    assert all(np.isfinite(p.array).all() for p in trainer.model.parameters())
    assert all(m._forward_hooks == m._forward_pre_hooks == () for m in trainer.model.modules())


def test_the_element_is_named(planted) -> None:
    text = message(planted(OF_X["an operation of one's own"][0]))
    assert "at element [1, 2]; gradients outgrew their dtype: regularization.clip_norm" in text


@pytest.mark.parametrize(
    ("value", "kind"), [(math.nan, "NaN"), (math.inf, "Inf"), (-math.inf, "Inf")]
)
def test_the_data_at_fault(build, run, value, kind) -> None:
    """The seventh batch is the second of the second epoch."""
    trainer = build([run])
    batches = []

    def spoil(inputs: np.ndarray, targets: np.ndarray, _: object) -> tuple[np.ndarray, np.ndarray]:
        batches.append(len(inputs))
        if len(batches) == 7:
            inputs[5, 0, 3, 3] = value
        return inputs, targets

    trainer.loader.transform = spoil
    text = message(trainer)
    assert "at epoch 2, batch 2; data: the inputs was the first to give " in text
    assert f" {kind}, at element [5, 0, 3, 3]; leave such examples out" in text


OPTIMIZERS = {
    "too long a step": (OptimizerConfig("Adam", {"lr": 1e39}), "(NaN|Inf)"),
    "no eps": (OptimizerConfig("Adam", {"lr": 1e-3, "eps": 0.0}), "NaN"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_at_fault(build, name) -> None:
    """Gradients are finite, 0 at pixels that are always white, and the weights are not."""
    optimizer, kind = OPTIMIZERS[name]
    text = message(build(optimizer=optimizer, schedule=None))
    assert re.fullmatch(
        rf"train: the loss must be finite, got (nan|inf) at epoch 1, batch 2; "
        rf"optimizer: {optimizer.kind} of \d\.(weight|bias) was the first to give {kind}, "
        r"at element \[[\d, ]+\]; the step was too large for the weights: .*",
        text,
    ), text


def test_what_is_finite_when_done_again(planted) -> None:
    """The layer draws what no seed of gpunet decides."""
    once = iter([math.nan])
    text = message(planted(lambda x: x * next(once, 1.0)))
    assert text.endswith(
        "when it was done again it was finite: the model keeps state of its own, or draws random "
        "numbers of its own"
    )


def test_dropout_drops_the_same_when_a_step_is_done_again(planted) -> None:
    seen = []

    def look(x):
        seen.append(gpunet.dropout(gpunet.ones(8, 8), 0.5).array.copy())
        return (x - x.detach() - 1).log()

    message(planted(look))
    assert len(seen) == 2
    np.testing.assert_array_equal(*seen)


def test_if_asked_it_goes_on(planted) -> None:
    function = OF_X["an operation of one's own"][0]
    trainer = planted(function, train=TrainConfig(1, 32, stop_at_nan=False))
    text = message(trainer)
    assert text.startswith(
        "train: the test loss must be finite, got nan after epoch 1; backward: the gra"
    )
    assert trainer.progress.step == 5


# --- spoilt weights


@pytest.mark.parametrize(("value", "kind"), [(math.nan, "NaN"), (math.inf, "Inf")])
def test_bad_weights(build, value, kind) -> None:
    """Spoilt after the eighth batch, seen in the ninth."""
    text = message(build([Spoil(8, value)]))
    assert text.startswith("train: the loss must be finite, got nan at epoch 2, batch 4; ")
    assert f"optimizer: AdamW of 4.weight was the first to give {kind}, at element [3, 2]" in text


def test_weights_that_overflow_in_a_layer(build) -> None:
    """A finite weight whose product with 2 is not: the layer is named, not the parameter."""
    trainer = build([Spoil(1, 3e38)])
    trainer.model[1].bias.array[...] = 2.0
    trainer.loader.transform = lambda inputs, targets, _: (np.ones_like(inputs), targets)
    text = message(trainer)
    assert "at epoch 1, batch 2; forward: Linear of 4 was the first to give Inf, at " in text


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
        "train: the test loss must be finite, got nan after epoch 1; optimizer: AdamW of 4.weight"
    )
    assert diary.saved == 0


def test_so_is_the_step_before_a_stop(build) -> None:
    class Stop(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            trainer.stop = trainer.progress.step == 3

    diary = Diary()
    text = message(build([Spoil(3, math.nan), Stop(), diary]))
    assert text.startswith(
        "train: weights must be finite to be kept at epoch 1, batch 3; optimizer: AdamW of "
        "4.weight was the first to give NaN, at element [3, 2]; "
    )
    assert diary.saved == 0


# --- the parts


def test_the_innermost_layer_is_named() -> None:
    class Explode(nn.Module):
        def forward(self, x):
            return x * 1e38 * 1e38

    block = nn.Sequential(nn.ReLU(), Explode(), nn.Sigmoid())
    network = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Tanh(), block), nn.Softmax(1))
    network[0].weight.array[...] = 1.0
    x = gpunet.tensor([[1.0, 2.0]])
    found = fault_in_operations(network, lambda: network(x))
    assert (found.where, found.what, found.layer, found.kind) == (
        "forward",
        "Multiply",
        "1.1.1",
        "Inf",
    )


def test_infinities_that_are_meant() -> None:
    """Scores masked by −Inf are no fault; a row that is masked as a whole is."""
    scores = gpunet.tensor(np.zeros((2, 3), "float32"), requires_grad=True)
    mask = np.array([[False, True, False], [False, False, True]])
    network = nn.Sequential()

    def run(mask: np.ndarray) -> None:
        masked = scores.masked_fill(gpunet.tensor(mask), -math.inf)
        (gpunet.softmax(masked, 1) ** 2).sum().backward()

    assert fault_in_operations(network, lambda: run(mask)) is None
    mask[1] = True
    found = fault_in_operations(network, lambda: run(mask))
    assert (found.where, found.what, found.kind, found.element[0]) == (
        "forward",
        "Softmax",
        "NaN",
        1,
    )


def test_the_gradient_of_a_weight() -> None:
    """Finite gradients on both sides whose product overflows: the parameter is named."""
    layer = nn.Linear(2, 1, bias=False)
    x = gpunet.tensor([[1e30, 1.0]])

    def run() -> None:
        layer(x).backward(gpunet.tensor([[1e30]]))

    layer.weight.array[...] = 0.0
    found = fault_in_operations(layer, run)
    assert (found.where, found.layer, found.element, found.kind) == (
        *("backward", "weight"),
        *((0, 0), "Inf"),
    )


@pytest.mark.parametrize(
    ("values", "finite"),
    [
        ([1.0, 2.0], True),
        ([3e38, -3e38], True),
        ([1.0, math.nan], False),
        ([math.inf, -math.inf], False),
        ([], True),
    ],
)
def test_the_flag(values, finite) -> None:
    """Also where the sum overflows, and in float16."""
    for dtype in ("float32", "float64", "float16"):
        x = gpunet.zeros(len(values), dtype=dtype, requires_grad=True)
        clipped = np.clip(values, -6e4, 6e4) if finite and dtype == "float16" else np.array(values)
        x.grad = gpunet.tensor(clipped.astype(dtype))
        assert gradients_finite([x, gpunet.zeros(3, requires_grad=True)]) is finite


def test_which_parameters_are_looked_at() -> None:
    """The small ones, or else the smallest."""
    model = nn.Sequential(nn.Linear(60, 50), nn.Linear(50, 100, bias=False))
    assert small_parameters(model) == [model[0].bias]
    model = nn.Sequential(nn.Linear(60, 50, bias=False), nn.Linear(50, 100, bias=False))
    assert small_parameters(model) == [model[0].weight]


def test_a_gradient_that_overflows_alone(build) -> None:
    """Only that of one large weight: it is seen a step later, and told from the optimizer's."""

    class Spoiler(Callback):
        def on_gradients(self, trainer: Trainer) -> None:
            if trainer.progress.step == 2:
                trainer.model[1].weight.grad.array[3, 5] = math.inf

    text = message(build([Spoiler()], schedule=None))
    assert (
        "; backward: the gradient of 1.weight was the first to give Inf, at element [3, 5]; "
        in text
    )
    assert " at epoch 1, batch 4; " in text
