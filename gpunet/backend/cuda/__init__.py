"""The CUDA side: finds out whether a GPU can be used, and where the kernel sources lie.

CuPy is imported inside `probe` only, and whatever it raises is caught there: a missing driver, a
broken wheel or an unwritable cache folder must never touch the CPU path.
"""

from __future__ import annotations

import functools

from gpunet.backend.cuda.source import folder

__all__ = ["folder", "probe"]


@functools.cache
def probe() -> str:
    """Why CUDA is not used on this machine, in one line for the user."""
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
        return f"CuPy does not import: {type(error).__name__}: {error}"
    try:
        if not cupy.cuda.is_available():
            return "CuPy finds no NVIDIA GPU or driver"
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as error:
        return f"the GPU does not answer: {type(error).__name__}: {error}"
    from gpunet import __version__

    return f"{name} is there, but gpunet {__version__} trains on the CPU only"
