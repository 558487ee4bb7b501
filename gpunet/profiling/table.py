"""A profile as a table for the terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from rich.table import Table

from gpunet.profiling.rows import Row

COLUMNS = ("share", "ms", "calls", "made", "kept", "of floor")


def table(profile: Any, least: float = 0.0) -> Table:
    """See `Profile.table`. The figures are those of one step, where an optimizer made steps."""
    steps = max(1, profile.steps)
    shown = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("", "layer", "operation"):
        shown.add_column(column, overflow="fold")
    for column in COLUMNS:
        shown.add_column(column, justify="right", no_wrap=True)
    rest = Row("others", "", "")
    for row in profile.rows():
        if row.share < least:
            rest.share, rest.seconds = rest.share + row.share, rest.seconds + row.seconds
        else:
            shown.add_row(*cells(row, steps))
    if rest.seconds:
        shown.add_row(*cells(rest, steps))
    return shown


def cells(row: Row, steps: int) -> tuple[str, ...]:
    """The texts of a row."""
    calls = row.calls / steps
    return (
        row.kind,
        row.layer,
        row.name,
        f"{row.share:.1%}",
        f"{1e3 * row.seconds / steps:.3f}",
        ""
        if row.kind in ("outside", "others")
        else f"{calls:.0f}"
        if calls >= 1
        else f"{calls:.2f}",
        size(row.made / steps),
        size(row.kept / steps),
        f"{row.floor / row.seconds:.0%}" if row.floor else "",
    )


def summary(profile: Any) -> str:
    """What it was of, in a line."""
    steps = profile.steps
    of = f"{steps} steps of {1e3 * profile.seconds / steps:.3f} ms" if steps else ""
    of = of or f"{1e3 * profile.seconds:.3f} ms"
    return (
        f"{of}, {size(profile.peak) or 'nothing'} in use at the most; the recorder took "
        f"{profile.recording / (profile.seconds + profile.recording):.0%} on top, left out here"
    )


NOTE = (
    "made: bytes of new results; kept: for the backward pass; of floor: the least time for its "
    "bytes (of a copy) and multiply-adds (of a large matrix product) over the time taken; above "
    "100 % the bytes come from a cache"
)


def text(profile: Any, width: int = 120) -> str:
    """Summary and table, as plain text."""
    into = io.StringIO()
    console = Console(file=into, width=width, highlight=False, color_system=None)
    console.print(summary(profile))
    console.print(table(profile))
    console.print(NOTE)
    return "\n".join(line.rstrip() for line in into.getvalue().splitlines())


def size(nbytes: float) -> str:
    """With a unit; nothing for 0."""
    if not nbytes:
        return ""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.3g} GiB"
