"""What the layers of a convolutional network look for, and what they see in a picture."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
FILTER, GAP = 0.6, 0.1
MAP, MAP_GAP = 0.85, 0.06
MARGIN, TITLE, HEADING, LEGEND = 0.25, 0.6, 0.36, 0.35
LEAST_WIDTH = 5.2  # for the legend
MOST_LAYERS, MOST_MAPS = 6, 10
SIGNS = "blue: positive; vermillion: negative; white: 0"


def filters(
    weight: np.ndarray,
    path: str | os.PathLike[str],
    *,
    columns: int = 8,
    text: style.Words = str,
) -> Path:
    """Draw the filters of a first layer, a square each; returns `path`.

    Filters of three channels are drawn in colour: grey is 0, and the largest weight of a filter is
    a full colour. Others are drawn channel after channel: white is 0, blue positive, vermillion
    negative, and the largest weight of all is a full colour.

    Args:
        weight: (out, in, height, width), as a `Conv2d` has it.
        path: the PNG file to write.
        columns: squares in a row.
        text: gives what is shown in place of each English text; the same by default.

    Raises:
        ShapeError: the weight is not of that shape.
    """
    if weight.ndim != 4 or not weight.size:
        rule = "weight must have shape (out, in, height, width), none of them 0"
        raise ShapeError("filters", f"{rule}, got {weight.shape}")
    return style.write(_draw_filters(weight, columns, text), path)


def feature_maps(
    model: nn.Module,
    image: np.ndarray,
    path: str | os.PathLike[str],
    *,
    text: style.Words = str,
) -> Path:
    """Draw what convolutions return for a picture, before any activation; returns `path`.

    Of many layers some are drawn, evenly spread, and of many maps the first. White is 0, blue
    positive, vermillion negative, and the largest value of each map a full colour.

    Args:
        model: with a `Conv2d` in it. It runs once, in evaluation mode; the mode is put back after.
        image: (C, H, W), an input.
        path: the PNG file to write.
        text: gives what is shown in place of each English text; the same by default.

    Raises:
        ArgumentError: the model has no `Conv2d`.
    """
    return style.write(_draw_maps(image, _seen(model, image), text), path)


@style.look()
def _draw_filters(weight: np.ndarray, columns: int, text: style.Words = str) -> Figure:
    """The figure: all squares in rows, a title, and how to read them."""
    colour = weight.shape[1] == 3
    if colour:
        largest = np.maximum(np.abs(weight).max((1, 2, 3), keepdims=True), 1e-12)
        squares = (0.5 + 0.5 * weight / largest).transpose(0, 2, 3, 1)
        legend = text("grey: 0; full colour: the largest weight of the filter")
    else:
        squares = _two_colours(weight.reshape(-1, *weight.shape[2:]))
        legend = text(f"{SIGNS}; full colour: the largest weight of all")
    rows = math.ceil(len(squares) / columns)
    height = TITLE + rows * (FILTER + GAP) + LEGEND
    figure = style.new_figure(max(LEAST_WIDTH, 2 * MARGIN + columns * (FILTER + GAP) - GAP), height)
    size = "×".join(map(str, weight.shape[2:]))
    style.add_title(figure, text("{} filters of {}").format(len(weight), size))
    for place, square in enumerate(squares):
        row, column = divmod(place, columns)
        left, top = MARGIN + column * (FILTER + GAP), TITLE + row * (FILTER + GAP)
        axes = style.add_axes(figure, left, height - top - FILTER, FILTER, FILTER)
        _show(axes, square)
    style.add_note(figure, MARGIN, height - 0.15, legend)
    return figure


@style.look()
def _draw_maps(image: np.ndarray, layers: dict[str, np.ndarray], text: style.Words = str) -> Figure:
    """The figure: the picture, then a row a layer."""
    most = max(min(len(maps), MOST_MAPS) for maps in layers.values())
    tall = [MAP * min(1.0, maps.shape[1] / maps.shape[2]) for maps in layers.values()]
    height = TITLE + HEADING + MAP + sum(HEADING + t for t in tall) + LEGEND + 0.1
    width = max(LEAST_WIDTH, 2 * MARGIN + most * (MAP + MAP_GAP) - MAP_GAP)
    figure = style.new_figure(width, height)
    style.add_title(figure, text("What the layers see"))
    top = TITLE
    style.add_note(figure, MARGIN, top + 0.26, text("the picture, {}").format(_size(image)))
    pixels = np.clip(image.transpose(1, 2, 0) / max(float(image.max()), 1e-6), 0, 1)
    if pixels.shape[2] not in (1, 3):
        pixels = pixels[:, :, :1]
    axes = style.add_axes(figure, MARGIN, height - top - HEADING - MAP, MAP, MAP)
    _show(axes, np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    top += HEADING + MAP
    for (name, maps), high in zip(layers.items(), tall, strict=True):
        heading = text("layer {}: {} maps of {}").format(name, len(maps), _size(maps))
        if len(maps) > most:
            heading += text(", the first {}").format(most)
        style.add_note(figure, MARGIN, top + 0.26, heading)
        top += HEADING
        for column, square in enumerate(map(_two_colours, maps[:most])):
            left = MARGIN + column * (MAP + MAP_GAP)
            _show(style.add_axes(figure, left, height - top - high, MAP, high), square)
        top += high
    legend = text(f"{SIGNS}; full colour: the largest value of the map")
    style.add_note(figure, MARGIN, height - 0.15, legend)
    return figure


@no_grad()
def _seen(model: nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """What some convolutions return for a picture, by their names."""
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    if not layers:
        raise ArgumentError("feature_maps", "model must have a Conv2d, got none")
    last = len(layers) - 1
    chosen = {round(i * last / (MOST_LAYERS - 1)) for i in range(MOST_LAYERS)}
    seen: dict[str, np.ndarray] = {}

    def listen(name: str) -> Any:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            seen[name] = output.backend.to_host(output.array)[0]

        return hook

    handles = [layers[i][1].register_forward_hook(listen(layers[i][0])) for i in sorted(chosen)]
    was_training, be = model.training, next(model.parameters()).backend
    model.eval()
    try:
        model(Tensor(be.asarray(image[np.newaxis]), be))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return seen


def _two_colours(values: np.ndarray) -> np.ndarray:
    """(..., 3) from white for 0 to blue for the largest and vermillion for the least value."""
    from matplotlib.colors import to_rgb

    share = np.clip(values / max(float(np.abs(values).max()), 1e-12), -1, 1)[..., None]
    full = np.where(share > 0, to_rgb(style.BLUE), to_rgb(style.VERMILLION))
    return style.toward(full, np.abs(share))


def _show(axes: Axes, square: np.ndarray) -> None:
    axes.imshow(square, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=style.LIGHT, linewidth=0.6)


def _size(maps: np.ndarray) -> str:
    return f"{maps.shape[1]}×{maps.shape[2]}"
