"""Pictures of the reference pages: every function of one variable, with its derivative.

The functions are found, not listed: those of a module that take one tensor and need no more, and
losses that take a prediction and a target.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import gpunet
from gpunet.errors import GpunetError
from gpunet.viz import function_curves
from gpunet.viz.functions import curve


@dataclass(frozen=True)
class Figure:
    """A grid of small plots: each function in blue, its derivative in red.

    Args:
        module: where the functions stand.
        title: heading of the picture.
        span: the axis from −span to span.
        value: (function, x) to its values as a tensor, or an error if it is not one of this kind.
    """

    module: str
    title: str
    span: float
    value: Callable[[Any, Any], Any]

    def functions(self) -> dict[str, Any]:
        """Each function that can be drawn, by its name."""
        found = {}
        for name, function in vars(import_module(self.module)).items():
            own = inspect.isfunction(function) and function.__module__ == self.module
            if own and not name.startswith("_"):
                drawn = partial(self.value, function)
                try:
                    curve(name, drawn, self.span)
                except (AssertionError, GpunetError, TypeError, ValueError):
                    continue
                found[name] = drawn
        return found

    def png(self) -> bytes:
        """The picture."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figure.png"
            function_curves(self.functions(), path, span=self.span, title=self.title)
            return path.read_bytes()


def _loss(function: Any, x: Any) -> Any:
    """A loss of predictions x whose target is 1."""
    return function(x, gpunet.ones_like(x.detach()), reduction="none")


def _plain(function: Any, x: Any) -> Any:
    """A function of one tensor."""
    return function(x)


FIGURES = {
    f"functional.{family}": Figure(f"gpunet.functional.{family}", title, span, value)
    for family, title, span, value in [
        ("activation", "Activation functions", 4.0, _plain),
        ("piecewise", "Activation functions in pieces", 7.0, _plain),
        ("elementwise", "Functions of one number", 4.0, _plain),
        ("trigonometry", "Trigonometric and hyperbolic functions", 4.0, _plain),
        ("loss", "Losses of one prediction, target 1", 3.0, _loss),
        ("classification", "Losses of one score, target 1", 3.0, _loss),
    ]
}
