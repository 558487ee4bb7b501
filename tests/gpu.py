"""`python -m tests.gpu`: what needs a GPU, and the ledger of what was seen there.

The tests marked `gpu`, which must not pass by not being run; every kernel once under each tool of
NVIDIA's compute-sanitizer; then the error and the speed of every kernel. If all of it is well,
kernels/evidence.json says so (see gpunet/backend/cuda/evidence.py).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from bench import gpu, kernels
from gpunet import backend
from gpunet.backend import Backend
from gpunet.backend.cuda import evidence, loader, source

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")  # of NVIDIA's compute-sanitizer


class Count:
    """A pytest plugin: counts the tests that ran, passed or not."""

    ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call" and not report.skipped


def run(*arguments: str) -> str:
    """Runs the tests marked `gpu`; what is wrong, or nothing."""
    count = Count()
    failed = pytest.main(["-m", "gpu", *arguments], plugins=[count])
    if not count.ran:
        return "no GPU test ran: `gpunet info` says what is missing"
    return "a GPU test failed" if failed else ""


def sanitize(tool: str) -> str:
    """Runs every kernel once under a tool of compute-sanitizer; what is wrong, or nothing."""
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
    if shutil.which(command[0]) is None:
        return "compute-sanitizer is missing: it comes with NVIDIA's CUDA toolkit"
    failed = subprocess.run([*command, sys.executable, "-m", "bench.kernels"]).returncode
    return f"compute-sanitizer --tool {tool} found a fault" if failed else ""


def lines(
    be: Backend, small: int = kernels.SMALL, large: int | None = None, repeats: int = gpu.REPEATS
) -> list[evidence.Line]:
    """What is seen of every kernel on this GPU, for the ledger.

    Raises:
        AssertionError: results are wrong.
    """
    large = large or gpu.fitting(be)
    copy, product = gpu.copy_rate(be, large), gpu.product_rate(be, min(gpu.PRODUCT, large))
    figures = gpu.kernel_figures(be, large, copy, product, repeats)
    errors = worst_errors(be, small)
    found = []
    for family, names in source.kernels().items():
        for dtype in kernels.DTYPES:
            place = family, dtype, be.gpu.architecture
            codes = evidence.code_hashes(loader.binary(*place, be.gpu.compiler).read_bytes())
            for name in names:
                one, wrong = figures[f"{name} {dtype}"], errors[name, dtype]
                made = *place[1:], codes[name], evidence.version(be.gpu.compiler)
                seen = _today(), be.gpu.name, wrong, one["gb_per_s"], one["share_of_floor"]
                found.append(evidence.Line(family, name, *made, *seen, TOOLS))
    return found


def worst_errors(be: Backend, n: int) -> dict[tuple[str, str], float]:
    """By kernel and dtype, the largest error of the work that starts it.

    Raises:
        AssertionError: one is more than rounding.
    """
    found: dict[tuple[str, str], float] = {}
    for work in kernels.WORKS:
        for dtype in kernels.DTYPES:
            with kernels.launches(be) as started:
                wrong = kernels.error(work, n, dtype, be.device)
            # Half of the digits: this tells rounding from a fault; the tests have tight bounds.
            assert wrong < np.finfo(dtype).eps ** 0.5, f"{work.name} of {dtype}: error {wrong:.2g}"
            for name in {launch.kernel for launch in started}:
                found[name, dtype] = max(wrong, found.get((name, dtype), 0.0))
    return found


def _today() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def main() -> str:
    """All of it; the first thing that is wrong, or nothing."""
    wrong: Any = run("tests") or next(filter(None, map(sanitize, TOOLS)), "")
    if wrong:
        return wrong
    be = backend.get("cuda:0")
    evidence.record(seen := lines(be))
    print(f"written to {evidence.file()}: {len(seen)} lines of {be.gpu.name}")
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
