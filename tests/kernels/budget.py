"""What the compiled kernels may take of a GPU: kernels/budget.json, written by `make budget`.

A line a kernel and dtype: what it takes on sm_90, for which the kernels are tuned. A change that
takes more fails the compile gate until the file is written anew, and so shows in the change itself.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from gpunet.backend.cuda import source
from gpunet.backend.cuda.source import kernels
from tests.kernels import nvrtc
from tests.kernels.dtypes import DTYPES, DType

ARCHITECTURE = 90
FILE = source.folder() / "budget.json"
COUNTED = ("registers", "stack", "spilled", "shared")  # see nvrtc.Report

Budget = dict[str, dict[str, list[int]]]  # {kernel: {dtype: what is counted}}
assert set(COUNTED) <= {field.name for field in fields(nvrtc.Report)}


def counted(report: nvrtc.Report) -> list[int]:
    """What a compiled kernel takes, in the order of the file."""
    return [getattr(report, what) for what in COUNTED]


def exceeded(report: nvrtc.Report, most: list[int]) -> list[str]:
    """What a compiled kernel takes beyond its line of the budget, in words."""
    taken = zip(COUNTED, counted(report), most, strict=True)
    return [f"{now} {what}, not {limit}" for what, now, limit in taken if now > limit]


def read(file: Path = FILE) -> tuple[list[int], Budget]:
    """The version of CUDA that the budget is of, and the budget."""
    content = json.loads(file.read_text())
    assert content["counted"] == list(COUNTED)
    lines = {
        kernel: line for family in content["kernels"].values() for kernel, line in family.items()
    }
    return content["nvrtc"], lines


def measure(family: str, dtype: DType) -> dict[str, list[int]]:
    """What each kernel of a family takes."""
    reports = nvrtc.compile(source.text(family), dtype, ARCHITECTURE)
    return {name: counted(report) for name, report in reports.items()}


def missing(budget: Budget) -> list[str]:
    """The kernels and dtypes that have no line, and the lines that have no kernel."""
    names = {name for family in kernels().values() for name in family}
    wanted = {(name, dtype.name) for name in names for dtype in DTYPES}
    there = {(name, dtype) for name, line in budget.items() for dtype in line}
    lacks = [f"{name} of {dtype} has no line" for name, dtype in sorted(wanted - there)]
    return lacks + [
        f"the line {name} of {dtype} has no kernel" for name, dtype in sorted(there - wanted)
    ]


def write(file: Path = FILE) -> None:
    """Compiles every kernel and writes the budget, a line a kernel."""
    found = nvrtc.compiler()
    assert found is not None, "needs NVRTC: pip install gpunet[nvrtc]"
    families = []
    for family, names in kernels().items():
        measured = {dtype.name: measure(family, dtype) for dtype in DTYPES}
        lines = [
            f'   "{name}": {json.dumps({d: taken[name] for d, taken in measured.items()})}'
            for name in names
        ]
        families.append(f'  "{family}": {{\n' + ",\n".join(lines) + "\n  }")
    head = f' "nvrtc": {list(found.version)},\n "counted": {json.dumps(COUNTED)},\n'
    file.write_text("{\n" + head + ' "kernels": {\n' + ",\n".join(families) + "\n }\n}\n")
    print(f"written: {file}")


if __name__ == "__main__":
    write()
