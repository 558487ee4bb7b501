"""Which demonstrations there are: the modules of this folder that say which rows they show."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import ModuleType

import gpunet
from gpunet.errors import ArgumentError
from gpunet.recipes.show import Results, Show

SEED = 0

# The lectures' topics, by the letter of their rows in docs/lectures.md.
TOPICS = {
    "A": "Neurons and gates",
    "B": "One neuron as a statistical model",
    "C": "Losses",
    "D": "Backpropagation",
    "E": "Depth: vanishing and exploding gradients",
    "F": "Training",
    "G": "Approximation",
    "H": "Images",
    "I": "Sequences",
    "J": "Transformers",
    "K": "Applications",
}


@dataclass(frozen=True)
class Demonstration:
    """A program of the lectures.

    Args:
        name: that of its module.
        title: the first line of its text.
        seen: what is to be seen, in two sentences.
        rows: what it shows, such as ("A1", "A2").
        module: the program.
        minutes: that an application takes, on two cores; 0 for those of the lectures.
        inputs: which files of one's own it may be given, in order; "" where none.
    """

    name: str
    title: str
    seen: str
    rows: tuple[str, ...]
    module: ModuleType
    minutes: int = 0
    inputs: str = ""

    @property
    def source(self) -> str:
        """The program, as it was written."""
        return inspect.getsource(self.module)

    def run(self, show: Show, inputs: Sequence[str] = ()) -> Results:
        """Runs it on `show`, from the same seed every time; returns the numbers behind it.

        Raises:
            ArgumentError: it takes no `inputs`.
        """
        if inputs and not self.inputs:
            raise ArgumentError(self.name, f"inputs must be none, got {', '.join(inputs)}")
        gpunet.manual_seed(SEED)
        show.heading(self.title, self.seen)
        return self.module.run(show, *inputs)


@lru_cache(maxsize=1)
def demonstrations() -> dict[str, Demonstration]:
    """Every demonstration by name, in the order of the rows they show."""
    package = importlib.import_module("gpunet.recipes")
    found = []
    for entry in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"gpunet.recipes.{entry.name}")
        if hasattr(module, "ROWS"):
            title, _, seen = (inspect.getdoc(module) or "").partition("\n\n")
            found.append(
                Demonstration(
                    entry.name,
                    title.rstrip("."),
                    " ".join(seen.partition("\n\n")[0].split()),
                    module.ROWS,
                    module,
                    getattr(module, "MINUTES", 0),
                    getattr(module, "INPUTS", ""),
                )
            )
    order = sorted(found, key=lambda each: [(row[0], int(row[1:])) for row in each.rows])
    return {each.name: each for each in order}


def topic(demonstration: Demonstration) -> str:
    """The letter of the topic that a demonstration belongs to: that of its first row."""
    return demonstration.rows[0][0]


def find(name: str) -> Demonstration:
    """The demonstration of this name.

    Raises:
        ArgumentError: there is none; the message says which there are.
    """
    known = demonstrations()
    if name not in known:
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else "`gpunet demo` lists them"
        raise ArgumentError("demo", f"name must be that of a demonstration, got {name!r}", hint)
    return known[name]
