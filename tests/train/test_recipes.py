"""The recipes of `configs/`: each is sound; trained in full on request, each reaches its figure."""

import os
from pathlib import Path

import numpy as np
import pytest

import gpunet
from gpunet import data
from gpunet.autograd import Tensor
from gpunet.train import Run
from gpunet.train.build import (
    build_data,
    build_example,
    build_model,
    build_task,
    build_trainer,
)
from gpunet.train.config import load

RECIPES = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
each = pytest.mark.parametrize("file", RECIPES, ids=[file.stem for file in RECIPES])


@each
def test_a_recipe_builds_what_fits_its_data(file) -> None:
    config = load(file)
    assert config.name == file.stem
    model, task = build_model(config), build_task(config)
    x = build_example(config.data)[0]
    places = {"segmentation": x.shape[2:], "language_model": x.shape[1:], "translation": (5,)}
    t = Tensor(np.ones((1, *places.get(config.task, ())), np.int64), gpunet.backend.cpu)
    low = 0
    if config.task == "forecasting":  # the logarithm of a density may be above 0
        t, low = gpunet.zeros(1, data.describe(config.data.set).horizon), -10
    loss, _ = task.loss(model, x, t)
    assert low < loss.item() < 10


# What each reaches on its test set, as the README has it.
LEAST = {
    "mnist_lenet": ("accuracy", 0.9905),
    "fashion_cnn": ("accuracy", 0.925),
    "multi30k_gru": ("bleu", 35.0),
    "nuclei_unet": ("dice", 0.90),
    "sentiment": ("accuracy", 0.76),
    "speech_digits": ("accuracy", 0.97),
}
needs_data = pytest.mark.skipif(
    not os.environ.get("GPUNET_DATA"), reason="GPUNET_DATA is not set: no real pictures to train on"
)


def trained(name: str, folder: Path) -> dict[str, float]:
    """The figures after the last epoch of a recipe, trained as `gpunet train` does."""
    (file,) = [file for file in RECIPES if file.stem == name]
    config = load(file)
    gpunet.manual_seed(config.seed)
    model = build_model(config)
    train, held_out, test = build_data(config.data, config.seed)
    trainer = build_trainer(config, model, train, (held_out, test))
    trainer.callbacks = [Run.create(folder / name, config, 1 << 20)]
    assert trainer.fit()
    assert trainer.evaluation is not None
    return trainer.evaluation.figures


@needs_data
@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", LEAST)
def test_a_recipe_reaches_its_figure(name, tmp_path) -> None:
    figure, least = LEAST[name]
    assert trained(name, tmp_path)[figure] >= least


@needs_data
@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "naive", "least_better"), [("weather", 3.40, 0.2), ("sales", 730, 0.1)]
)
def test_a_forecast_is_ahead_of_the_naive_one(name, naive, least_better, tmp_path) -> None:
    figures = trained(name, tmp_path)
    assert figures["naive_rmse"] == pytest.approx(naive, rel=2e-3)
    assert figures["rmse"] < (1 - least_better) * figures["naive_rmse"]
    assert figures["rmse"] < figures["mean_rmse"]
    assert 0.7 < figures["in_band"] < 0.95


@needs_data
@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "most"), [("shakespeare_gpt", 1.88), ("shakespeare_lstm", 1.60)])
def test_a_language_model_reaches_its_loss(name, most, tmp_path) -> None:
    """In nats a character; 1.88 is what nanoGPT's README reports of these settings."""
    assert trained(name, tmp_path)["loss"] <= most


@needs_data
@pytest.mark.slow
@pytest.mark.exhaustive
def test_shortcuts_make_twenty_layers_learn_better(tmp_path) -> None:
    residual, plain = (trained(f"cifar_{kind}20", tmp_path) for kind in ("resnet", "plain"))
    assert residual["accuracy"] > plain["accuracy"]
    assert residual["loss"] < plain["loss"]
