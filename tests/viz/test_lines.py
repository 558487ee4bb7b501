"""Lines stand where their values are, named, on axes that all panels share."""

import math

import numpy as np
import pytest
from PIL import Image

from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import lines, style
from gpunet.viz.lines import _draw, power_of_ten

FALLING = {"Norms": {"tanh": [1.0, 1e-3, 1e-6], "ReLU": [1.0, 0.5, 0.25]}}


def test_values_names_and_colours(assert_readable) -> None:
    figure = _draw(FALLING, None, ("Layer", "|g|"), "y")
    (axes,) = figure.axes
    assert_readable(figure)
    for line, (name, values) in zip(axes.lines, FALLING["Norms"].items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([[1, 2, 3], values]))
    assert [text.get_text() for text in axes.texts] == ["tanh", "ReLU"]
    assert [line.get_color() for line in axes.lines] == [style.BLUE, style.VERMILLION]
    assert [text.get_color() for text in axes.texts] == [style.BLUE, style.VERMILLION]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("Layer", "|g|", "log")


def test_panels_share_their_axes(assert_readable) -> None:
    panels = {f"λ = {i}": {"train": [1.0, i], "validation": [2.0, 3.0 + i]} for i in range(6)}
    figure = _draw(panels, [10.0, 20.0], ("Epoch", "Loss"))
    assert_readable(figure)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert {axes.get_xlim() for axes in figure.axes} == {(10.0, 20.0)}
    assert [axes.get_title("left") for axes in figure.axes] == list(panels)
    assert [text.get_text() for text in figure.texts] == ["validation", "train"]
    assert len({axes.lines[0].get_color() for axes in figure.axes}) == 1


def test_a_line_is_named_where_it_breaks_off() -> None:
    (axes,) = _draw({"Loss": {"too large": [1.0, 9.0, math.inf, math.nan]}}).axes
    assert axes.texts[0].xy == (2, 9.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (0.02, "0.02"), (500, "500"), (1e-9, "10⁻⁹"), (2e5, "2·10⁵"), (1e12, "10¹²")],
)
def test_ticks_of_a_logarithmic_axis(value, text) -> None:
    assert power_of_ten(value) == text


def test_a_short_logarithmic_axis_has_ticks_between_the_powers() -> None:
    (axes,) = _draw({"": {"a": [0.11, 0.9]}}, log="y").axes
    assert list(axes.get_yticks()) == pytest.approx([0.1, 0.2, 0.5])


def test_the_file(tmp_path) -> None:
    path = lines(FALLING, tmp_path / "lines.png", log="y")
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize(
    ("panels", "options", "error", "message"),
    [
        ({}, {}, ArgumentError, "lines: panels must hold at least one, got none"),
        ({"a": {}}, {}, ArgumentError, "panels must hold 1 to 7 lines, got 0 in 'a'"),
        ({"a": {"b": [math.nan]}}, {}, ArgumentError, "a finite value, got none in 'b' of 'a'"),
        ({"a": {"b": [1.0]}}, {"x": [1, 2]}, ShapeError, "a value for each x, got 1 for 2"),
        ({"a": {"b": [1.0]}}, {"log": "z"}, ArgumentError, 'log must be "", "x", "y" or "xy"'),
        (
            {"a": {"b": [1.0]}},
            {"beneath": "c"},
            ArgumentError,
            "beneath must be the name of a line",
        ),
    ],
)
def test_refused(panels, options, error, message, tmp_path) -> None:
    with pytest.raises(error, match=message):
        lines(panels, tmp_path / "lines.png", **options)


def test_what_lies_beneath_is_broad_and_pale() -> None:
    panels = {"": {"found": [1.0, 2.0], "true": [1.0, 2.0]}}
    found, true = _draw(panels, beneath="true").axes[0].lines
    assert true.get_linewidth() > 2 * found.get_linewidth()
    assert true.get_alpha() < 0.5


def test_panels_have_a_heading(assert_readable) -> None:
    panels = {f"λ = {i}": {"train": [1.0, i], "validation": [2.0, 3.0 + i]} for i in range(2)}
    figure = _draw(panels, title="The two of them")
    assert_readable(figure)
    assert [text.get_text() for text in figure.texts] == ["The two of them", "validation", "train"]
