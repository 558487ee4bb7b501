"""The same ground for every test, and a line at the end about those that need a GPU.

Compiled CPU kernels stay in the user's cache (`$XDG_CACHE_HOME` is left alone): after an edit of a
kernel file the first run compiles for about a minute, later ones do not.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import gpunet

DESELECTED = pytest.StashKey[int]()


@pytest.fixture(autouse=True)
def _same_randomness() -> None:
    """Every test starts from one seed, whatever ran before it."""
    gpunet.manual_seed(0)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if "gpu" in item.keywords:
            item.config.stash[DESELECTED] = item.config.stash.get(DESELECTED, 0) + 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What this machine could not check, and why: without a GPU a run is not complete."""
    skipped = [
        r for r in terminalreporter.getreports("skipped") if "gpu" in getattr(r, "keywords", ())
    ]  # a module has none
    why = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    why["deselected"] = config.stash.get(DESELECTED, 0)
    for reason, count in (+why).items():
        line = f"{count} GPU test{'s' * (count > 1)} did NOT run: {reason}"
        terminalreporter.write_line(line, yellow=True, bold=True)
    reasons = {report.longrepr[2] for report in terminalreporter.getreports("skipped")}
    for reason in sorted(reason for reason in reasons if "kernels were NOT" in reason):
        terminalreporter.write_line(reason.removeprefix("Skipped: "), yellow=True, bold=True)
