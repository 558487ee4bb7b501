"""Decision boundaries: the colour of a place is the answer there."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import decision_boundary, style
from gpunet.viz.boundary import _draw

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
AND = [0, 0, 0, 1]


def answer(x):
    return (x.sum(axis=1) > 1.4).astype(int)


def test_regions_and_points(assert_readable, tmp_path) -> None:
    axes = [np.linspace(0, 1, 3)] * 2
    regions = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 1]])
    figure = _draw(axes, regions, CORNERS, np.array(AND), ["no", "yes"], "AND")
    assert_readable(figure)
    (plane,) = figure.axes
    colours = np.asarray(plane.images[0].get_array())
    for k, colour in enumerate((style.BLUE, style.VERMILLION)):
        expected = 0.75 + 0.25 * np.array(to_rgb(colour))
        np.testing.assert_allclose(colours[regions == k], [expected] * (regions == k).sum())
    no, yes = plane.lines
    np.testing.assert_array_equal(no.get_xydata(), CORNERS[:3])
    np.testing.assert_array_equal(yes.get_xydata(), CORNERS[3:])
    assert [text.get_text() for text in plane.texts] == ["no", "yes"]
    path = decision_boundary(answer, CORNERS, AND, ["no", "yes"], tmp_path / "b.png")
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize(
    ("function", "x", "labels", "error", "message"),
    [
        (answer, CORNERS[:, :1], AND, ShapeError, r"x must be \(N, 2\), N > 0, for 4 labels"),
        (answer, CORNERS, [0, 0, 0, 2], ArgumentError, r"labels must be in 0\.\.1"),
        (lambda x: 2 * answer(x), CORNERS, AND, ArgumentError, r"answers must be in 0\.\.1"),
        (lambda x: answer(x)[:5], CORNERS, AND, ShapeError, r"answer must give shape \(90601,\)"),
    ],
)
def test_refused(function, x, labels, error, message, tmp_path) -> None:
    with pytest.raises(error, match=message):
        decision_boundary(function, x, labels, ["no", "yes"], tmp_path / "b.png")
