"""Compiles a kernel file with the host's C++ compiler, unchanged, and loads it.

What is compiled is device.hpp, then common.cuh and the file just as NVRTC gets them, then for each
kernel a function that takes its arguments as an array of pointers. The libraries are kept in the
user's cache under the hash of all that goes into them.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunet.backend.cuda import source
from gpunet.backend.cuda.source import Signature
from tests.kernels import cache
from tests.kernels.dtypes import DType

HERE = Path(__file__).parent
FLAGS = (
    *("-std=c++17", "-O1", "-fPIC"),
    "-Werror=double-promotion",  # a float kernel must not slip into double precision
    "-fno-strict-aliasing",  # wide loads read T through another type, which device compilers allow
    "-fvisibility=hidden",  # or else equal names in two libraries become one variable
)
# What stops the program at the first fault, and says where; see sanitized.py.
SANITIZERS = {
    "": (),
    "none": (),  # beside one: the scheduler has to keep to what its run-time library understands
    "address": (
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *("-g1", "-fno-omit-frame-pointer"),
    ),
    "thread": ("-fsanitize=thread", "-g1"),
}
_EXPORT = '__attribute__((visibility("default")))'


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel, with the parameters that the source declares."""

    name: str
    parameters: Signature
    dtype: DType
    library: ctypes.CDLL

    @property
    def entry(self) -> Any:
        """The function that takes the arguments as an array of pointers."""
        return self.library[f"run_{self.name}"]


def compiler() -> str | None:
    """The C++ compiler of this machine, `$CXX` first; None if there is none."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return next((path for path in map(shutil.which, filter(None, names)) if path), None)


@functools.cache
def _version() -> str:
    command = [compiler() or "c++", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@functools.cache
def has_sanitizers() -> bool:
    """Whether the compiler brings the run-time libraries of all sanitizers, as g++ does."""
    names = ("libasan.so", "libubsan.so", "libtsan.so")
    there = [
        subprocess.run([cxx, f"-print-file-name={name}"], capture_output=True, text=True).stdout
        for cxx in filter(None, [compiler()])
        for name in names
    ]
    return len(there) == 3 and all("/" in path for path in there) and bool(shutil.which("setarch"))


@functools.cache
def load(family: str, dtype: DType, edit: Callable[[str], str] = str) -> dict[str, Kernel]:
    """The kernels of a family for a dtype. `edit` may change the source: how tests plant faults."""
    return load_text(edit(source.text(family)), dtype)


def load_text(text: str, dtype: DType, sanitizer: str = "") -> dict[str, Kernel]:
    """The kernels of a source text for a dtype, built with one of `SANITIZERS`."""
    kernels = source.signatures(text)
    lines = ['#include "device.hpp"', f"#define DTYPE {dtype.cuda}", text]
    for name, parameters in kernels.items():
        arguments = ", ".join(f"*({p.declared}*)a[{i}]" for i, p in enumerate(parameters))
        lines.append(f'extern "C" {_EXPORT} void run_{name}(void** a) {{ {name}({arguments}); }}')
    options = str(_scheduler(sanitizer)), "-shared", *SANITIZERS[sanitizer]
    library = ctypes.CDLL(str(_compile("\n".join(lines) + "\n", *options)))
    library.launch.restype = ctypes.c_char_p
    return {name: Kernel(name, parameters, dtype, library) for name, parameters in kernels.items()}


@functools.cache
def _scheduler(sanitizer: str) -> Path:
    # Itself it is never instrumented: it works on what the sanitizers must not see.
    flags = {"": (), "thread": ("-DSANITIZED", "-DRACES")}.get(sanitizer, ("-DSANITIZED",))
    return _compile((HERE / "scheduler.cpp").read_text(), "-c", *flags)


def _compile(text: str, *options: str) -> Path:
    """The file that the compiler makes of `text`, from the cache if it was made before."""
    command = [compiler() or "c++", *FLAGS, *options, f"-I{HERE}"]
    headers = "".join(header.read_text() for header in sorted(HERE.glob("*.h*")))
    key = hashlib.sha256("\0".join((_version(), headers, text, *command)).encode()).hexdigest()[:32]
    path = cache.folder() / "host-kernels" / f"{key}.{'o' if '-c' in options else 'so'}"

    def make(made: Path) -> None:
        unit = made.with_name("unit.cpp")
        unit.write_text(text)
        result = subprocess.run(
            [*command, str(unit), "-o", str(made)], capture_output=True, text=True
        )
        refused = f"the C++ compiler refuses a kernel source:\n{result.stderr}"
        assert result.returncode == 0, refused

    return cache.made_once(path, make)
