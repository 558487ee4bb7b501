"""Learning rates: too small, right, too large, and far too large.

With a rate too small the loss hardly falls, with one too large it jumps about, and between them it
falls fast. A rate far too large makes weights explode, and the trainer stops at the first loss or
gradient that is not finite and says where it came from and what usually helps.
"""

from __future__ import annotations

import gpunet
from gpunet import data, viz
from gpunet.errors import NonFiniteError
from gpunet.recipes.show import Results, Show
from gpunet.train.build import build_model, build_trainer
from gpunet.train.config import (
    Config,
    DataConfig,
    LayerConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)

ROWS = ("F4",)
EPOCHS = 4
RATES = {"too small": 0.01, "right": 0.3, "too large": 1.8, "far too large": 1e8}
LAYERS = (
    LayerConfig("Flatten"),
    LayerConfig("Linear", {"in_features": 64, "out_features": 64}),
    LayerConfig("ReLU"),
    LayerConfig("Linear", {"in_features": 64, "out_features": 10}),
)


def train(lr, digits):
    """The loss of each step, the accuracy at the end, and the error that ended it, if one did."""
    config = Config(
        name="rates",
        data=DataConfig("digits"),
        model=ModelConfig(LAYERS),
        optimizer=OptimizerConfig("SGD", {"lr": lr}),
        train=TrainConfig(EPOCHS, batch_size=64),
    )
    gpunet.manual_seed(config.seed)
    model = build_model(config)
    trainer = build_trainer(config, model, digits[0], ("test", digits[1]))
    losses = []
    try:
        for _ in range(EPOCHS):
            for batch in trainer.loader:
                losses.append(trainer.train_on([batch])["loss"])
        return losses, trainer.evaluate().figures["accuracy"], None
    except NonFiniteError as error:
        return losses, None, error


def smooth(losses, memory=0.9):
    """A running mean: single batches are noisy."""
    means, mean = [], 0.0
    for step, loss in enumerate(losses, 1):
        mean = memory * mean + (1 - memory) * loss
        means.append(mean / (1 - memory**step))
    return means


def run(show: Show) -> Results:
    digits = data.load("digits", "train"), data.load("digits", "test")
    runs = {name: train(lr, digits) for name, lr in RATES.items()}
    rows = []
    for name, (losses, accuracy, error) in runs.items():
        end = show.text("stopped at step {}").format(len(losses) + 1) if error else ""
        last = "–" if error else f"{sum(losses[-20:]) / 20:.3g}"
        rows.append([show.text(name), RATES[name], last, end or f"{accuracy:.1%}"])
    columns = ["learning rate", "η", "loss", "test accuracy"]
    show.table("Digits, four epochs of SGD", columns, rows)
    error = runs["far too large"][2]
    show.say("What the trainer says about the last one (in English, as all its messages):")
    show.say("{}", error)
    lines = {
        show.text(name): smooth(losses)
        for name, (losses, _, error) in runs.items()
        if error is None
    }
    viz.lines(
        {show.text("Training loss, running mean"): lines},
        show.path("learning_rates.png"),
        x_label=show.text("Step"),
        y_label=show.text("Cross entropy"),
        log="y",
    )
    return {
        "losses": {name: losses for name, (losses, _, _) in runs.items()},
        "accuracy": {name: accuracy for name, (_, accuracy, _) in runs.items()},
        "error": str(error),
    }
