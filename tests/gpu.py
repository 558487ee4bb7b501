"""`python -m tests.gpu`: what needs a GPU, and the ledger of what was seen there.

The tests marked `gpu`, which must not pass by not being run; every kernel once under each tool of
NVIDIA's compute-sanitizer; then the error and the speed of every kernel. If all of it is well,
kernels/evidence.json says so (see gpunet/backend/cuda/evidence.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import numpy as np
import pytest

from bench import gpu, kernels
from gpunet import backend
from gpunet.backend import Backend
from gpunet.backend.cuda import evidence, loader, source

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")  # of NVIDIA's compute-sanitizer
PROCESSES = 8  # that share the GPU in tests, at the most
START = time.perf_counter()


def tell(what: str) -> None:
    """Says what is done now, and when."""
    print(f"{time.perf_counter() - START:4.0f} s  {what}", flush=True)


class Count:
    """A pytest plugin: counts the tests that ran, passed or not, in whichever process."""

    ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call" and not report.skipped


def run(*arguments: str) -> str:
    """Runs the tests marked `gpu`; what is wrong, or nothing."""
    processes = min(PROCESSES, len(os.sched_getaffinity(0)))
    tell(f"the tests marked gpu, {processes} at a time")
    count = Count()
    # pytest-benchmark, where it is installed, warns of several processes; a warning is an error.
    how = "-m", "gpu", "-n", str(processes), "-p", "no:benchmark"
    failed = pytest.main([*how, *arguments], plugins=[count])
    if not count.ran:
        return "no GPU test ran: `gpunet info` says what is missing"
    return "a GPU test failed" if failed else ""


def sanitize() -> str:
    """Runs every kernel once under each tool of compute-sanitizer; what is wrong, or nothing."""
    if shutil.which("compute-sanitizer") is None:
        return "compute-sanitizer is missing: it comes with NVIDIA's CUDA toolkit"
    tell(f"every kernel under compute-sanitizer: {', '.join(TOOLS)}, side by side")
    with ThreadPoolExecutor(len(TOOLS)) as pool:
        return "; ".join(filter(None, pool.map(_watch, TOOLS)))


def _watch(tool: str) -> str:
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
    done = subprocess.run(
        [*command, sys.executable, "-m", "bench.kernels"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if not done.returncode:
        tell(f"{tool} found nothing")
        return ""
    tell(f"{tool} found:\n{done.stdout}")
    return f"compute-sanitizer --tool {tool} found a fault"


def lines(
    be: Backend, small: int = kernels.SMALL, large: int | None = None, repeats: int = gpu.REPEATS
) -> list[evidence.Line]:
    """What is seen of every kernel on this GPU, for the ledger.

    Raises:
        AssertionError: results are wrong.
    """
    tell("the speed of every kernel")
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
    tell("the error of every kernel; the CPU tells the truth, and compiles its own kernels first")
    found: dict[tuple[str, str], float] = {}
    for number, work in enumerate(kernels.WORKS):
        if number and number % 10 == 0:
            tell(f"{number} of {len(kernels.WORKS)} compared")
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
    if wrong := run("tests") or sanitize():
        return wrong
    be = backend.get("cuda:0")
    evidence.record(seen := lines(be))
    tell(f"written to {evidence.file()}: {len(seen)} lines of {be.gpu.name}")
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
