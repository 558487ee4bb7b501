"""The page of overlays: outlines lie where labels change, and the figures are those given."""

import os

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from gpunet.errors import ShapeError
from gpunet.viz import choose_overlays, overlay_page, style
from gpunet.viz.overlays import _draw


def segmented(count: int) -> tuple[np.ndarray, ...]:
    """Pictures with a square; what was found is a pixel to the right of it."""
    images = np.random.default_rng(1).uniform(0, 0.2, (count, 1, 12, 16))
    targets = np.zeros((count, 12, 16), int)
    targets[:, 3:7, 4:9] = 1
    images[:, 0, 3:7, 4:9] = 0.4
    return images, targets, np.roll(targets, 1, 2), np.linspace(0.9, 0.1, count)


def test_the_worst_and_a_sample_are_chosen() -> None:
    dice = np.random.default_rng(2).random(50)
    sections = choose_overlays(dice, 12, seed=3)
    sample, worst = sections.values()
    assert list(sections) == ["A random sample", "The worst of 50"]
    assert sorted(dice)[:4] == dice[worst].tolist()
    assert len(set(sample.tolist())) == 8
    assert choose_overlays(dice, 12, seed=4)["A random sample"].tolist() != sample.tolist()
    assert [len(part) for part in choose_overlays(dice[:3], 12, 1).values()] == [3, 3]


def test_outlines_lie_between_pixels_of_different_labels() -> None:
    images, targets, found, dice = segmented(2)
    figure = _draw(images, targets, found, dice, {"": [1]}, 4)
    (axes,) = figure.axes
    lines = {tuple(c.get_edgecolor()[0]): c for c in axes.collections}
    for colour, right in ((style.GREEN, 0), (style.VERMILLION, 1)):
        corners = np.concatenate([p.vertices for p in lines[to_rgba(colour)].get_paths()])
        assert corners.min(0).tolist() == [3.5 + right, 2.5]
        assert corners.max(0).tolist() == [8.5 + right, 6.5]
    assert (
        lines[to_rgba(style.GREEN)].get_linewidth()
        > lines[to_rgba(style.VERMILLION)].get_linewidth()
    )
    shown = np.asarray(axes.images[0].get_array())
    assert (shown[3:7, 4:9] == 255).all()  # the brightest is white
    assert shown[8:, :3].max() < 140


def test_a_picture_without_anything_has_no_outline() -> None:
    images, targets, found, dice = segmented(1)
    figure = _draw(images, 0 * targets, found, dice, {"": [0]}, 4)
    assert len(figure.axes[0].collections) == 1


@pytest.mark.parametrize("count", [1, 40])
def test_nothing_is_cut_off_or_covered(assert_readable, count) -> None:
    data = segmented(count)
    figure = _draw(*data, choose_overlays(data[-1], 12, 1), 4)
    assert_readable(figure)
    words = [text.get_text() for text in figure.texts]
    assert f"Mean Dice {data[-1].mean():.3f}" in words[0]
    assert "no. 0: Dice 0.900" in words


def test_the_file(tmp_path) -> None:
    path = overlay_page(*segmented(3), tmp_path / "page.png", columns=3)
    assert os.listdir(tmp_path) == ["page.png"]
    with Image.open(path) as image:
        assert image.size[0] == int((2 * 0.25 + 3 * 2.75 - 0.15) * 150)


@pytest.mark.parametrize(
    ("at", "value", "problem"),
    [
        (0, np.zeros((3, 12, 16)), r"images must have shape \(N, 1 or 3, H, W\), N > 0, got"),
        (0, np.zeros((3, 2, 12, 16)), r"got \(3, 2, 12, 16\)"),
        (
            1,
            np.zeros((3, 16, 12)),
            r"targets must have shape \(N, H, W\) = \(3, 12, 16\) as images",
        ),
        (2, np.zeros((2, 12, 16)), r"predictions must have .*, got \(2, 12, 16\)"),
        (3, np.zeros(2), r"dice must have shape \(N,\) = \(3,\), got \(2,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, at, value, problem) -> None:
    arrays = list(segmented(3))
    arrays[at] = value
    with pytest.raises(ShapeError, match=problem):
        overlay_page(*arrays, tmp_path / "a.png")
    assert os.listdir(tmp_path) == []
