"""One switch turns every picture light or dark, with all that is in it."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from gpunet.errors import ArgumentError
from gpunet.viz import style
from gpunet.viz.confusion import _draw as confusion
from gpunet.viz.curves import _draw as curve
from gpunet.viz.curves import _draw_runs as runs
from gpunet.viz.flow import _draw as flow
from gpunet.viz.lines import _draw as lines
from gpunet.viz.maps import _draw_filters as filters
from gpunet.viz.projection import _draw as projection
from gpunet.viz.rates import _draw as rates
from gpunet.viz.spread import _draw as spread
from gpunet.viz.surface import _draw as surface
from tests.readable import texts

RNG = np.random.default_rng(0)
ROWS = [
    {"epoch": e, "train_loss": 1 / e, "test_loss": 1 + e, "test_accuracy": 0.9} for e in (1, 2, 3)
]
GRID = np.linspace(-1, 1, 31)
FIGURES = {
    "confusion": lambda: confusion([0, 0, 1, 1], [0, 1, 1, 1], ["no", "yes"]),
    "curve": lambda: curve(ROWS),
    "runs": lambda: runs({"one": ROWS, "two": ROWS}),
    "flow": lambda: flow([{"w": 1.0}, {"w": 0.1}], [1, 2]),
    "lines": lambda: lines({"a": {"b": [1.0, 2.0]}, "c": {"d": [1.0, 2.0]}}, None, ("x", "y")),
    "filters": lambda: filters(RNG.normal(size=(4, 2, 3, 3)), 4),
    "projection": lambda: projection(
        {"x": RNG.normal(size=(30, 3))}, np.arange(30) % 3, ["a", "b", "c"], "t"
    ),
    "rates": lambda: rates([0.1, 1.0], [1.0, 2.0], 0.1),
    "spread": lambda: spread({"a": RNG.normal(size=(4, 50))}, "t", "x", "n"),
    "surface": lambda: surface(
        GRID, GRID, np.add.outer(GRID**2, GRID**2), {"SGD": GRID[:2, None] * [1, 1]}, "t"
    ),
}


@pytest.fixture(autouse=True)
def _light_again():
    yield
    style.use("light")


def luminance(colour) -> float:
    """Source: WCAG 2.2, relative luminance."""
    c = np.array(to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other) -> float:
    """From 1 to 21. Source: WCAG 2.2, contrast ratio."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", list(FIGURES))
def test_ground_and_texts(name, theme) -> None:
    style.use(theme)
    figure = FIGURES[name]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    corner = np.asarray(canvas.buffer_rgba())[0, 0, :3] / 255
    np.testing.assert_allclose(corner, to_rgb(style.PAPER), atol=1 / 255)
    on_paper = texts(figure)
    assert on_paper
    for text in on_paper:
        if text.get_color() != style.PAPER:  # those stand on a coloured cell
            assert contrast(text.get_color(), style.PAPER) > 2.5, text.get_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_told_from_the_paper_and_from_each_other(theme) -> None:
    style.use(theme)
    colours = style.palette(7)
    assert len(set(colours)) == 7
    assert style.palette(9)[7:] == colours[:2]
    for colour in colours:
        assert contrast(colour, style.PAPER) > 2.5
    assert contrast(style.INK, style.PAPER) > 12
    assert contrast(style.GREY, style.PAPER) > 4.5


def test_another_theme_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r'use: theme must be "light" or "dark", got .blue.'):
        style.use("blue")


def test_the_dark_theme_is_left_again() -> None:
    before = style.BLUE, style.PAPER
    style.use("dark")
    assert luminance(style.PAPER) < 0.02 < 0.98 < luminance("#FFFFFF")
    style.use("light")
    assert (style.BLUE, style.PAPER) == before


def test_toward() -> None:
    np.testing.assert_allclose(style.toward((1, 0, 0), 0.25), [1, 0.75, 0.75])
    style.use("dark")
    np.testing.assert_allclose(style.toward((1, 0, 0), 0.0), to_rgb(style.PAPER))
