"""Learning curves: how loss and error went from epoch to epoch, in a run or in several."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpunet.errors import ArgumentError
from gpunet.viz import style
from gpunet.viz.lines import name_ends, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("train", "validation", "test")
BEST = {part: f"○ best on {part}: {{}}, epoch {{}}" for part in PARTS[1:]}
RING: dict[str, Any] = {"markersize": 10, "markerfacecolor": "none", "clip_on": False}

SHARES = {"accuracy": "Error (%)", "dice": "1 − Dice (%)"}  # what is 1 at best, and its panel
RUNS = 4  # that one picture compares at most

Points = list[tuple[int, float]]  # (epoch, value), in the order of the history


def learning_curve(
    history: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    text: style.Words = str,
) -> Path:
    """Draw loss and error over the epochs of a run, with the best epoch marked; returns `path`.

    The best epoch is the first with the least error (the least loss where there is no accuracy) on
    the validation part, or on the test set where nothing was held out. Where the run overfits, the
    loss has a grey ground from the overfitting point on; see `overfitting_point`.

    Args:
        history: a mapping for each epoch with "epoch" (from 1) and what was measured in it, such as
            "train_loss", "test_loss", "train_accuracy" and "test_accuracy" (in 0..1, or "dice"; a
            regression has none, and then only the loss is drawn). The same with "validation_" is
            drawn too.
        path: the PNG file to write.
        text: gives what is shown in place of each English text; the same by default.

    Raises:
        ArgumentError: the history holds no loss.
    """
    return style.write(_draw(history, text), path)


def overfitting_point(history: Sequence[Mapping[str, Any]]) -> int:
    """The epoch after which training went on at the cost of what was held out; 0 if there is none.

    It is the first epoch with the least held-out loss, if that loss was a tenth higher at the end
    of the run, and the training loss lower.

    Args:
        history: see `learning_curve`.
    """
    loss = _measured(history, "loss")
    judge, epoch, least = _best(loss)
    train = dict(loss.get("train", []))
    if not judge or epoch not in train or loss[judge][-1][1] < 1.1 * least:
        return 0
    return epoch if loss["train"][-1][1] < train[epoch] else 0


@style.look()
def _draw(history: Sequence[Mapping[str, Any]], text: style.Words = str) -> Figure:
    """The figure: one panel, or two side by side where accuracies were measured."""
    panels = _panels("learning_curve", history)
    judge, best, least = _best(panels[-1][-1])
    figure = style.new_figure(5.35 * len(panels), 3.4)
    colours = dict(zip(PARTS, (style.BLUE, style.GREEN, style.VERMILLION), strict=True))
    for column, (title, text_of, lines) in enumerate(panels):
        axes = style.add_axes(figure, 0.65 + 5.35 * column, 0.55, 3.1, 2.35)
        axes.set_title(text(title))
        _plot(axes, lines, colours)
        axes.set_xlabel(text("Epoch"))
        names = {part: text(part) for part in lines}
        ends = {names[part]: points for part, points in lines.items()}
        name_ends(axes, ends, {names[part]: colours[part] for part in lines}, text_of)
        values = dict(lines.get(judge, []))
        if best in values:
            axes.plot(best, values[best], "o", color=style.INK, label="best", **RING)
    if point := overfitting_point(history):
        loss = figure.axes[0]
        loss.axvspan(point, loss.get_xlim()[1], color=style.FAINT, linewidth=0, zorder=0)
        if len(panels) > 1:
            told = text("overfitting after epoch {}").format(point)
            loss.set_title(told, loc="right", x=1.4, fontweight="normal", color=style.GREY)
    if judge:
        told = text(BEST[judge]).format(text_of(least), best)
        axes.set_title(told, loc="right", x=1.4, fontweight="normal")
    return figure


def compare_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], path: str | os.PathLike[str]
) -> Path:
    """Draw the loss and the error of several runs in one picture; returns `path`.

    Thick lines are the validation part (the test set where nothing was held out), thin ones the
    training set.

    Args:
        histories: of each run, by its name, as `learning_curve` takes it; four of them at most.
        path: the PNG file to write.

    Raises:
        ArgumentError: no run or more than four, or one without a loss.
    """
    if not 1 <= len(histories) <= RUNS:
        problem = f"histories must be of 1 to {RUNS} runs, got {len(histories)}"
        raise ArgumentError("compare_curves", problem)
    return style.write(_draw_runs(histories), path)


@style.look()
def _draw_runs(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """The figure: a panel for each quantity that all runs have, with two lines a run."""
    runs = {name: _panels("compare_curves", history) for name, history in histories.items()}
    count = min(map(len, runs.values()))
    names = max(style.width_of(f"{name} 99.99 %", style.NORMAL) for name in runs)
    across = 0.65 + 3.6 + 0.25 + names + 0.2
    figure = style.new_figure(across * count, 3.8)
    palette = (style.BLUE, style.VERMILLION, style.GREEN, style.INK)[: len(runs)]
    for column in range(count):
        axes = style.add_axes(figure, 0.65 + across * column, 0.55, 3.6, 2.75)
        title, text_of, _ = next(iter(runs.values()))[column]
        axes.set_title(title)
        colours = dict(zip(runs, palette, strict=True))
        lines = {name: panels[column][-1] for name, panels in runs.items()}
        judges = {name: _best(parts)[0] or "train" for name, parts in lines.items()}
        held_out = {name: parts[judges[name]] for name, parts in lines.items()}
        training = {name: parts["train"] for name, parts in lines.items() if "train" in parts}
        for name, points in training.items():
            axes.plot(*zip(*points, strict=True), color=colours[name], linewidth=0.8)
        how = f"thick: {', '.join(sorted(set(judges.values())))}, thin: train"
        axes.set_title(how, loc="right", fontweight="normal")
        _plot(axes, held_out, colours)
        axes.set_xlabel("Epoch")
        scale(axes, [v for each in (held_out, training) for p in each.values() for _, v in p])
        name_ends(axes, held_out, colours, text_of)
    return figure


Panel = tuple[str, Callable[[float], str], dict[str, Points]]


def _panels(operation: str, history: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """What is drawn of a history: titles, how values are written, and a line for each part."""
    loss = _measured(history, "loss")
    if not loss:
        problem = f"history must hold a loss, got {len(history)} epochs without one"
        raise ArgumentError(operation, problem)
    panels: list[Panel] = [("Loss", _three_digits, loss)]
    for quantity, title in SHARES.items():
        if shares := _measured(history, quantity):
            # Errors, not accuracies: from 98 % to 99 % half of the mistakes are gone, and it shows.
            panels.append((title, "{:.2f} %".format, _errors(shares)))
    return panels[:2]


def _three_digits(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _measured(history: Sequence[Mapping[str, Any]], quantity: str) -> dict[str, Points]:
    """The finite values of `quantity`, for each part of the data that has any."""
    lines = {}
    for part in PARTS:
        values = [(row["epoch"], row.get(f"{part}_{quantity}")) for row in history]
        points = [(epoch, value) for epoch, value in values if value is not None]
        lines[part] = [point for point in points if math.isfinite(point[1])]
    return {part: points for part, points in lines.items() if points}


def _errors(accuracy: dict[str, Points]) -> dict[str, Points]:
    """Per cent wrong; rounded, as a mean that misses 1 by an ulp would show on a log scale."""
    return {
        part: [(epoch, round(100 - 100 * value, 9)) for epoch, value in points]
        for part, points in accuracy.items()
    }


def _best(lines: dict[str, Points]) -> tuple[str, int, float]:
    """The part that decides which epoch is best, that epoch, and its value: the first least one."""
    for part in ("validation", "test"):
        if part in lines:
            return part, *min(lines[part], key=lambda point: point[1])
    return "", 0, math.nan


def _plot(axes: Axes, lines: dict[str, Points], colours: Mapping[str, str]) -> None:
    """The lines of one panel, with its axes."""
    from matplotlib.ticker import MaxNLocator

    everywhere = sorted({epoch for points in lines.values() for epoch, _ in points})
    for part, points in lines.items():
        axes.plot(
            [epoch for epoch, _ in points],
            [value for _, value in points],
            label=part,
            color=colours[part],
            linewidth=1.8,
            marker="o",
            markersize=4,
            markevery=1 if len(points) <= 15 else [len(points) - 1],
            clip_on=False,
        )
    scale(axes, [value for points in lines.values() for _, value in points])
    if len(everywhere) > 1:
        axes.set_xlim(everywhere[0], everywhere[-1])
    else:
        axes.set_xlim(everywhere[0] - 0.5, everywhere[0] + 0.5)
        if axes.get_yscale() == "linear":  # nothing else to compare the points with
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.grid(axis="y")
