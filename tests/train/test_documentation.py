"""The page on training by configuration names every key, and its example can be read."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gpunet.train import config
from gpunet.train.config import load

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_example(tmp_path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(re.search(r"```toml\n(.*?)```", TEXT, re.S)[1], encoding="utf-8")
    assert load(file).schedule.kind == "OneCycleLR"


@pytest.mark.parametrize(
    "kind",
    [
        *(config.TrainConfig, config.RegularizationConfig, config.AverageConfig),
        *(config.DiagnosticsConfig, config.CheckpointsConfig, config.ScheduleConfig),
        *(config.PrecisionConfig, config.WatchConfig),
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_key_is_there(kind) -> None:
    names = {f.name for f in fields(kind)} - {"arguments"}
    assert {name for name in names if not re.search(rf"\b{name}\b", TEXT)} == set()
