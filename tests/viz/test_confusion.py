"""Confusion matrices: every number that stands in the picture is counted again."""

import os
from collections import Counter

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from gpunet.viz import confusion_matrix, style
from gpunet.viz.confusion import _draw

DIGITS = [str(digit) for digit in range(10)]
FASHION = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip


def labels(classes: int, count: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes that agree nine times out of ten."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, count)
    guesses = generator.integers(0, classes, count)
    return targets, np.where(generator.random(count) < 0.9, targets, guesses)


def cells(figure, classes: int) -> dict[tuple[int, int], int]:
    """(true, predicted) -> the number that stands in the cell."""
    numbers = {}
    for text in figure.axes[0].texts:
        column, row = text.get_position()
        if column < classes and 0 <= row:
            numbers[int(row), int(column)] = int(text.get_text().replace(",", ""))
    return numbers


def recalls(figure, classes: int) -> list[str]:
    """The numbers in the margin, from top to bottom."""
    margin = [text for text in figure.axes[0].texts if text.get_position()[0] > classes]
    heading, *rest = sorted(margin, key=lambda text: text.get_position()[1])
    assert heading.get_text() == "Recall"
    return [text.get_text() for text in rest]


@pytest.mark.parametrize("names", [DIGITS, FASHION, ["no", "yes"]])
def test_the_cells_hold_the_counts_and_zeros_are_blank(names):
    targets, predictions = labels(len(names))
    expected = Counter(zip(targets.tolist(), predictions.tolist(), strict=True))
    assert cells(_draw(targets, predictions, names), len(names)) == dict(expected)


def test_a_small_matrix_in_full():
    figure = _draw([0, 0, 0, 0, 2, 2], [0, 0, 0, 2, 2, 0], ["cat", "dog", "eel"])
    assert cells(figure, 3) == {(0, 0): 3, (0, 2): 1, (2, 0): 1, (2, 2): 1}
    assert recalls(figure, 3) == ["75.0 %", "–", "50.0 %"]
    assert [text.get_text() for text in figure.texts] == ["Accuracy 66.67 %  (4 of 6)"]
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted class", "True class")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "dog", "eel"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", "dog", "eel"]


def test_the_colour_is_the_root_of_the_share_of_the_row():
    figure = _draw([0] * 100 + [1], [0] * 96 + [1] * 4 + [1], ["a", "b"])
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    blue, vermillion, white = map(
        np.array, (to_rgb(style.BLUE), to_rgb(style.VERMILLION), (1,) * 3)
    )
    np.testing.assert_allclose(drawn[0, 0], white + 0.96**0.5 * (blue - white))
    np.testing.assert_allclose(drawn[0, 1], white + 0.2 * (vermillion - white))
    np.testing.assert_allclose(drawn[1], [white, blue])


def test_thousands_are_grouped():
    figure = _draw(np.zeros(12345, int), np.zeros(12345, int), ["a", "b"])
    assert figure.axes[0].texts[0].get_text() == "12,345"
    assert figure.texts[0].get_text() == "Accuracy 100.00 %  (12,345 of 12,345)"


@pytest.mark.parametrize(
    ("names", "slanted"),
    [(DIGITS, False), (FASHION, True), (["no", "yes"], False), (["a" * 40, "b" * 30], True)],
)
def test_nothing_is_cut_off_or_covered(assert_readable, names, slanted):
    figure = _draw(*labels(len(names), 10000), names)
    assert_readable(figure)
    rotations = {tick.get_rotation() for tick in figure.axes[0].get_xticklabels()}
    assert rotations == {45.0 if slanted else 0.0}


def test_a_hundred_classes_have_colours_but_no_numbers(assert_readable):
    figure = _draw(*labels(100), [f"class {number}" for number in range(100)])
    assert len(figure.axes[0].texts) == 0
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (100, 100, 3)
    assert_readable(figure)


def test_the_file(tmp_path):
    path = confusion_matrix(*labels(10), DIGITS, tmp_path / "confusion.png")
    assert os.listdir(tmp_path) == ["confusion.png"]
    with Image.open(path) as image:
        width, height = image.size
        pixels = np.asarray(image.convert("RGB"), int)
    assert 900 < width < 1200
    assert 900 < height < 1200
    blue = np.abs(pixels - np.rint(255 * np.array(to_rgb(style.BLUE)))).sum(2) < 40
    assert (
        blue.mean() > 0.9 * 10 * 75 * 75 / (width * height) * 0.8
    )  # ten cells, less their numbers


@pytest.mark.parametrize(
    ("targets", "predictions", "error", "problem"),
    [
        ([0, 1], [0], ShapeError, r"must both have shape \(N,\), N > 0, got \(2,\) and \(1,\)"),
        ([], [], ShapeError, r"got \(0,\) and \(0,\)"),
        ([[0]], [[0]], ShapeError, r"got \(1, 1\) and \(1, 1\)"),
        ([0, 2], [0, 1], ArgumentError, r"targets must be in 0\.\.1, got 0\.\.2"),
        ([0, 1], [-1, 1], ArgumentError, r"predictions must be in 0\.\.1, got -1\.\.1"),
        ([0.0, 1.0], [0, 1], DTypeError, "targets must be integers, got float64"),
    ],
)
def test_impossible_labels_are_refused(tmp_path, targets, predictions, error, problem):
    with pytest.raises(error, match=problem):
        confusion_matrix(targets, predictions, ["a", "b"], tmp_path / "a.png")
    assert os.listdir(tmp_path) == []
