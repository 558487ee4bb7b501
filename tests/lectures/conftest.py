"""Runs a demonstration once in a test run, whichever of its rows' tests asks first."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from gpunet.errors import DataError
from gpunet.recipes import Results, Show, find
from tests.readable import assert_readable


@dataclass
class Performance:
    """What a demonstration gave: numbers, texts in English, figures, what it printed."""

    results: Results
    texts: tuple[str, ...]
    figures: tuple[Path, ...]
    printed: str


class CheckedShow(Show):
    """A show that accepts no figure in which a text is cut off or covered."""

    def figure(self, name: str, figure: Figure) -> Path:
        assert_readable(figure)
        return super().figure(name, figure)


def perform(name: str, folder: Path, texts: dict[str, str] | None = None) -> Performance:
    """Runs a demonstration with its figures in `folder`."""
    with open(folder / "printed.txt", "w+", encoding="utf-8") as file:
        show = CheckedShow(folder, texts, Console(file=file, width=100, highlight=False))
        results = find(name).run(show)
        file.seek(0)
        return Performance(results, tuple(show.asked), tuple(show.written), file.read())


@pytest.fixture(scope="session")
def performance(tmp_path_factory: Any, worker_id: str) -> Callable[[str], Performance]:
    """The performance of a demonstration by its name; the first process that asks runs it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "demonstrations"
    known: dict[str, Performance] = {}

    def get(name: str) -> Performance:
        if name not in known:
            folder = shared / name
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / "performance.pickle"
            with open(folder / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not kept.exists():
                    try:
                        kept.write_bytes(pickle.dumps(perform(name, folder)))
                    except DataError as error:
                        if os.environ.get("GPUNET_DATA"):
                            raise
                        pytest.skip(f"GPUNET_DATA is not set, and {error}")
                known[name] = pickle.loads(kept.read_bytes())
        return known[name]

    return get


@pytest.fixture(scope="session")
def demo(performance: Callable[[str], Performance]) -> Callable[[str], Results]:
    """`demo("gates")`: the numbers that the demonstration of this name returns."""
    return lambda name: performance(name).results
