"""Finds out whether a GPU can be used, and says in one line why not and what mends it.

Whatever CuPy raises is caught here: a missing driver, a broken wheel or an unwritable cache folder
must never touch the CPU path.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from gpunet.backend.cuda import loader, nvrtc

OLDEST = (14, 2)  # the version of CuPy from which on its calls are as written here


@functools.cache
def probe() -> str:
    """Why CUDA cannot be used on this machine, in one line; nothing if it can."""
    _give_cupy_a_cache()
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return (
                "CuPy is not installed; pip install 'gpunet[cuda13]' (or cuda12) "
                "where there is an NVIDIA GPU"
            )
        return f"CuPy does not import: {error}"
    except Exception as error:
        # CuPy can raise OSError for its cache folder, or anything from a broken wheel.
        return f"CuPy does not import: {_line(error)}"
    try:
        return _missing(cupy)
    except Exception as error:
        return f"the GPU does not answer: {_line(error)}"


def _give_cupy_a_cache() -> None:
    """Keeps CuPy importable where its cache folder cannot be made, as under a read-only home."""
    if "CUPY_CACHE_DIR" in os.environ:
        return
    try:
        folder = Path.home() / ".cupy" / "kernel_cache"
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        usable = os.access(existing, os.W_OK | os.X_OK)
    except (OSError, RuntimeError):  # there is no home
        usable = False
    if not usable:
        os.environ["CUPY_CACHE_DIR"] = str(loader.writable_folder() / "cupy")


def _missing(cupy: object) -> str:
    """What is missing beside CuPy itself, in the order in which it must be mended."""
    version = tuple(int(part) for part in cupy.__version__.split(".")[:2])  # type: ignore[attr-defined]
    runtime = cupy.cuda.runtime  # type: ignore[attr-defined]
    built, driver = runtime.runtimeGetVersion(), runtime.driverGetVersion()
    major, extra = built // 1000, f"'gpunet[cuda{built // 1000}]'"
    if version < OLDEST:
        found = ".".join(map(str, version))
        return f"CuPy {found} is too old; pip install --upgrade {extra}"
    if not driver:
        return "there is no NVIDIA driver (CuPy is installed)"
    if driver // 1000 < major:
        return (
            f"the driver knows CUDA {_dotted(driver)}, and CuPy is built for {_dotted(built)}; "
            f"update the driver, or pip uninstall cupy-cuda{major}x and "
            f"pip install 'gpunet[cuda{driver // 1000}]'"
        )
    if not runtime.getDeviceCount():
        return "the driver finds no NVIDIA GPU"
    return nvrtc.missing(nvrtc.find(major), major)


def devices() -> list[str]:
    """A line for each GPU of a machine where `probe` finds nothing missing."""
    import cupy

    runtime = cupy.cuda.runtime
    lines = []
    for number in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(number)
        name, memory = properties["name"].decode(), properties["totalGlobalMem"] / 1e9
        lines.append(
            f"cuda:{number} {name}, {memory:.0f} GB, "
            f"sm_{properties['major']}{properties['minor']}; "
            f"driver CUDA {_dotted(runtime.driverGetVersion())}"
        )
    return lines


def _dotted(version: int) -> str:
    """13.0 of 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
