"""NumPy's BLAS: how many threads it owns."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The OpenBLAS inside NumPy's wheel; None if NumPy was built on another BLAS."""
    root = Path(np.__file__).parent
    for pattern in ("../numpy.libs/libscipy_openblas64_*", ".dylibs/libscipy_openblas64_*"):
        for file in sorted(root.glob(pattern)):
            return ctypes.CDLL(str(file))
    return None


def threads() -> int | None:
    """Threads that matrix products use; None if this BLAS cannot be asked."""
    library = _library()
    return library.scipy_openblas_get_num_threads64_() if library is not None else None
