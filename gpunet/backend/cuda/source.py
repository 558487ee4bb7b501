"""Finds the CUDA sources: inside the installed package, or at the top of a checkout."""

from __future__ import annotations

import re
from pathlib import Path

_KERNEL = re.compile(r"^KERNEL\((\w+)", re.MULTILINE)


def folder() -> Path:
    """The folder that holds `common.cuh` and one `.cu` file a kernel family.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    package = Path(__file__).parents[2]
    for candidate in (package / "_kernels", package.parent / "kernels"):
        if (candidate / "common.cuh").is_file():
            return candidate
    raise FileNotFoundError(f"no CUDA sources in {package / '_kernels'}: reinstall gpunet")


def kernels() -> dict[str, list[str]]:
    """Names of the kernels in each family's file, in the order of the file."""
    return {file.stem: _KERNEL.findall(file.read_text()) for file in sorted(folder().glob("*.cu"))}
