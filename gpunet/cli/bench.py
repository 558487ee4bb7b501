"""`gpunet bench`: speed beside PyTorch, JAX and NumPy. The workloads lie beside the package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import gpunet
from gpunet.errors import MissingPackageError

TOP = Path(gpunet.__file__).parent.parent


def run(options: Any) -> int:
    if not (TOP / "bench" / "__main__.py").is_file():
        raise MissingPackageError(
            "bench",
            f"the workloads must lie beside the package, got no folder bench in {TOP}",
            "they are in the repository, not in the wheel: pip install -e . in a checkout",
        )
    if str(TOP) not in sys.path:
        sys.path.insert(0, str(TOP))
    return importlib.import_module("bench.__main__").bench(options)
