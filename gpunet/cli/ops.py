"""`gpunet ops`: every operation with its kernels, read from the sources themselves."""

from __future__ import annotations

import ast
import inspect
import re
from types import FunctionType
from typing import Any

from rich.table import Table

from gpunet import functional
from gpunet.backend.cuda.source import kernels
from gpunet.cli.console import console


def run(options: Any) -> int:
    in_cuda = {name for names in kernels().values() for name in names}
    table = Table(
        "family",
        "operation",
        "kernels",
        "dtypes",
        "source",
        box=None,
        header_style="dim",
        padding=(0, 2, 0, 0),
    )
    before = ""
    for name, function in _public():
        family = function.__module__.rsplit(".", 1)[1]
        used = [kernel if kernel in in_cuda else f"{kernel} (cpu)" for kernel in _kernels(function)]
        doc = inspect.getdoc(function) or ""
        table.add_row(
            family if family != before else "",
            name,
            ", ".join(used) or "[dim]composed[/]",
            _field(doc, "Dtypes") or "any",
            _field(doc, "Source"),
        )
        before = family
    console.print(table)
    console.print(
        f"{len(_public())} operations. "
        "CPU kernels: gpunet/backend/cpu/FAMILY.py, CUDA: kernels/FAMILY.cu"
    )
    return 0


def _public() -> list[tuple[str, FunctionType]]:
    found = [
        (name, f)
        for name, f in vars(functional).items()
        if isinstance(f, FunctionType) and not name.startswith("_")
    ]
    return sorted(found, key=lambda item: (item[1].__module__, item[1].__code__.co_firstlineno))


def _kernels(function: FunctionType) -> list[str]:
    """Names of the kernels that operations named in a function's body call (`be.family.kernel`)."""
    module = inspect.getmodule(function)
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(inspect.getsource(function))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = getattr(module, node.func.id, None)
            if inspect.isclass(called):
                source = inspect.getsource(called)
                found.update(
                    dict.fromkeys(
                        re.findall(r"be\.\w+\.(\w+)\(", re.sub(r"be\.xp\.\w+\(", "", source))
                    )
                )
    return list(found)


def _field(doc: str, name: str) -> str:
    """What follows `name:` in a docstring, to the end of the sentence or line."""
    match = re.search(rf"{name}: (.+?)(?:\.\s|\.$|$)", doc, re.MULTILINE)
    return match.group(1) if match else ""
