"""`python -m tests.gpu`: the tests that need a GPU, which must not pass by not being run."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")  # of NVIDIA's compute-sanitizer
SUBSET = "relu or softmax or embedding or dropout or bias"  # it is a hundred times as slow


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
    """Runs a subset of them under a tool of compute-sanitizer; what is wrong, or nothing."""
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
    if shutil.which(command[0]) is None:
        return "compute-sanitizer is missing: it comes with NVIDIA's CUDA toolkit"
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/test_cases_cuda.py", "-k", SUBSET]
    failed = subprocess.run([*command, *tests]).returncode
    return f"compute-sanitizer --tool {tool} found a fault" if failed else ""


def main() -> str:
    """All of it; the first thing that is wrong, or nothing."""
    return run("tests") or next(filter(None, map(sanitize, TOOLS)), "")


if __name__ == "__main__":
    sys.exit(main() or 0)
