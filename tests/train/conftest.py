"""A small training run on real digits, from its configuration to the trainer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gpunet
from gpunet import data
from gpunet.data import Dataset
from gpunet.train import Callback, Run, Trainer
from gpunet.train.build import build_model, build_trainer
from gpunet.train.config import (
    AugmentConfig,
    Config,
    DataConfig,
    LayerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)

LAYERS = (
    LayerConfig("Flatten"),
    LayerConfig("Linear", {"in_features": 64, "out_features": 16}),
    LayerConfig("ReLU"),
    LayerConfig("Dropout", {"p": 0.2}),
    LayerConfig("Linear", {"in_features": 16, "out_features": 10}),
)


@pytest.fixture
def config() -> Config:
    """Everything that draws random numbers is on: augmentation, dropout, shuffling."""
    return Config(
        name="small",
        seed=5,
        device="cpu",
        data=DataConfig("digits", augment=AugmentConfig(shift=1.0, rotate=10.0)),
        model=ModelConfig(LAYERS),
        optimizer=OptimizerConfig("AdamW", {"lr": 3e-3}),
        loss=LossConfig("CrossEntropyLoss", {"label_smoothing": 0.05}),
        schedule=ScheduleConfig("OneCycleLR", {"pct_start": 0.25}),
        train=TrainConfig(4, 32),
    )


@pytest.fixture(scope="session")
def digits() -> tuple[Dataset, Dataset]:
    """150 training and 60 test pictures: five batches of 32 an epoch, the last one smaller."""
    train, test = data.load("digits", "train"), data.load("digits", "test")
    return train.subset(range(150)), test.subset(range(60))


Build = Callable[..., Trainer]


@pytest.fixture
def build(config: Config, digits: tuple[Dataset, Dataset]) -> Build:
    """Makes a trainer as `gpunet train` does; `changes` replace fields of its configuration."""

    def make(callbacks: Sequence[Callback] = (), **changes: Any) -> Trainer:
        used = replace(config, **changes)
        gpunet.manual_seed(used.seed)
        train, test = digits
        model = build_model(used).to(used.device)
        trainer = build_trainer(used, model, train, ("test", test))
        trainer.callbacks = callbacks
        return trainer

    return make


@pytest.fixture
def run(tmp_path: Path, config: Config) -> Run:
    """A fresh folder."""
    return Run.create(tmp_path / "run", config, 4 * 1210)
