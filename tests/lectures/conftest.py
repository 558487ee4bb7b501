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

from gpunet.data import datasets
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


def _perform_offline(name: str, folder: Path) -> Performance | str:
    """A performance, or what is missing: a test run downloads nothing."""

    def refuse(urls: Any, path: Path, sha256: str) -> None:
        raise DataError("load", f"{path.name} must be in GPUNET_DATA, got no such file")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "fetch", refuse)
        try:
            return perform(name, folder)
        except DataError as error:
            if os.environ.get("GPUNET_DATA"):
                raise
            return str(error)


@pytest.fixture(scope="session")
def performance(tmp_path_factory: Any, worker_id: str) -> Callable[[str], Performance]:
    """The performance of a demonstration by its name; the first process that asks runs it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "demonstrations"
    known: dict[str, Any] = {}

    def get(name: str) -> Performance:
        if name not in known:
            folder = shared / name
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / "performance.pickle"
            with open(folder / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not kept.exists():
                    kept.write_bytes(pickle.dumps(_perform_offline(name, folder)))
                known[name] = pickle.loads(kept.read_bytes())
        if isinstance(known[name], str):
            pytest.skip(f"{name} did NOT run: {known[name]}")
        return known[name]

    return get


@pytest.fixture(scope="session")
def demo(performance: Callable[[str], Performance]) -> Callable[[str], Results]:
    """`demo("gates")`: the numbers that the demonstration of this name returns."""
    return lambda name: performance(name).results
