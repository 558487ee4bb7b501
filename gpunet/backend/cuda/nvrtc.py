"""NVIDIA's run-time compiler: where it lies, which headers go with it, and one call of it.

It is driven through ctypes and needs neither a GPU nor CuPy, so the same function compiles on a
user's machine and in a test without a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpunet.errors import DeviceError, MissingPackageError

# The wheels that a machine with nothing but a driver needs to compile, by major version of CUDA.
WHEELS = {
    12: "nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12",
    13: "'nvidia-cuda-nvrtc==13.*' 'nvidia-cuda-runtime==13.*'",
}
TOOLKIT = "/usr/local/cuda"  # where NVIDIA's own installer puts it
_VERSION = re.compile(r"#define\s+CUDART_VERSION\s+(\d+)")


@dataclass(frozen=True)
class Compiler:
    """An NVRTC that was found.

    Attributes:
        headers: the folder of CUDA's headers of the same major version, None if there is none.
    """

    library: Path
    headers: Path | None

    @functools.cached_property
    def _nvrtc(self) -> ctypes.CDLL:
        return ctypes.CDLL(str(self.library))

    @functools.cached_property
    def version(self) -> tuple[int, int]:
        """Major and minor version of CUDA."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    @functools.cached_property
    def architectures(self) -> tuple[int, ...]:
        """Compute capabilities it compiles for, e.g. (75, 80, ...), ascending."""
        count = ctypes.c_int()
        self._nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        found = (ctypes.c_int * count.value)()
        self._nvrtc.nvrtcGetSupportedArchs(found)
        return tuple(sorted(found))

    def identity(self) -> str:
        """What tells this compiler from others: NVRTC itself does not say its patch level."""
        return f"NVRTC {self.version} of {self.library.stat().st_size} bytes"

    def compile(self, text: str, options: tuple[str, ...]) -> Compiled:
        """Compiles a source text for one architecture, which `options` must name.

        Raises:
            DeviceError: it does not compile; the message is the compiler's.
        """
        program = ctypes.c_void_p()
        create, run = self._nvrtc.nvrtcCreateProgram, self._nvrtc.nvrtcCompileProgram
        create(ctypes.byref(program), text.encode(), b"kernels", 0, None, None)
        words = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        failed = run(program, len(options), words)
        try:
            log = self._output(program, "ProgramLog").rstrip(b"\0").decode()
            if failed:
                line = " ".join(options)
                raise DeviceError("cuda", f"NVRTC refuses a kernel source with {line}:\n{log}")
            cubin, ptx = self._output(program, "CUBIN"), self._output(program, "PTX")
        finally:
            self._nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
        return Compiled(cubin, ptx.rstrip(b"\0").decode(), log)

    def _output(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(self._nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(self._nvrtc, f"nvrtcGet{what}")(program, buffer)
        return buffer.raw


@dataclass(frozen=True)
class Compiled:
    """The binary, the intermediate assembly behind it, and what the compiler said."""

    cubin: bytes
    ptx: str
    log: str


def find(major: int | None = None) -> Compiler | None:
    """NVRTC of its wheel, else of an installed toolkit; of one major version, if that is given.

    One that has its headers is preferred.
    """
    found = [c for c in _compilers() if major is None or _major(c.library) == major]
    return next((c for c in found if c.headers), found[0] if found else None)


def get(major: int) -> Compiler:
    """NVRTC of one major version of CUDA, with its headers.

    Raises:
        MissingPackageError: it is not there; the message has the line that installs it.
    """
    compiler = find(major)
    if reason := missing(compiler, major):
        raise MissingPackageError("cuda", reason)
    assert compiler is not None
    return compiler


def missing(compiler: Compiler | None, major: int) -> str:
    """What of a compiler is not there, and the line that mends it; nothing if all is."""
    if compiler is not None and compiler.headers is not None:
        return ""
    what = "compiler NVRTC is" if compiler is None else "headers are"
    return f"CUDA {major}'s {what} missing; pip install {WHEELS.get(major, 'nvidia-cuda-nvrtc')}"


def _compilers() -> Iterator[Compiler]:
    for site in map(Path, sys.path):
        for library in sorted(site.glob("nvidia/*/lib/libnvrtc.so.*[0-9]")):
            yield Compiler(library, _headers(site.glob("nvidia/*/include"), _major(library)))
    for home in (os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), TOOLKIT):
        if not home:
            continue
        for library in sorted(Path(home).glob("lib64/libnvrtc.so.*[0-9]")):
            yield Compiler(library, _headers(Path(home).glob("include"), _major(library)))


def _major(library: Path) -> int:
    """12 of libnvrtc.so.12 and of libnvrtc.so.12.9.86."""
    return int(library.name.removeprefix("libnvrtc.so.").split(".")[0])


def _headers(folders: Iterator[Path], major: int) -> Path | None:
    """The folder with the headers of that version: NVRTC reads those of another without a word."""
    for folder in sorted(folders):
        api = folder / "cuda_runtime_api.h"
        if not api.is_file() or not (folder / "cuda_fp16.h").is_file():
            continue
        version = _VERSION.search(api.read_text(errors="replace"))
        if version and int(version[1]) // 1000 == major:
            return folder
    return None
