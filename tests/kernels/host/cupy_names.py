"""What CuPy has of NumPy's names, and which arguments they take there: `cupy_names.json`.

The pretended GPU refuses what is not in it. Where CuPy is installed, a test compares the file with
it; `python -m tests.kernels.host.cupy_names` writes it anew.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")


def read() -> dict[str, dict[str, list[str] | None]]:
    """`{"functions": {name: parameters}, "methods": {name: parameters}}`; None: any."""
    return json.loads(FILE.read_text())


def of_cupy(cupy: Any) -> dict[str, dict[str, list[str] | None]]:
    """The same, of an installed CuPy."""
    functions = {
        name: _parameters(getattr(cupy, name))
        for name in dir(np)
        if not name.startswith("_") and hasattr(cupy, name) and callable(getattr(np, name))
    }
    methods = {
        name: _documented(getattr(cupy.ndarray, name))
        for name in dir(np.ndarray)
        if not name.startswith("_") and hasattr(cupy.ndarray, name)
    }
    return {"functions": functions, "methods": methods}


def _parameters(function: Any) -> list[str] | None:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    variadic = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return None if variadic else list(parameters)


def _documented(method: Any) -> list[str] | None:
    """The parameters in the first line of a text, where Cython writes them."""
    line = (method.__doc__ or "").splitlines()[:1]
    match = re.search(r"\(self(?:, )?(.*)\)", line[0]) if line else None
    if match is None:
        return None
    return [part.split("=")[0].split()[-1] for part in match[1].split(", ") if part]


if __name__ == "__main__":
    import cupy

    FILE.write_text(json.dumps(of_cupy(cupy), indent=0, sort_keys=True) + "\n")
