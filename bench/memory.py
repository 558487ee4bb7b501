"""What this process takes of the system's memory, and its peak."""

from __future__ import annotations

import resource
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")  # on Linux


def can_begin_anew() -> bool:
    """Whether the peak of a process that goes on can be forgotten."""
    return _CLEAR.exists()


def begin_anew() -> None:
    """From here on `peak` is that of what comes; without effect where the system cannot do it."""
    if can_begin_anew():
        _CLEAR.write_text("5")


def resident() -> int:
    """Bytes in memory now; on Linux alone."""
    return _status("VmRSS")


def peak() -> int:
    """The most bytes that were in memory at a time."""
    if can_begin_anew():
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
