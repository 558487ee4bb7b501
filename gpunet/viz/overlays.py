"""A page of pictures with two outlines on each: what there is, and what was found."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpunet.errors import ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The page in inches. A tile has the picture and a line below it.
PICTURE, TILE_WIDTH, TILE_HEIGHT = 2.6, 2.75, 2.98
CAPTION = PICTURE + 0.19
MARGIN, TITLE, HEADING, LEGEND = 0.25, 0.65, 0.3, 0.4
BRIGHTEST = 99.8  # per cent of the pixels that are not shown white


def choose_overlays(dice: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Which pictures to show: a random sample, and those that were segmented worst.

    Args:
        dice: (N,) how well each picture was segmented.
        count: how many in all, at most; a third of them are the worst.
        seed: of the random sample.

    Returns:
        Indices of the pictures under the heading that says how they were chosen, as `overlay_page`
        takes them.
    """
    worst = np.argsort(dice, kind="stable")[: count // 3]
    generator = np.random.Generator(np.random.Philox(seed))
    size = min(count - len(worst), len(dice))
    sample = generator.choice(len(dice), size, replace=False)
    return {"A random sample": np.sort(sample), f"The worst of {len(dice):,}": worst}


def overlay_page(
    images: np.ndarray,
    targets: np.ndarray,
    predictions: np.ndarray,
    dice: np.ndarray,
    path: str | os.PathLike[str],
    *,
    sections: Mapping[str, Sequence[int] | np.ndarray] | None = None,
    columns: int = 4,
) -> Path:
    """Draw pictures with the outlines of what there is and what was found; returns `path`.

    Each picture is brightened until its brightest pixels are white. The heading has the mean of all
    N Dice coefficients, shown or not.

    Args:
        images: (N, C, H, W) in 0..1; grey (C = 1) or red, green, blue (C = 3).
        targets, predictions: (N, H, W) labels of the pixels; 0 is ground, which has no outline.
        dice: (N,) the Dice coefficient of each picture.
        path: the PNG file to write.
        sections: which of the N to show, under which heading (see `choose_overlays`); all where
            left out.
        columns: pictures in a row.

    Raises:
        ShapeError: the shapes do not fit together.
    """
    _check(images, targets, predictions, dice)
    if sections is None:
        sections = {"": range(len(images))}
    return style.write(_draw(images, targets, predictions, dice, sections, columns), path)


@style.look()
def _draw(
    images: np.ndarray,
    targets: np.ndarray,
    predictions: np.ndarray,
    dice: np.ndarray,
    sections: Mapping[str, Sequence[int] | np.ndarray],
    columns: int,
) -> Figure:
    """The figure: axes for each picture, in inches from the page's lower left corner."""
    rows = sum(math.ceil(len(indices) / columns) for indices in sections.values())
    headings = sum(1 for heading in sections if heading)
    height = TITLE + headings * HEADING + rows * TILE_HEIGHT + LEGEND
    figure = style.new_figure(2 * MARGIN + columns * TILE_WIDTH - (TILE_WIDTH - PICTURE), height)
    spread = f"{dice.min():.3f} to {dice.max():.3f}"
    title = f"Mean Dice {dice.mean():.3f}  ({len(dice):,} pictures, {spread})"
    style.add_title(figure, title)
    top = TITLE
    for heading, indices in sections.items():
        if heading:
            style.add_note(figure, MARGIN, top + 0.15, heading)
            top += HEADING
        for place, index in enumerate(indices):
            row, column = divmod(place, columns)
            left, upper = MARGIN + column * TILE_WIDTH, top + row * TILE_HEIGHT
            axes = style.add_axes(figure, left, height - upper - PICTURE, PICTURE, PICTURE)
            _add_picture(axes, images[index])
            _add_outlines(axes, targets[index], style.GREEN, 1.8)
            _add_outlines(axes, predictions[index], style.VERMILLION, 0.7)
            caption = f"no. {index}: Dice {dice[index]:.3f}"
            style.add_note(figure, left, upper + CAPTION, caption, style.INK)
        top += math.ceil(len(indices) / columns) * TILE_HEIGHT
    left = MARGIN
    legend = {"thick: what there is": style.GREEN, "thin: what was found": style.VERMILLION}
    for text, colour in legend.items():
        style.add_note(figure, left, top + 0.15, text, colour)
        left += style.width_of(text, style.SMALL) + 0.3
    return figure


def _add_picture(axes: Axes, image: np.ndarray) -> None:
    """The picture, brightened, as large as the square allows."""
    white = max(float(np.percentile(image, BRIGHTEST)), 1e-6)
    pixels = np.rint(255 * np.clip(image / white, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    axes.imshow(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), interpolation="nearest")
    axes.set_axis_off()


def _add_outlines(axes: Axes, labels: np.ndarray, colour: str, width: float) -> None:
    """Lines between the pixels of each class and all others."""
    height, across = labels.shape
    # A border of ground closes the outlines of what reaches the edge of the picture.
    padded = np.pad(labels, 1)
    y, x = np.arange(-1, height + 1), np.arange(-1, across + 1)
    for k in np.unique(labels[labels > 0]):
        inside = (padded == k).astype(float)
        axes.contour(x, y, inside, levels=[0.5], colors=[colour], linewidths=[width])
    axes.set(xlim=(-0.5, across - 0.5), ylim=(height - 0.5, -0.5))


def _check(
    images: np.ndarray, targets: np.ndarray, predictions: np.ndarray, dice: np.ndarray
) -> None:
    """The shapes that `overlay_page` takes."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        rule = "images must have shape (N, 1 or 3, H, W), N > 0"
        raise ShapeError("overlay_page", f"{rule}, got {images.shape}")
    maps = (len(images), *images.shape[2:])
    for name, labels in (("targets", targets), ("predictions", predictions)):
        if labels.shape != maps:
            rule = f"{name} must have shape (N, H, W) = {maps} as images"
            raise ShapeError("overlay_page", f"{rule}, got {labels.shape}")
    if dice.shape != (len(images),):
        rule = f"dice must have shape (N,) = ({len(images)},)"
        raise ShapeError("overlay_page", f"{rule}, got {dice.shape}")
