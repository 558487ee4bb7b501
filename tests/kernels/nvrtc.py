"""Compiles kernels for GPUs without a GPU: NVRTC from its wheel, and what it says of the result.

The reports are kept in the user's cache under the hash of all that goes into them: to compile every
kernel for every dtype and architecture takes more than a minute.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.kernels.dtypes import DType

OPTIONS = (  # as CuPy gives them
    *("--std=c++17", "-ftz=true", "--device-as-default-execution-space"),
    "-Xptxas=-v",  # what the assembler says of each kernel
)
_RESOURCES = re.compile(
    r"entry function '(?P<name>\w+)'(?:.|\n)*?(?P<stack>\d+) bytes stack frame, "
    r"(?P<stored>\d+) bytes spill stores, (?P<loaded>\d+) bytes spill loads(?:.|\n)*?"
    r"Used (?P<registers>\d+) registers(?:.*?(?P<shared>\d+) bytes smem)?"
)


@dataclass(frozen=True)
class Report:
    """One kernel as compiled.

    Attributes:
        stack, spilled, shared: bytes a thread, a thread and a block.
        doubles: the instructions that compute in double precision.
        wide_loads, wide_stores: instructions that move several elements at once.
    """

    registers: int
    stack: int
    spilled: int
    shared: int
    doubles: tuple[str, ...]
    wide_loads: int
    wide_stores: int


def library() -> Path | None:
    """NVRTC of its wheel, if the headers of nvidia-cuda-runtime are there too; else None."""
    for folder in map(Path, sys.path):
        for path in sorted(folder.glob("nvidia/*/lib/libnvrtc.so.*")):
            if _headers(path):
                return path
    return None


def _headers(nvrtc: Path) -> Path | None:
    found = nvrtc.parents[2].glob("*/include/cuda_fp16.h")
    return next((header.parent for header in sorted(found)), None)


def compile(text: str, dtype: DType, architecture: int) -> dict[str, Report]:
    """What NVRTC makes of a kernel source, by kernel.

    Raises:
        AssertionError: it does not compile; the message is the compiler's.
    """
    path = library()
    assert path is not None
    arguments = (
        *OPTIONS,
        f"-arch=sm_{architecture}",
        f"-DDTYPE={dtype.cuda}",
        f"-I{_headers(path)}",
    )
    parts = (str(path), str(path.stat().st_mtime_ns), Path(__file__).read_text(), *arguments, text)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    kept = Path(base) / "gpunet" / "nvrtc-reports" / f"{key}.json"
    if not kept.exists():
        reports = _report(*_compile(_open(path), text, arguments))
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = kept.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps({name: asdict(report) for name, report in reports.items()}))
        scratch.replace(kept)
    return {name: Report(**fields) for name, fields in json.loads(kept.read_text()).items()}


@functools.cache
def _open(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


def _compile(nvrtc: ctypes.CDLL, text: str, arguments: tuple[str, ...]) -> tuple[str, str]:
    """The log and the PTX of a program."""

    def output(what: str) -> str:
        size = ctypes.c_size_t()
        getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{what}")(program, buffer)
        return buffer.value.decode()

    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels", 0, None, None)
    options = (ctypes.c_char_p * len(arguments))(*[argument.encode() for argument in arguments])
    failed = nvrtc.nvrtcCompileProgram(program, len(arguments), options)
    log = output("ProgramLog")
    assert not failed, f"NVRTC refuses a kernel source with {' '.join(arguments)}:\n{log}"
    ptx = output("PTX")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log, ptx


def _report(log: str, ptx: str) -> dict[str, Report]:
    resources: dict[str, Any] = {match["name"]: match for match in _RESOURCES.finditer(log)}
    reports = {}
    for body in ptx.split(".visible .entry ")[1:]:
        name = body[: body.index("(")]
        used = {
            key: int(value or 0)
            for key, value in resources[name].groupdict().items()
            if key != "name"
        }
        reports[name] = Report(
            registers=used["registers"],
            stack=used["stack"],
            spilled=used["stored"] + used["loaded"],
            shared=used["shared"],
            doubles=tuple(
                sorted(set(re.findall(r"^\s*(?:@\S+ )?(\w\S*\.f64)\b", body, re.MULTILINE)))
            ),
            wide_loads=len(re.findall(r"\bld(?:\.global)?\.v[24]\.", body)),
            wide_stores=len(re.findall(r"\bst(?:\.global)?\.v[24]\.", body)),
        )
    return reports
