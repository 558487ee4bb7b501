"""Sentences whose words are coloured by what they contribute to an answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpunet.errors import ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, MARGIN, TITLE, HEADING = 9.0, 0.25, 0.65, 0.42  # inches
CAPTION, LINE, GAP, SPACE = 0.24, 0.25, 0.16, 0.07
STRONGEST = 0.75  # of a full colour, so that words can still be read


class Sentence(NamedTuple):
    """The words, how far each speaks for the answer (below 0: against it), and the answer."""

    words: Sequence[str]
    contributions: np.ndarray
    caption: str


class _Placed(NamedTuple):
    """A word and where it stands: inches from the left and from the top of its sentence."""

    word: str
    share: float
    left: float
    top: float
    width: float


def sentence_page(sections: Mapping[str, Sequence[Sentence]], path: str | os.PathLike[str]) -> Path:
    """Draw sentences with coloured words under headings; returns `path`.

    Blue words speak for the answer, vermillion ones against it; the strongest word of a sentence
    has the full colour.

    Args:
        path: the PNG file to write.

    Raises:
        ShapeError: there is no sentence, one without words, or not a number for each word.
    """
    sentences = [one for section in sections.values() for one in section]
    if not sentences:
        raise ShapeError("sentence_page", "sentences must be at least one, got none")
    for words, contributions, _ in sentences:
        if not words or contributions.shape != (len(words),):
            rule = f"contributions must have shape ({len(words)},), and words be at least one"
            raise ShapeError("sentence_page", f"{rule}, got {contributions.shape}")
    return style.write(_draw(sections), path)


@style.look()
def _draw(sections: Mapping[str, Sequence[Sentence]]) -> Figure:
    """The figure: a sentence below the other, in inches from the top."""
    placed = {heading: [_place(one) for one in section] for heading, section in sections.items()}
    heights = [_height(words) for section in placed.values() for words in section]
    height = TITLE + len(sections) * HEADING + sum(heights) + MARGIN
    figure = style.new_figure(WIDTH, height)
    style.add_title(figure, "What speaks for an answer (blue), and what against it (vermillion)")
    top = TITLE
    for heading, section in sections.items():
        style.add_note(figure, MARGIN, top + 0.22, heading, style.INK)
        top += HEADING
        for sentence, words in zip(section, placed[heading], strict=True):
            style.add_note(figure, MARGIN, top + 0.15, sentence.caption)
            for word in words:
                _add(figure, word, top + CAPTION, height)
            top += _height(words)
    return figure


def _place(sentence: Sentence) -> list[_Placed]:
    """The words in lines that fit the page."""
    strongest = max(float(np.abs(sentence.contributions).max()), 1e-12)
    left, top, placed = MARGIN, 0.0, []
    for word, say in zip(sentence.words, sentence.contributions, strict=True):
        width = style.width_of(word, style.NORMAL) + 2 * SPACE
        if left + width > WIDTH - MARGIN and left > MARGIN:
            left, top = MARGIN, top + LINE
        placed.append(_Placed(word, float(say) / strongest, left, top, width))
        left += width
    return placed


def _height(words: list[_Placed]) -> float:
    return CAPTION + words[-1].top + LINE + GAP


def _add(figure: Figure, word: _Placed, top: float, height: float) -> None:
    """A word on a ground of its colour."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    full = to_rgb(style.BLUE if word.share > 0 else style.VERMILLION)
    colour = style.toward(full, STRONGEST * abs(word.share))
    y = height - top - word.top - LINE
    box = ((word.left / WIDTH, y / height), word.width / WIDTH, 0.9 * LINE / height)
    figure.add_artist(Rectangle(*box, facecolor=colour, edgecolor="none"))
    figure.text(
        (word.left + SPACE) / WIDTH,
        (y + 0.07) / height,
        word.word,
        fontsize=style.NORMAL,
        color=style.INK,
    )
