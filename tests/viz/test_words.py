"""Pictures in another language: no word of their own is left in English."""

import re

import numpy as np
import pytest

from gpunet.viz import Looked
from gpunet.viz.attention import _draw as attention
from gpunet.viz.confusion import _draw as confusion
from gpunet.viz.curves import _draw as curve
from gpunet.viz.maps import _draw_filters as filters
from gpunet.viz.maps import _draw_maps as maps
from gpunet.viz.predictions import _draw as page
from gpunet.viz.predictions import choose
from tests.readable import texts

RNG = np.random.default_rng(0)
CHANCES = RNG.dirichlet([1, 1, 1], 20)
TARGETS = np.arange(20) % 3
PARTS = ("train", "validation", "test")
NAMES = ["A", "B", "C"]


def history(*parts):
    """A run that overfits after its second epoch."""
    rising, falling = [3.0, 1.0, 2.0], [3.0, 2.0, 1.0]
    losses = {part: falling if part == "train" else rising for part in parts}
    return [
        {"epoch": e + 1, **{f"{part}_loss": losses[part][e] for part in parts}}
        | {f"{part}_accuracy": 0.5 + 0.1 * e for part in parts}
        for e in range(3)
    ]


def pictures(text):
    sections = choose(TARGETS, CHANCES, 8, 0, text=text)
    return page(RNG.random((20, 1, 4, 4)), TARGETS, CHANCES, NAMES, sections, 8, text)


FIGURES = {
    "attention": lambda text: attention([Looked(["A", "B"], ["C"], np.ones((1, 2)))], 1, text),
    "confusion": lambda text: confusion(TARGETS, CHANCES.argmax(1), NAMES, text),
    "curve": lambda text: curve(history(*PARTS), text),
    "curve of a test set": lambda text: curve(history("train", "test"), text),
    "filters": lambda text: filters(RNG.normal(size=(4, 2, 3, 3)), 4, text),
    "filters in colour": lambda text: filters(RNG.normal(size=(4, 3, 3, 3)), 4, text),
    "maps": lambda text: maps(RNG.random((1, 8, 8)), {"0": RNG.normal(size=(12, 4, 4))}, text),
    "predictions": pictures,
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_word_can_be_another(name) -> None:
    asked = []

    def loud(english: str) -> str:
        asked.append(english)
        return english.upper()

    shown = [text.get_text() for text in texts(FIGURES[name](loud))]
    assert [text for text in shown if re.search("[a-z]{2}", text)] == []
    assert asked
    assert [text.get_text().upper() for text in texts(FIGURES[name](str))] == [
        text.upper() for text in shown
    ]
