"""Pages of sentences: every word stands there, in its colour, and no line is too long."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from gpunet.errors import ShapeError
from gpunet.viz import Sentence, sentence_page, style
from gpunet.viz.sentences import _draw

LONG = "a film that goes on and on without a single idea of its own , and then it ends , " * 3


def sentence(words: str, seed: int = 0) -> Sentence:
    split = words.split()
    return Sentence(
        split, np.random.default_rng(seed).standard_normal(len(split)), "positive (93%)"
    )


SECTIONS = {"Some": [sentence("a good film"), sentence(LONG, 1)], "Others": [sentence("bad", 2)]}


def test_every_word_stands_there(assert_readable) -> None:
    figure = _draw(SECTIONS)
    assert_readable(figure)
    shown = [text.get_text() for text in figure.texts]
    for heading, section in SECTIONS.items():
        assert heading in shown
        for one in section:
            assert one.caption in shown
            for word in one.words:
                assert word in shown


def test_colours_say_which_way_and_how_far() -> None:
    said = Sentence(["for", "against", "half", "none"], np.array([2.0, -2.0, 1.0, 0.0]), "yes")
    boxes = [a for a in _draw({"x": [said]}).artists if isinstance(a, Rectangle)]
    colours = [np.array(box.get_facecolor()[:3]) for box in boxes]
    expected = [
        0.25 + 0.75 * np.array(to_rgb(style.BLUE)),
        0.25 + 0.75 * np.array(to_rgb(style.VERMILLION)),
        0.625 + 0.375 * np.array(to_rgb(style.BLUE)),
        np.ones(3),
    ]
    np.testing.assert_allclose(colours, expected, atol=1e-6)


def test_it_is_written(tmp_path) -> None:
    path = sentence_page(SECTIONS, tmp_path / "sentences.png")
    with Image.open(path) as image:
        assert image.size[0] == 9 * style.DPI


def test_refused(tmp_path) -> None:
    with pytest.raises(ShapeError, match="sentences must be at least one, got none"):
        sentence_page({"x": []}, tmp_path / "x.png")
    with pytest.raises(ShapeError, match=r"contributions must have shape \(2,\).*got \(3,\)"):
        sentence_page({"x": [Sentence(["a", "b"], np.ones(3), "")]}, tmp_path / "x.png")
