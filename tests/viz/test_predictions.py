"""The page of predictions: the right pictures, in their place, with what was said about them."""

import os

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from PIL import Image

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from gpunet.viz import choose, prediction_page, style
from gpunet.viz.predictions import BARS_HEIGHT, MARGIN, PICTURE, TILE_WIDTH, _draw

FASHION = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip


def predicted(count: int, classes: int = 10, seed: int = 0):
    """Pictures, true classes, and probabilities that are right about nine times out of ten."""
    generator = np.random.default_rng(seed)
    images = generator.random((count, 1, 8, 8), np.float32)
    targets = generator.integers(0, classes, count)
    scores = generator.normal(size=(count, classes))
    scores[np.arange(count), targets] += 3
    scores = np.exp(2 * scores)
    return images, targets, (scores / scores.sum(1, keepdims=True)).astype(np.float32)


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def boxes(figure, *, count: int) -> tuple[PolyCollection, np.ndarray]:
    """The collection of `count` filled rectangles, and their corners, (count, 4, 2)."""
    (found,) = [
        collection
        for collection in figure.axes[0].collections
        if len(collection.get_paths()) == count and len(collection.get_facecolor())
    ]
    return found, np.array([path.vertices[:4] for path in found.get_paths()])


# ---- which ones to show ------------------------------------------------------------------------


def test_choose_takes_a_sample_and_the_most_confident_mistakes():
    _, targets, probabilities = predicted(1797)
    (first, sample), (second, worst) = choose(targets, probabilities, 32, seed=1).items()
    guesses = [int(row.argmax()) for row in probabilities]
    mistakes = [n for n in range(1797) if guesses[n] != targets[n]]
    confident = sorted(mistakes, key=lambda n: float(probabilities[n, guesses[n]]), reverse=True)
    assert worst.tolist() == confident[:8]
    assert second == f"The most confident of {len(mistakes)} mistakes"
    assert first == "A random sample"
    assert len(set(sample.tolist())) == 24
    assert targets[sample].tolist() == sorted(targets[sample].tolist())


def test_the_sample_depends_on_the_seed_alone():
    _, targets, probabilities = predicted(500)

    def sample(seed, odds=probabilities):
        return choose(targets, odds, 32, seed)["A random sample"].tolist()

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    # The sample must not look at the predictions, or it would not be one.
    assert sample(1) == sample(1, np.roll(probabilities, 1, axis=1))


def test_the_sample_is_fair():
    targets, probabilities = np.zeros(20, int), np.tile([0.9, 0.1], (20, 1))
    drawn = np.zeros(20)
    for seed in range(2000):
        drawn[choose(targets, probabilities, 5, seed)["A random sample"]] += 1
    # Each is in a sample with probability 1/4; 5 standard deviations of a binomial count.
    assert np.abs(drawn - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_choose_with_few_mistakes_or_few_pictures():
    _, targets, _ = predicted(50)
    perfect = np.eye(10)[targets]
    assert {name: len(part) for name, part in choose(targets, perfect, 16, 1).items()} == {
        "A random sample": 16
    }
    one = perfect.copy()
    one[7] = np.roll(one[7], 1)
    sections = choose(targets, one, 16, 1)
    assert sections["The most confident of 1 mistakes"].tolist() == [7]
    assert len(sections["A random sample"]) == 15
    assert sorted(choose(targets, perfect, 200, 1)["A random sample"]) == list(range(50))


# ---- the page ----------------------------------------------------------------------------------


def test_pictures_stand_in_rows_in_the_order_of_the_sections():
    images, targets, probabilities = predicted(30)
    sections = {"One": [4, 2, 9], "Two": np.array([7])}
    figure = _draw(images, targets, probabilities, FASHION, sections, 2)
    drawn = figure.axes[0].images
    for image, index in zip(drawn, (4, 2, 9, 7), strict=True):
        pixels = np.asarray(image.get_array())
        expected = np.rint(images[index, 0] * 255)
        for channel in range(3):
            np.testing.assert_array_equal(pixels[..., channel], expected)
    left = [image.get_extent()[0] for image in drawn]
    top = [image.get_extent()[3] for image in drawn]
    assert left == pytest.approx([MARGIN, MARGIN + TILE_WIDTH, MARGIN, MARGIN])
    assert top[0] == top[1] < top[2] < top[3]
    heights = {t.get_text(): t.get_position()[1] for t in figure.axes[0].texts}
    assert heights["One"] < top[0] < top[2] < heights["Two"] < top[3]


def test_the_heading_counts_all_pictures_not_those_shown():
    images, targets, probabilities = predicted(1797)
    right = sum(
        int(row.argmax()) == target for row, target in zip(probabilities, targets, strict=True)
    )
    sections = choose(targets, probabilities, 8, 1)
    figure = _draw(images, targets, probabilities, FASHION, sections, 8)
    heading = f"{100 * right / 1797:.2f} % recognised  ({right:,} of 1,797)"
    assert [text.get_text() for text in figure.texts] == [heading]
    assert set(sections) < set(words(figure))


def test_captions_and_frames_tell_mistakes_without_colour():
    odds = np.array([[0.9, 0.06, 0.04], [0.25, 0.7, 0.05], [0.004, 0.0, 0.996]])
    targets = np.array([0, 0, 2])
    figure = _draw(np.zeros((3, 1, 4, 4)), targets, odds, ["cat", "dog", "eel"], {"": range(3)}, 6)
    *captions, legend = words(figure)
    assert captions == ["cat", "90 %", "✗ dog", "70 %", "is cat", "eel", "100 %"]
    assert "cat, dog, eel" in legend
    frames = {
        collection.get_linewidth()[0]: np.array(
            [path.vertices[0] for path in collection.get_paths()]
        )
        for collection in figure.axes[0].collections
        if not len(collection.get_facecolor())
    }
    thin, thick = (frames[width] for width in sorted(frames))
    np.testing.assert_allclose(thick[:, 0], [MARGIN + TILE_WIDTH])
    np.testing.assert_allclose(thin[:, 0], [MARGIN, MARGIN + 2 * TILE_WIDTH])


def test_the_bars_are_the_probabilities():
    images, targets, probabilities = predicted(12)
    figure = _draw(images, targets, probabilities, FASHION, {"": range(12)}, 5)
    bars, corners = boxes(figure, count=120)
    _, field_corners = boxes(figure, count=12)
    height = (corners[:, 2, 1] - corners[:, 0, 1]).reshape(12, 10)
    np.testing.assert_allclose(height, BARS_HEIGHT * probabilities, atol=1e-6)
    # All stand on the foot of their field, inside of it, in the order of the classes.
    foot = field_corners[:, 2, 1]
    np.testing.assert_allclose(corners[:, 2, 1].reshape(12, 10), foot[:, None] + np.zeros(10))
    left = corners[:, 0, 0].reshape(12, 10) - field_corners[:, :1, 0]
    np.testing.assert_allclose(left, np.tile((np.arange(10) + 0.1) * PICTURE / 10, (12, 1)))
    colours = np.array(bars.get_facecolor()).reshape(12, 10, 4)
    for n, target in enumerate(targets):
        guess = int(probabilities[n].argmax())
        expected = np.tile(to_rgba(style.LIGHT), (10, 1))
        expected[guess] = to_rgba(style.VERMILLION)
        expected[target] = to_rgba(style.BLUE)
        np.testing.assert_array_equal(colours[n], expected)
    (marks,) = figure.axes[0].lines
    middle = corners[:, :2, 0].mean(1).reshape(12, 10)
    np.testing.assert_allclose(marks.get_xdata(), middle[np.arange(12), targets])


def test_pictures_keep_their_colours_and_their_proportions():
    images = np.zeros((1, 3, 4, 8))
    images[0, :, 1, 2] = (1.0, 0.5, 0.25)
    figure = _draw(images, np.array([0]), np.array([[1.0]]), ["a"], {"": [0]}, 1)
    (image,) = figure.axes[0].images
    assert np.asarray(image.get_array())[1, 2].tolist() == [255, 128, 64]
    left, right, bottom, top = image.get_extent()
    assert (right - left, bottom - top) == pytest.approx((PICTURE, PICTURE / 2))


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (FASHION, 8),
        (FASHION, 1),
        ([str(digit) for digit in range(10)], 6),
        ([f"a rather long name, number {number}" for number in range(10)], 4),
    ],
)
def test_nothing_is_cut_off_or_covered(assert_readable, names, columns):
    images, targets, probabilities = predicted(1797)
    sections = choose(targets, probabilities, 16, 1)
    assert_readable(_draw(images, targets, probabilities, names, sections, columns))


def test_the_file(tmp_path):
    data = predicted(100)
    path = prediction_page(*data, FASHION, tmp_path / "page.png", columns=20)
    assert os.listdir(tmp_path) == ["page.png"]
    with Image.open(path) as image:
        assert image.size[0] == int((2 * MARGIN + 20 * TILE_WIDTH - (TILE_WIDTH - PICTURE)) * 150)
        assert image.size[1] == int((0.65 + 5 * 2.15 + 0.4) * 150)


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"images": np.zeros((5, 8, 8))}, ShapeError,
         r"shape \(N, 1 or 3, H, W\) with N = 5 as targets, N > 0, got \(5, 8, 8\)"),
        ({"images": np.zeros((5, 2, 8, 8))}, ShapeError, r"got \(5, 2, 8, 8\)"),
        ({"images": np.zeros((4, 1, 8, 8))}, ShapeError, r"got \(4, 1, 8, 8\)"),
        ({"probabilities": np.zeros((5, 9))}, ShapeError,
         r"probabilities must have shape \(N, K\) = \(5, 10\), got \(5, 9\)"),
        ({"targets": np.array([0, 1, 2, 3, 10])}, ArgumentError,
         r"targets must be in 0\.\.9, got 0\.\.10"),
        ({"targets": np.zeros(5)}, DTypeError, "targets must be integers, got float64"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, error, problem):
    arrays = dict(zip(("images", "targets", "probabilities"), predicted(5), strict=True)) | change
    with pytest.raises(error, match=problem):
        prediction_page(**arrays, classes=FASHION, path=tmp_path / "a.png")
    assert os.listdir(tmp_path) == []
