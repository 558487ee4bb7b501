"""The one look of all pictures: colours, type, sizes in inches, and how a picture reaches the disk.

Pictures are made with matplotlib's objects alone: `pyplot` would choose a window system and keep
every figure alive, and a library must leave the caller's own settings of matplotlib as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ArgumentError, MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150

Words = Callable[[str], str]  # gives the text that is shown in place of an English one

# Okabe and Ito, "Color Universal Design" (2008): told apart with any kind of colour vision. The
# dark look has the same hues, lighter ones.
BLUE, GREEN, VERMILLION = "#0072B2", "#009E73", "#D55E00"
PURPLE, ORANGE, SKY = "#B8608F", "#C98A00", "#3FA0DC"
PAPER, INK, GREY, LIGHT, FAINT = "#FFFFFF", "#1A1A1A", "#666666", "#B8B8B8", "#EBEBEB"

_NAMES = "BLUE GREEN VERMILLION PURPLE ORANGE SKY PAPER INK GREY LIGHT FAINT".split()
_THEMES = {
    "light": {name: globals()[name] for name in _NAMES},
    "dark": {
        "BLUE": "#5AA9E6",
        "GREEN": "#2FC49A",
        "VERMILLION": "#FF8A4C",
        "PURPLE": "#DE8FBC",
        "ORANGE": "#F0C040",
        "SKY": "#9AD4F5",
        "PAPER": "#16191D",
        "INK": "#ECECEC",
        "GREY": "#A9AFB6",
        "LIGHT": "#565D66",
        "FAINT": "#2B3037",
    },
}

SMALL, NORMAL, LARGE = 8.5, 10.0, 13.0  # points


def use(theme: str) -> None:
    """Draws all pictures from now on in the "light" look, as at first, or in the "dark" one.

    Raises:
        ArgumentError: another name.
    """
    if theme not in _THEMES:
        raise ArgumentError("use", f'theme must be "light" or "dark", got {theme!r}')
    globals().update(_THEMES[theme])


def palette(count: int) -> list[str]:
    """Colours for `count` things side by side; they repeat after the seventh."""
    colours = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
    return [colours[i % len(colours)] for i in range(count)]


def toward(colour: Any, share: Any) -> Any:
    """Colours from the paper, where `share` is 0, to `colour`, where it is 1; as (..., 3)."""
    from matplotlib.colors import to_rgb

    paper = np.array(to_rgb(PAPER))
    return paper + share * (np.asarray(colour) - paper)


def shades(colour: str) -> Any:
    """A colour map of matplotlib, from the paper, where a value is least, to `colour`."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", [PAPER, colour])


def signed_shades() -> Any:
    """A colour map from vermillion over the paper to blue: for what is below and above 0."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed shades", [VERMILLION, PAPER, BLUE])


def _settings() -> dict[str, Any]:
    """Matplotlib's settings in the theme in use."""
    return {
        **_LOOK,
        "figure.facecolor": PAPER,
        "axes.facecolor": PAPER,
        "text.color": INK,
        "axes.edgecolor": LIGHT,
        "axes.labelcolor": GREY,
        "axes.titlecolor": INK,
        "grid.color": FAINT,
        "xtick.color": GREY,
        "ytick.color": GREY,
    }


_LOOK = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a picture looks the same everywhere
    "font.size": NORMAL,
    "svg.hashsalt": "gpunet",
    "text.parse_math": False,  # a class may be called "$5"
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlelocation": "left",
    "axes.titlesize": NORMAL,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


@contextmanager
def look() -> Iterator[None]:
    """Within it, or in a function decorated with it, matplotlib draws in this look.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        how = "pip install 'gpunet[plot]'"
        raise MissingPackageError(
            "viz", f"pictures need matplotlib, which is missing: {how}"
        ) from error
    with style.context(
        ["default", _settings()]
    ):  # "default" undoes what a user's matplotlibrc changes
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` × `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI)


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the lower left corner: known before anything is drawn."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def add_title(figure: Figure, text: str) -> None:
    """The heading of a picture, in its upper left corner."""
    across, up = figure.get_size_inches()
    figure.text(0.25 / across, 1 - 0.4 / up, text, fontsize=LARGE, fontweight="bold")


def add_note(figure: Figure, left: float, top: float, text: str, colour: str = "") -> None:
    """Small type, grey by default, at a place in inches from the figure's upper left corner."""
    across, up = figure.get_size_inches()
    figure.text(left / across, 1 - top / up, text, fontsize=SMALL, color=colour or GREY)


def percent(share: float, digits: int) -> str:
    """`share` of 1 as text, such as "98.50 %"."""
    return f"{100 * share:.{digits}f} %"


def width_of(text: str, points: float) -> float:
    """How wide `text` is, in inches, in type of `points`; bold type is up to a sixth wider."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=points)
    return text_to_path.get_text_width_height_descent(text, font, False)[0] / 72


@look()
def write(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write `figure` at `path`, in one step: nobody ever sees half a picture there.

    It is a PNG, or an SVG where the path ends in ".svg".
    """
    path = Path(path)
    svg = path.suffix == ".svg"
    # Without version and date in it, the same picture is the same bytes.
    metadata = {"Creator": None, "Date": None} if svg else {"Software": None}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        figure.savefig(temporary, format="svg" if svg else "png", dpi=DPI, metadata=metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
