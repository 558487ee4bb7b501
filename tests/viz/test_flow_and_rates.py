"""Pictures of gradients along training, and of a sweep over learning rates."""

import numpy as np
import pytest
from PIL import Image

from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import flow, gradient_flow, learning_rates, rates

NORMS = [{"1.weight": 1e-3 * 10**i, "1.bias": 0.0} for i in range(4)]


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_gradient_flow(tmp_path) -> None:
    """A row a parameter, a column a step, the logarithm of the norm; 0 is no colour."""
    path = gradient_flow(NORMS, [1, 10, 20, 30], tmp_path / "flow.png")
    assert len(np.unique(pixels(path).reshape(-1, 3), axis=0)) > 20
    figure = flow._draw(NORMS, [1, 10, 20, 30])
    axes = figure.axes[0]
    drawn = axes.images[0].get_array()
    np.testing.assert_allclose(drawn[0], [-3, -2, -1, 0], atol=1e-12)
    assert drawn[1].mask.all()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1.weight", "1.bias"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "20", "30"]


@pytest.mark.parametrize(("norms", "steps"), [([], []), ([{}], [1]), (NORMS, [1, 2])])
def test_nothing_to_draw(norms, steps, tmp_path) -> None:
    with pytest.raises(ArgumentError, match="gradient_flow: norms must be some for each step"):
        gradient_flow(norms, steps, tmp_path / "flow.png")


def ticks(tried: list[float], losses: list[float]) -> list[str]:
    """The labels under the rates, those just outside of the picture among them."""
    figure = rates._draw(tried, losses, tried[0])
    figure.canvas.draw()
    return [label.get_text() for label in figure.axes[0].get_xticklabels(which="both")]


def test_learning_rates(tmp_path) -> None:
    tried, losses = [1e-4, 1e-3, 1e-2], [2.0, 1.0, 5.0]
    path = learning_rates(tried, losses, 1e-3, tmp_path / "rates.png")
    assert len(np.unique(pixels(path).reshape(-1, 3), axis=0)) > 20
    axes = rates._draw(tried, losses, 1e-3).axes[0]
    assert axes.get_xscale() == "log"
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.transpose([tried, losses]))
    assert axes.texts[0].get_text() == " 0.001"
    assert ticks(tried, losses) == ["1e-5", "0.0001", "0.001", "0.01", "0.1"]
    narrow = ticks([2e-4, 6e-3], [2.0, 1.0])
    assert narrow[-5:] == ["0.0002", "0.0005", "0.001", "0.002", "0.005"]
    with pytest.raises(ShapeError, match="losses must be one for each rate, got 2 for 3"):
        learning_rates(tried, losses[:2], 1e-3, tmp_path / "rates.png")
