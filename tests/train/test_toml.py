"""TOML into dataclasses, and what is meant by a word that is not known."""

import dataclasses
from pathlib import Path

import pytest

from gpunet.errors import ConfigError
from gpunet.train.config import TrainConfig
from gpunet.train.toml import Reader, nearest


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("Liner", ["Linear", "ReLU"], 'did you mean "Linear"?'),
        ("linear", ["Linear", "Bilinear"], 'did you mean "Linear"?'),
        ("RELU", ["ReLU", "GELU", "SELU"], 'did you mean "ReLU"?'),
        ("BatchNorm", ["BatchNorm1d", "BatchNorm2d", "Linear"],
         'did you mean "BatchNorm2d" or "BatchNorm1d"?'),
        ("zzz", ["b", "a"], 'known: "a", "b"'),
        ("zzz", [], "known: none"),
    ],
)  # fmt: skip
def test_nearest(word, known, expected):
    assert nearest(word, known) == expected


def test_a_new_key_needs_only_a_new_field():
    @dataclasses.dataclass(frozen=True)
    class Longer(TrainConfig):
        shuffle: bool = True

    table = {"epochs": 3, "batch_size": 8}
    reader = Reader(Path("new.toml"), ())
    assert reader.read(Longer, table, "train") == Longer(3, 8)
    longer = reader.read(Longer, table | {"shuffle": False}, "train")
    assert longer == Longer(3, 8, shuffle=False)
    with pytest.raises(ConfigError, match=r"train\.shuffle must be a boolean, got 0 "):
        reader.read(Longer, table | {"shuffle": 0}, "train")
