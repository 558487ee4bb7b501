"""Python in a process of its own, for what depends on a fresh start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def python(*arguments: str, cwd: Path | None = None, **environment: str) -> str:
    """Runs the interpreter of the tests with `arguments`; returns what it printed.

    Warnings are errors, and what goes wrong in the process fails the test. `environment` is added
    to that of the tests.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**os.environ, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
