"""Where and with what figures were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import THREADS

TOP = Path(__file__).parent.parent
PACKAGES = ("gpunet", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x")


def machine(rival_versions: dict[str, str], command: str, gpu: Any = None) -> dict[str, Any]:
    """What a file of results says of its making.

    Args:
        rival_versions: by package.
        command: that made it.
        gpu: what was measured on, if not the CPU (see `gpunet.backend.cuda.device`).
    """
    own = {package: version for package in PACKAGES if (version := _version(package))}
    if gpu is None:
        own = {package: version for package, version in own.items() if "cupy" not in package}
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": THREADS,
        **({"device": gpu.name, "driver": _driver(gpu.number)} if gpu is not None else {}),
        "versions": {"python": platform.python_version(), **own, **rival_versions},
        "commit": commit(),
        "command": command,
    }


def commit() -> str:
    """Of the sources; where they lie without their history, what $GPUNET_COMMIT says."""
    return _said("git", "rev-parse", "--short", "HEAD") or os.environ.get("GPUNET_COMMIT", "")


def _driver(number: int) -> str:
    query = "--query-gpu=driver_version", "--format=csv,noheader"
    return _said("nvidia-smi", f"--id={number}", *query)


def _said(*command: str) -> str:
    """What a program prints; nothing if there is none or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def told(made: dict[str, Any], name: str) -> str:
    """For the page: with what a file of results was made, and how."""
    versions = ", ".join(f"{package} {version}" for package, version in made["versions"].items())
    return (
        f"{versions}; commit {made['commit']}. Made by `{made['command']}`, figures in "
        f"`bench/results/{name}`."
    )
