"""Where a translation looks: a matrix for each pair of texts, with their words on both axes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpunet.errors import ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL, GAP, MARGIN, TITLE, LEGEND = 0.27, 0.45, 0.25, 0.65, 0.4  # inches
POINTS = 72 * 0.62 * CELL


class Looked(NamedTuple):
    """A source, its translation, and how much each word of that looked at each of the source's.

    Shapes: weights (words of the translation, words of the source), each row of sum 1.
    """

    source: Sequence[str]
    translation: Sequence[str]
    weights: np.ndarray


def attention_page(
    pairs: Sequence[Looked],
    path: str | os.PathLike[str],
    *,
    columns: int = 2,
    text: style.Words = str,
) -> Path:
    """Draw the attention of translations, a matrix each; returns `path`.

    White is 0 and blue 1; a row is a word of the translation, a column one of the source.

    Args:
        path: the PNG file to write.
        columns: matrices in a row.
        text: gives what is shown in place of each English text; the same by default.

    Raises:
        ShapeError: there are no pairs, or weights that do not fit their words.
    """
    if not pairs:
        raise ShapeError("attention_page", "pairs must be at least one, got none")
    for source, translation, weights in pairs:
        if weights.shape != (len(translation), len(source)) or not weights.size:
            rule = f"weights must have shape {(len(translation), len(source))}, none of them 0"
            raise ShapeError("attention_page", f"{rule}, got {weights.shape}")
    return style.write(_draw(pairs, columns, text), path)


@style.look()
def _draw(pairs: Sequence[Looked], columns: int, text: style.Words = str) -> Figure:
    """The figure: a grid whose rows are as high and columns as wide as the largest in them."""
    columns = min(columns, len(pairs))
    grid = [pairs[i : i + columns] for i in range(0, len(pairs), columns)]
    widths = [max(map(_width, pairs[i::columns])) for i in range(columns)]
    heights = [max(map(_height, row)) for row in grid]
    height = TITLE + sum(heights) + GAP * (len(grid) - 1) + LEGEND
    note = text("columns: the source; rows: its translation; empty: 0, blue: all attention")
    least = style.width_of(note, style.SMALL)
    width = max(least, sum(widths) + GAP * (columns - 1))
    figure = style.new_figure(2 * MARGIN + width, height)
    style.add_title(figure, text("Where the translation looks"))
    top = TITLE
    for row, down in zip(grid, heights, strict=True):
        left = MARGIN
        for pair, across in zip(row, widths, strict=False):
            width, length = (CELL * len(words) for words in (pair.source, pair.translation))
            x, y = left + _longest(pair.translation), top + _longest(pair.source)
            _fill(style.add_axes(figure, x, height - y - length, width, length), pair)
            left += across + GAP
        top += down + GAP
    style.add_note(figure, MARGIN, height - 0.15, note)
    return figure


def _longest(words: Sequence[str]) -> float:
    return 0.12 + max(style.width_of(word, POINTS) for word in words)


def _width(pair: Looked) -> float:
    return _longest(pair.translation) + CELL * len(pair.source)


def _height(pair: Looked) -> float:
    return _longest(pair.source) + CELL * len(pair.translation)


def _fill(axes: Axes, pair: Looked) -> None:
    """The coloured cells, and the words left and above."""
    from matplotlib.colors import to_rgb

    colours = style.toward(to_rgb(style.BLUE), pair.weights[:, :, None])
    axes.imshow(colours, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(pair.source)), pair.source, rotation=90)
    axes.set_yticks(range(len(pair.translation)), pair.translation)
    axes.tick_params(labelsize=POINTS, labelcolor=style.INK, pad=3)
    for size, draw, to in (
        (len(pair.source), axes.vlines, len(pair.translation)),
        (len(pair.translation), axes.hlines, len(pair.source)),
    ):
        draw(np.arange(size + 1) - 0.5, -0.5, to - 0.5, color=style.FAINT, linewidth=0.8)
