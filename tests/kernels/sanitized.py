"""Runs a family's own tests under a sanitizer: `python -m tests.kernels.sanitized address softmax`.

    address    AddressSanitizer and UndefinedBehaviorSanitizer: memory that is not the kernel's,
               misaligned loads, indices out of range, integers that overflow
    thread     ThreadSanitizer as a race detector: every CUDA thread counts as a thread there, and
               only a barrier, or an atomic after a fence, orders what two of them do

A sanitized launch is hundreds of times as slow as a plain one. So only the first small launches of
each kernel, of different geometry, are sanitized, and all others run as always; but they are
launches of the kernel's own tests, so a new kernel is covered as soon as it has one. A sanitizer
ends the program at the first fault. At the end stands a line with all kernels that ran sanitized.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpunet.backend.cuda import source
from tests.kernels.dtypes import FLOAT16, FLOAT32, DType
from tests.kernels.host import build, device

HERE = Path(__file__).parent
TOP = HERE.parents[1]
DTYPES = {"address": (FLOAT32, FLOAT16), "thread": (FLOAT32,)}  # of others the addresses are alike
FILES = {  # of the tests; else test_FAMILY
    "softmax": ("test_softmax", "test_cross_entropy"),
    "recurrent": ("test_recurrent", "test_recurrent_steps"),
}
GEOMETRIES = 2  # that each kernel and dtype is sanitized in
THREADS = 512  # that a sanitized launch may have at most
LIBRARIES = {"address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
RAN = "ran sanitized: "


def run(sanitizer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python process with the sanitizer's run-time library; `arguments` are Python's."""
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(map(_library, LIBRARIES[sanitizer])),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "NUMBA_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(TOP), *filter(None, sys.path)]),
    }
    # ThreadSanitizer wants memory where it is without randomisation.
    fixed = ("setarch", "-R") if sanitizer == "thread" else ()
    command = [*fixed, sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TOP)


def _library(name: str) -> str:
    command = [build.compiler() or "c++", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Sampler:
    """Stands between the tests and the device: chooses the launches that are sanitized."""

    def __init__(self, sanitizer: str):
        self.sanitizer = sanitizer
        self.ran: dict[tuple[str, str], set[Any]] = {}
        self._texts: dict[ctypes.CDLL, tuple[str, DType]] = {}
        self._twins: dict[ctypes.CDLL, dict[str, build.Kernel]] = {}
        self._load, self._launch = build.load_text, device.Device.launch

    def load_text(self, text: str, dtype: DType) -> dict[str, build.Kernel]:
        """The plain kernels; their text is remembered."""
        kernels = self._load(text, dtype, "none")
        for kernel in kernels.values():
            self._texts[kernel.library] = text, dtype
        return kernels

    def choose(self, kernel: build.Kernel, grid: Any, block: int) -> build.Kernel:
        """The kernel, or its sanitized twin."""
        known = self.ran.setdefault((kernel.name, kernel.dtype.name), set())
        size = block * (grid[0] * grid[1] if isinstance(grid, tuple) else grid)
        new = (grid, block) not in known and len(known) < GEOMETRIES
        if not new or not 0 < size <= THREADS or kernel.dtype not in DTYPES[self.sanitizer]:
            return kernel
        known.add((grid, block))
        twins = self._twins.get(kernel.library)
        if twins is None:
            twins = self._load(*self._texts[kernel.library], self.sanitizer)
            self._twins[kernel.library] = twins
        return twins[kernel.name]

    def launch(
        self, on: device.Device, kernel: Any, grid: Any, block: int, *rest: Any, shared: int = 0
    ) -> None:
        """`Device.launch`, of the kernel or its twin."""
        chosen = self.choose(kernel, grid, block)
        with poisoned(on) if self.sanitizer == "address" else contextlib.nullcontext():
            self._launch(on, chosen, grid, block, *rest, shared=shared)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Inside, launches go through here, under one schedule instead of all."""
        patch = pytest.MonkeyPatch()
        launch = lambda on, *rest, **more: self.launch(on, *rest, **more)  # noqa: E731
        with patch.context() as p:
            p.setattr(build, "load_text", self.load_text)
            p.setattr(device.Device, "launch", launch)
            p.setattr(device, "SCHEDULES", device.SCHEDULES[:1])
            yield


@contextlib.contextmanager
def poisoned(on: device.Device) -> Iterator[None]:
    """Inside, AddressSanitizer refuses reads and writes in the guards of the device's arrays."""
    library = ctypes.CDLL(None)
    outside = [
        (memory.ctypes.data + start, stop - start)
        for memory, _, inside in on._memory
        for start, stop in ((0, inside.start // 8 * 8), (inside.stop, memory.size))
    ]
    for start, size in outside:
        library.__asan_poison_memory_region(ctypes.c_void_p(start), ctypes.c_size_t(size))
    try:
        yield
    finally:
        for start, size in outside:
            library.__asan_unpoison_memory_region(ctypes.c_void_p(start), ctypes.c_size_t(size))


def files_of(family: str) -> tuple[str, ...]:
    """The names of the files that test a family's kernels."""
    return FILES.get(family, (f"test_{family}",))


def main(sanitizer: str, *families: str) -> int:
    """Runs the tests of some families' kernels."""
    sampler = Sampler(sanitizer)
    stems = [stem for family in families for stem in files_of(family)]
    kinds = "not float64 and not bfloat16" + " and not float16" * (sanitizer == "thread")
    # What a sanitizer says goes past Python, and the process ends: pytest must not hold it back.
    how = ["-x", "--capture=sys", "--noconftest", "-p", "no:cacheprovider", "-k", kinds]
    with sampler.installed():
        failed = pytest.main([*how, *(str(HERE / f"{stem}.py") for stem in stems)])
    print(RAN + " ".join(sorted({name for (name, _), known in sampler.ran.items() if known})))
    return int(failed)


def lacking(output: str, family: str) -> list[str]:
    """The kernels of a family that did not run sanitized, by what `main` printed."""
    ran = next(line for line in output.splitlines() if line.startswith(RAN))
    names = source.kernels()[family]
    return [name for name in names if name not in ran.removeprefix(RAN).split()]


def start(sanitizer: str, *families: str) -> int:
    """`main`, in a process that has the sanitizer's library, which this one may be."""
    if "san" in os.environ.get("LD_PRELOAD", ""):
        return main(sanitizer, *families)
    done = run(sanitizer, "-m", "tests.kernels.sanitized", sanitizer, *families)
    print(done.stdout + done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(start(*sys.argv[1:]))
