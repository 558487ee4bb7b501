"""Forecasts of a series: what was, what came, and what was said, with bands."""

from __future__ import annotations

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

# The page in inches: panels one below the other.
WIDTH, LEFT, BETWEEN, TITLE, FOOT = 9.5, 0.65, 0.45, 0.9, 0.55
PANEL, ALONE = 1.55, 2.6  # the height of one of several, and of the only one
LONGEST = 56  # steps that are forecast in a panel


def choose_stretches(past: np.ndarray, truth: np.ndarray, count: int, seed: int) -> list[list[int]]:
    """A random sample of stretches of a series whose forecasts lie side by side.

    Args:
        past: (N, L) windows. truth: (N, H) what came after each.
        count: how many stretches, at most.
        seed: of the sample.

    Returns:
        For each stretch the windows that are forecast from, each H steps after the one before, in
        the order of the set. Windows follow one another where their values do.

    >>> series = np.arange(10)
    >>> windows = np.lib.stride_tricks.sliding_window_view(series, 5)
    >>> choose_stretches(windows[:, :3], windows[:, 3:], 1, seed=1)
    [[0, 2, 4]]
    """
    n, horizon = truth.shape
    follows = (past[1:, :-1] == past[:-1, 1:]).all(1) & (past[1:, -1] == truth[:-1, 0])
    parts = []
    for run in np.split(np.arange(n), np.flatnonzero(~follows) + 1):
        size = max(1, LONGEST // horizon) * horizon
        parts += [run[i : i + size : horizon].tolist() for i in range(0, len(run), size)]
    full = [part for part in parts if len(part) == max(map(len, parts))]
    generator = np.random.Generator(np.random.Philox(seed))
    chosen = generator.choice(len(full), min(count, len(full)), replace=False)
    return [full[i] for i in np.sort(chosen)]


def forecasts(
    past: np.ndarray,
    truth: np.ndarray,
    mean: np.ndarray,
    side: np.ndarray,
    naive: np.ndarray,
    path: str | os.PathLike[str],
    *,
    stretches: Sequence[Sequence[int]],
    title: str,
    band: str = "with a band",
    step: str = "step",
    season: int = 1,
) -> Path:
    """Draw stretches of a series with forecasts, their bands, and naive ones; returns `path`.

    Args:
        past: (N, L) windows. truth: (N, H) what came after each.
        mean, side: (N, H) of the forecasts: what is said, and how far the band goes up and down.
        naive: (N, H) of the naive forecasts, which say the last `season` steps again.
        path: the PNG file to write.
        stretches: a panel each: windows to forecast from, see `choose_stretches`.
        title: above all. band: what the bands are. step: what lies between two values.

    Raises:
        ShapeError: the shapes do not fit together.
    """
    if past.ndim != 2 or truth.ndim != 2 or len(past) != len(truth) or not len(truth):
        rule = "past and truth must have shapes (N, L) and (N, H), N > 0"
        raise ShapeError("forecasts", f"{rule}, got {past.shape} and {truth.shape}")
    for name, array in (("mean", mean), ("side", side), ("naive", naive)):
        if array.shape != truth.shape:
            rule = f"{name} must have shape (N, H) = {truth.shape} as truth"
            raise ShapeError("forecasts", f"{rule}, got {array.shape}")
    arrays = {"past": past, "truth": truth, "mean": mean, "side": side, "naive": naive}
    again = "last value again" if season == 1 else f"last {season} {step}s again"
    return style.write(_draw(arrays, stretches, title, (band, again), step), path)


@style.look()
def _draw(
    arrays: Mapping[str, np.ndarray],
    stretches: Sequence[Sequence[int]],
    title: str,
    notes: tuple[str, str],
    step: str,
) -> Figure:
    """The figure: a panel a stretch, its steps counted from the first that is forecast."""
    panel = PANEL if len(stretches) > 1 else ALONE
    height = TITLE + len(stretches) * (panel + BETWEEN) + FOOT - BETWEEN
    figure = style.new_figure(WIDTH, height)
    style.add_title(figure, title)
    _add_legend(figure, *notes)
    for row, stretch in enumerate(stretches):
        bottom = height - TITLE - row * (panel + BETWEEN) - panel
        axes = style.add_axes(figure, LEFT, bottom, WIDTH - LEFT - 0.25, panel)
        _add_panel(axes, {name: array[list(stretch)] for name, array in arrays.items()})
    axes.set_xlabel(f"{step.capitalize()}s after the first forecast of the panel")
    return figure


def _add_panel(axes: Axes, arrays: Mapping[str, np.ndarray]) -> None:
    past, truth, mean, side = (arrays[name] for name in ("past", "truth", "mean", "side"))
    naive = arrays["naive"]
    horizon = truth.shape[1]
    known = np.concatenate([past[0], truth.ravel()])
    x = np.arange(len(known)) - past.shape[1]
    axes.axvline(-0.5, color=style.LIGHT, linewidth=0.8)
    for k, last in enumerate(past[:, -1]):
        at = np.arange(k * horizon - 1, (k + 1) * horizon)  # from the last value that is known
        low, high = (np.concatenate([[last], mean[k] + sign * side[k]]) for sign in (-1, 1))
        axes.fill_between(at, low, high, color=style.BLUE, alpha=0.2, linewidth=0)
        again = np.concatenate([[last], naive[k]])
        axes.plot(at, again, color=style.VERMILLION, linewidth=1.0, dashes=(3, 2))
        axes.plot(at, np.concatenate([[last], mean[k]]), color=style.BLUE, linewidth=1.8)
    axes.plot(x, known, color=style.INK, linewidth=0.9, marker="o", markersize=2.2)
    axes.set_xlim(x[0], x[-1] + 0.5)
    axes.grid(axis="y")


def _add_legend(figure: Figure, band: str, again: str) -> None:
    """What the colours are, below the title."""
    left = 0.25
    for text, colour in (
        ("● what was, and what came", style.INK),
        (f"▬ forecast {band}", style.BLUE),
        (f"┅ naive: {again}", style.VERMILLION),
    ):
        style.add_note(figure, left, 0.65, text, colour)
        left += style.width_of(text, style.SMALL) + 0.35
