"""Compiles kernels for GPUs without a GPU: NVRTC from its wheel, and what it says of the result.

The reports are kept in the user's cache under the hash of all that goes into them: to compile every
kernel for every dtype and architecture takes more than a minute.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpunet.backend.cuda import loader, nvrtc
from tests.kernels import cache
from tests.kernels.dtypes import DType

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


@functools.cache
def compiler() -> nvrtc.Compiler | None:
    """NVRTC with its headers, if there is one; of the newest CUDA of those that are."""
    found = (nvrtc.find(major) for major in sorted(nvrtc.WHEELS, reverse=True))
    return next((c for c in found if c is not None and c.headers is not None), None)


def version() -> list[int] | None:
    """Major and minor version of the compiler's CUDA."""
    found = compiler()
    return None if found is None else list(found.version)


def compile(text: str, dtype: DType, architecture: int) -> dict[str, Report]:
    """What NVRTC makes of a kernel source, by kernel, with the options of a user's machine.

    Raises:
        DeviceError: it does not compile; the message is the compiler's.
    """
    found = compiler()
    assert found is not None
    # What the assembler says of each kernel: it changes the log, not the binary.
    options = (*loader.options(dtype.name, architecture, found), "-Xptxas=-v")
    parts = (found.identity(), Path(__file__).read_text(), *options, text)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def make(kept: Path) -> None:
        made = found.compile(text, options)
        reports = _report(made.log, made.ptx)
        kept.write_text(json.dumps({name: asdict(report) for name, report in reports.items()}))

    kept = cache.made_once(cache.folder() / "nvrtc-reports" / f"{key}.json", make)
    return {name: Report(**fields) for name, fields in json.loads(kept.read_text()).items()}


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
