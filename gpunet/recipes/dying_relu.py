"""Dying ReLU: units that never fire again, and two activations that do not die.

A step too large pushes ReLU units below 0 for every digit, where no gradient reaches them, so
they stay dead and the network is smaller than it was built. Leaky ReLU and ELU have a slope below
0 too: with the same steps none of their units is lost.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import gpunet
from gpunet import data, nn, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.train.build import build_model, build_trainer
from gpunet.train.config import (
    Config,
    DataConfig,
    DiagnosticsConfig,
    LayerConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)
from gpunet.train.diagnostics import Recorder

ROWS = ("E4",)
TRIALS = (("ReLU", 0.002), ("ReLU", 0.02), ("LeakyReLU", 0.02), ("ELU", 0.02))
DEPTH, WIDTH = 4, 64


def configuration(activation, lr):
    """Four hidden layers; the switch that reports dead units stands under `diagnostics`."""
    layers = [LayerConfig("Flatten")]
    for _ in range(DEPTH):
        layers.append(LayerConfig("Linear", {"in_features": WIDTH, "out_features": WIDTH}))
        layers.append(LayerConfig(activation))
    layers.append(LayerConfig("Linear", {"in_features": WIDTH, "out_features": 10}))
    return Config(
        name="dying",
        data=DataConfig("digits"),
        model=ModelConfig(tuple(layers)),
        optimizer=OptimizerConfig("Adam", {"lr": lr}),
        schedule=ScheduleConfig("CosineAnnealingLR"),
        train=TrainConfig(epochs=5, batch_size=64),
        diagnostics=DiagnosticsConfig(every=20, dead_units=True),
    )


def without_gradient(model, digits):
    """The share of units whose weights get no gradient from any of the digits."""
    loss = F.cross_entropy(model(gpunet.tensor(digits.inputs)), gpunet.tensor(digits.targets))
    hidden = [layer.weight for layer in model if isinstance(layer, nn.Linear)][:-1]
    return float(np.mean([~g.numpy().any(axis=1) for g in gpunet.grad(loss, hidden)]))


def train(activation, lr, digits, folder):
    """Trains; returns the model, its accuracy on the test set, and the reports of dead units."""
    config = configuration(activation, lr)
    gpunet.manual_seed(config.seed)
    model = build_model(config)
    trainer = build_trainer(config, model, digits[0], ("test", digits[1]))
    recorder = Recorder(config.diagnostics, folder)
    trainer.callbacks = [recorder]
    trainer.fit()
    return model, trainer.progress.history[-1]["test_accuracy"], recorder.records


def run(show: Show) -> Results:
    digits = data.load("digits", "train"), data.load("digits", "test")
    results: Results = {"silent": {}, "accuracy": {}, "dead": {}}
    rows, lines, steps = [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        for activation, lr in TRIALS:
            place = Path(folder) / f"{activation}-{lr}"
            place.mkdir()
            model, accuracy, records = train(activation, lr, digits, place)
            silent = without_gradient(model, digits[1])
            rows.append([activation, lr, f"{silent:.1%}", f"{accuracy:.1%}"])
            results["silent"][activation, lr] = silent
            results["accuracy"][activation, lr] = accuracy
            if activation == "ReLU":
                dead = [100 * np.mean(list(r["dead_units"].values())) for r in records]
                lines[show.text("learning rate {}").format(lr)] = dead
                results["dead"][lr] = dead
                steps = [record["step"] for record in records]
    columns = ["activation", "learning rate", "units without gradient", "test accuracy"]
    show.table("Digits after five epochs", columns, rows)
    viz.lines(
        {show.text("ReLU units that are 0 for every example"): lines},
        show.path("dead_units.png"),
        x=steps,
        x_label=show.text("Step"),
        y_label=show.text("Dead units (%)"),
    )
    return results
