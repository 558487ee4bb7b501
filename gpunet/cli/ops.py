"""`gpunet ops`: every operation with its kernels, read from the sources themselves."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from types import FunctionType
from typing import Any

from rich.table import Table

from gpunet import functional
from gpunet.autograd import Op
from gpunet.backend.cuda import evidence, nvrtc
from gpunet.backend.cuda.source import kernels
from gpunet.cli.console import console


def run(options: Any) -> int:
    in_cuda = {name for names in kernels().values() for name in names}
    table = Table(
        "family",
        "operation",
        "kernels",
        "dtypes",
        "on a GPU",
        "source",
        box=None,
        header_style="dim",
        padding=(0, 2, 0, 0),
    )
    states, before = evidence.states(evidence.read(), nvrtc.find()), ""
    for name, function in _public():
        family = function.__module__.rsplit(".", 1)[1]
        used = [name if name in in_cuda else f"{name} (cpu only)" for name in _kernels(function)]
        doc = inspect.getdoc(function) or ""
        table.add_row(
            family if family != before else "",
            name,
            _short(used) or "[dim]composed[/]",
            _field(doc, r"Dtypes: (.+?)(?:\.|$)") or "any",
            _evidence(_kernels(function), states),
            _field(doc, r"Source: (.+?)\.?$"),
        )
        before = family
    console.print(table)
    console.print(
        f"{len(_public())} operations. "
        "CPU kernels: gpunet/backend/cpu/FAMILY.py, CUDA: kernels/FAMILY.cu"
    )
    counts = Counter(states.values())
    console.print(
        "CUDA kernels by evidence from a GPU (kernels/evidence.json): "
        + ", ".join(f"{counts[state]} {state}" for state in evidence.STATES if counts[state])
    )
    return 0


def _public() -> list[tuple[str, FunctionType]]:
    found = [
        (name, f)
        for name, f in vars(functional).items()
        if isinstance(f, FunctionType) and not name.startswith("_")
    ]
    return sorted(found, key=lambda item: (item[1].__module__, item[1].__code__.co_firstlineno))


def _kernels(function: FunctionType, callers: tuple[FunctionType, ...] = ()) -> list[str]:
    """Names of the kernels that operations named in a function's body call (`be.family.kernel`).

    Its private helpers count as a part of its body.
    """
    module = inspect.getmodule(function)
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(inspect.getsource(function))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = getattr(module, node.func.id, None)
            if inspect.isclass(called) and issubclass(called, Op):
                found.update(dict.fromkeys(_called_in(called)))
            elif inspect.isfunction(called) and node.func.id.startswith("_"):
                path = (*callers, function)
                found.update(dict.fromkeys(_kernels(called, path) if called not in path else ()))
    return list(found)


def _called_in(operation: type) -> list[str]:
    """The kernels that an operation calls itself, or else the class that it is a variant of."""
    for each in operation.__mro__[: operation.__mro__.index(Op)]:
        called = re.findall(r"be\.(?!xp)\w+\.(\w+)\(", inspect.getsource(each))
        if called:
            return called
    return []


def _evidence(used: list[str], states: dict[str, str]) -> str:
    """What the evidence of an operation's CUDA kernels is worth: the words that apply."""
    found = {states[name] for name in used if name in states}
    return ", ".join(state for state in evidence.STATES if state in found)


def _short(kernels: list[str]) -> str:
    """`relu_fwd/bwd` for a pair of kernels."""
    names = {name: name for name in kernels}
    for name in kernels:
        if name.endswith("_fwd") and (pair := name.removesuffix("fwd") + "bwd") in names:
            names[name] += "/bwd"
            del names[pair]
    return ", ".join(names.values())


def _field(doc: str, pattern: str) -> str:
    """What `pattern` finds in a docstring."""
    match = re.search(pattern, doc, re.MULTILINE)
    return match.group(1) if match else ""
