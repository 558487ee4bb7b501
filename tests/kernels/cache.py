"""Files that take long to make: each is made once, however many ask for it at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def folder() -> Path:
    """The user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpunet"


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, which `make(scratch file)` makes if it is not there.

    Of several threads and processes one makes it and the others wait. It appears at once, so that
    none finds half of it.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, also where a process is killed
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                made = Path(scratch) / path.name
                make(made)
                made.replace(path)
    return path
