"""A page of test pictures with what was predicted for them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ShapeError
from gpunet.viz import style
from gpunet.viz.confusion import check_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The page in inches. A tile has the picture, the bars, a line on the prediction, one on the truth.
PICTURE, TILE_WIDTH, TILE_HEIGHT = 1.3, 1.5, 2.15
BARS_TOP, BARS_HEIGHT = PICTURE + 0.07, 0.25
FIRST_LINE, SECOND_LINE = PICTURE + 0.57, PICTURE + 0.72
MARGIN, TITLE, HEADING, LEGEND = 0.25, 0.65, 0.3, 0.4
LEAST_WIDTH = 5.0  # for the title and the legend

Corners = np.ndarray  # (n, 2) the upper left corner of each tile, in inches from that of the page


def choose(
    targets: np.ndarray,
    probabilities: np.ndarray,
    count: int,
    seed: int,
    *,
    text: style.Words = str,
) -> dict[str, np.ndarray]:
    """Which pictures to show: a random sample, and the mistakes made with the most confidence.

    Args:
        targets: (N,) the true classes.
        probabilities: (N, K) of each class, as predicted.
        count: how many in all; a quarter of them are mistakes, fewer where there are fewer.
        seed: of the random sample.
        text: gives what is shown in place of each English text; the same by default.

    Returns:
        Indices of the pictures under the heading that says how they were chosen, as
        `prediction_page` takes them. The sample is drawn from all, so a mistake may be in both.
    """
    wrong = np.flatnonzero(probabilities.argmax(1) != targets)
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][: count // 4]
    generator = np.random.Generator(np.random.Philox(seed))
    size = min(count - len(worst), len(targets))
    sample = generator.choice(len(targets), size, replace=False)
    sections = {text("A random sample"): sample[np.argsort(targets[sample], kind="stable")]}
    if len(worst):
        sections[text("The most confident of {:,} mistakes").format(len(wrong))] = worst
    return sections


def prediction_page(
    images: np.ndarray,
    targets: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    *,
    sections: Mapping[str, Sequence[int] | np.ndarray] | None = None,
    columns: int = 8,
    text: style.Words = str,
) -> Path:
    """Draw pictures with their true class, the predicted one and all probabilities; returns `path`.

    Mistakes have a thick frame and a cross. The heading counts what was recognised of all N, shown
    or not.

    Args:
        images: (N, C, H, W) in 0..1; grey (C = 1) or red, green, blue (C = 3).
        targets: (N,) the true classes, 0..K-1.
        probabilities: (N, K) of each class, as predicted.
        classes: the K names.
        path: the PNG file to write.
        sections: which of the N to show, under which heading (see `choose`); all where left out.
        columns: pictures in a row.
        text: gives what is shown in place of each English text; the same by default.

    Raises:
        ShapeError: the shapes do not fit together.
        DTypeError: the targets are no integers.
        ArgumentError: a target is not in 0..K-1.
    """
    _check(images, targets, probabilities, classes)
    if sections is None:
        sections = {"": range(len(images))}
    drawn = _draw(images, targets, probabilities, classes, sections, columns, text)
    return style.write(drawn, path)


@style.look()
def _draw(
    images: np.ndarray,
    targets: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    sections: Mapping[str, Sequence[int] | np.ndarray],
    columns: int,
    text: style.Words = str,
) -> Figure:
    """The figure: one pair of axes over the whole page, in inches from its upper left corner."""
    right, total = int((probabilities.argmax(1) == targets).sum()), len(targets)
    chosen, corners, headings, bottom = _arrange(sections, columns)
    width = max(LEAST_WIDTH, 2 * MARGIN + columns * TILE_WIDTH - (TILE_WIDTH - PICTURE))
    figure = style.new_figure(width, bottom + LEGEND)
    axes = style.add_axes(figure, 0, 0, width, bottom + LEGEND)
    share = style.percent(right / total, 2)
    style.add_title(figure, text("{} recognised  ({:,} of {:,})").format(share, right, total))
    for heading, top in headings:
        axes.text(MARGIN, top, heading, color=style.GREY)
    images, targets, probabilities = images[chosen], targets[chosen], probabilities[chosen]
    _add_pictures(axes, images, corners, wrong=probabilities.argmax(1) != targets)
    _add_bars(axes, targets, probabilities, corners)
    _add_captions(axes, targets, probabilities, classes, corners, text("is {}"))
    legend = _legend(classes, width - 2 * MARGIN, text)
    axes.text(MARGIN, bottom + 0.15, legend, fontsize=style.SMALL, color=style.GREY)
    axes.set(xlim=(0, width), ylim=(bottom + LEGEND, 0))
    axes.set_axis_off()
    return figure


def _arrange(
    sections: Mapping[str, Sequence[int] | np.ndarray], columns: int
) -> tuple[np.ndarray, Corners, list[tuple[str, float]], float]:
    """What goes where: indices, their corners, headings with their heights, and the lower end."""
    chosen: list[int] = []
    corners, headings, top = [], [], TITLE
    for heading, indices in sections.items():
        if heading:
            headings.append((heading, top + 0.15))
            top += HEADING
        for place, index in enumerate(indices):
            row, column = divmod(place, columns)
            chosen.append(int(index))
            corners.append((MARGIN + column * TILE_WIDTH, top + row * TILE_HEIGHT))
        top += math.ceil(len(indices) / columns) * TILE_HEIGHT
    return np.array(chosen, dtype=int), np.array(corners).reshape(-1, 2), headings, top


def _add_pictures(axes: Axes, images: np.ndarray, corners: Corners, wrong: np.ndarray) -> None:
    """The pictures, as large as the square allows, and a frame that is thick around mistakes."""
    height, width = np.array(images.shape[2:]) * PICTURE / max(images.shape[2:])
    pixels = np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:3], 3))  # grey is equal red, green and blue
    for image, (left, top) in zip(pixels, corners, strict=True):
        x, y = left + (PICTURE - width) / 2, top + (PICTURE - height) / 2
        axes.imshow(image, extent=(x, x + width, y + height, y), aspect="auto")
    frames = _boxes(corners[:, 0], corners[:, 1], PICTURE, PICTURE)
    _add_boxes(axes, frames[~wrong], facecolor="none", edgecolor=style.LIGHT, linewidth=0.6)
    _add_boxes(axes, frames[wrong], facecolor="none", edgecolor=style.VERMILLION, linewidth=3)


def _add_bars(axes: Axes, targets: np.ndarray, probabilities: np.ndarray, corners: Corners) -> None:
    """A bar for each probability, on a field as high as 100 %, and a mark below the true class."""
    count, size = probabilities.shape
    step, everyone = PICTURE / size, np.arange(count)
    colours = np.full((count, size), style.LIGHT)
    colours[everyone, probabilities.argmax(1)] = style.VERMILLION
    colours[everyone, targets] = style.BLUE
    left = corners[:, :1] + step * (np.arange(size) + 0.1)
    top, high = corners[:, 1:] + BARS_TOP, BARS_HEIGHT * probabilities
    fields = _boxes(corners[:, 0], top[:, 0], PICTURE, BARS_HEIGHT)
    _add_boxes(axes, fields, facecolor=style.FAINT)
    bars = _boxes(left, top + BARS_HEIGHT - high, 0.8 * step, high)
    _add_boxes(axes, bars, facecolor=list(colours.ravel()))
    middle = left[everyone, targets] + 0.4 * step
    axes.plot(middle, top[:, 0] + BARS_HEIGHT + 0.05, "^", markersize=3.5, color=style.BLUE)


def _add_captions(
    axes: Axes,
    targets: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    corners: Corners,
    truth: str,
) -> None:
    """What was predicted and how surely; for a mistake a cross, and what it is."""
    names = [_shorten(name, PICTURE - 0.55) for name in classes]
    for target, row, (left, top) in zip(targets, probabilities, corners, strict=True):
        guess = row.argmax()
        right, sure = guess == target, style.percent(row[guess], 0)
        look: dict[str, Any] = {"fontsize": style.SMALL}
        look["color"] = style.INK if right else style.VERMILLION
        axes.text(left, top + FIRST_LINE, ("" if right else "✗ ") + names[guess], **look)
        axes.text(left + PICTURE, top + FIRST_LINE, sure, horizontalalignment="right", **look)
        if not right:
            look["color"] = style.BLUE
            axes.text(left, top + SECOND_LINE, truth.format(names[target]), **look)


def _legend(classes: Sequence[str], width: float, text: style.Words) -> str:
    """How to read the bars, in one line at most `width` inches wide."""
    bars = text("Bars: probability of {}; full height is 100 %. ▲ true class. ✗ mistake.")
    for names in (", ".join(classes), f"{classes[0]} … {classes[-1]}", text("each class")):
        legend = bars.format(names)
        if style.width_of(legend, style.SMALL) < width:
            break
    return legend


def _shorten(name: str, width: float) -> str:
    """`name`, cut so that it is at most `width` inches wide in small type."""
    if style.width_of(name, style.SMALL) <= width:
        return name
    while style.width_of(f"{name}…", style.SMALL) > width:
        name = name[:-1]
    return f"{name.rstrip()}…"


def _boxes(left: np.ndarray, top: np.ndarray, width: Any, height: Any) -> np.ndarray:
    """(…, 4, 2) the corners of upright rectangles."""
    x = np.stack(np.broadcast_arrays(left, left + width, left + width, left), -1)
    y = np.stack(np.broadcast_arrays(top, top, top + height, top + height), -1)
    return np.stack(np.broadcast_arrays(x, y), -1)


def _add_boxes(axes: Axes, boxes: np.ndarray, **properties: Any) -> None:
    """Draw rectangles as one artist: a page has hundreds of bars, and an artist each is slow."""
    from matplotlib.collections import PolyCollection

    outlines: Any = boxes.reshape(-1, 4, 2)  # matplotlib's annotation leaves arrays out
    axes.add_collection(PolyCollection(outlines, **properties), autolim=False)


def _check(
    images: np.ndarray, targets: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> None:
    """The shapes that `prediction_page` takes."""
    count, size = len(targets), len(classes)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) != count or not count:
        rule = f"images must have shape (N, 1 or 3, H, W) with N = {count} as targets, N > 0"
        raise ShapeError("prediction_page", f"{rule}, got {images.shape}")
    if probabilities.shape != (count, size):
        rule = f"probabilities must have shape (N, K) = ({count}, {size})"
        raise ShapeError("prediction_page", f"{rule}, got {probabilities.shape}")
    check_labels("prediction_page", "targets", targets, size)
