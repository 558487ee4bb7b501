"""Pages of attention: which words stand where, and how dark a cell is."""

import numpy as np
import pytest
from PIL import Image

from gpunet.errors import ShapeError
from gpunet.viz import Looked, attention_page
from gpunet.viz.attention import _draw


def pair(source: str, translation: str, seed: int = 0) -> Looked:
    words = source.split(), translation.split()
    weights = np.random.default_rng(seed).random((len(words[1]), len(words[0])))
    return Looked(*words, weights / weights.sum(1, keepdims=True))


PAIRS = [
    pair("Ein Hund läuft durch den tiefen Schnee.", "A dog runs through the deep snow."),
    pair("Donaudampfschifffahrtsgesellschaftskapitäne", "some captains at a large company", 1),
    pair("Zwei junge Männer sitzen.", "Two men", 2),
]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_words_stand_on_the_axes(count, assert_readable) -> None:
    figure = _draw(PAIRS[:count], 2)
    assert len(figure.axes) == count
    for axes, one in zip(figure.axes, PAIRS, strict=False):
        assert [label.get_text() for label in axes.get_xticklabels()] == one.source
        assert [label.get_text() for label in axes.get_yticklabels()] == one.translation
    assert_readable(figure)


def test_cells_are_as_blue_as_their_weights() -> None:
    weights = np.array([[1.0, 0.0], [0.25, 0.75]])
    (axes,) = _draw([Looked(["a", "b"], ["c", "d"], weights)], 2).axes
    drawn = axes.images[0].get_array()
    blue = np.array([0, 0x72, 0xB2]) / 255
    for row, column in np.ndindex(2, 2):
        share = weights[row, column]
        np.testing.assert_allclose(drawn[row, column], 1 - share * (1 - blue), atol=1e-12)


def test_it_is_written(tmp_path) -> None:
    path = attention_page(PAIRS, tmp_path / "attention.png")
    with Image.open(path) as image:
        assert image.size[0] > 600


def test_refused(tmp_path) -> None:
    with pytest.raises(ShapeError, match="pairs must be at least one, got none"):
        attention_page([], tmp_path / "x.png")
    with pytest.raises(ShapeError, match=r"weights must have shape \(1, 2\).*got \(2, 1\)"):
        attention_page([Looked(["a", "b"], ["c"], np.ones((2, 1)))], tmp_path / "x.png")
