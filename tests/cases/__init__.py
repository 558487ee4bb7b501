"""The case tables: a module for each family of `gpunet.functional`, a generator for each public function.

    # tests/cases/softmax.py
    def softmax():
        yield Case(_softmax, [normal(4, 33), -1])
        yield Edge(_softmax, [exactly([1e4, 0.0]), 0], gradient=lambda x, dim: np.zeros(2))
        yield Invalid([normal(), 0], {}, ShapeError, r"dim must be in \\[0, 0\\), got 0")

Here they are found by name: there is no list of them. Generators are tables, plain functions beside
them are oracles; where a table's name would hide a built-in that the module needs, it ends in an
underscore (`sum_`). The tests made from the rows are in tests/test_cases.py.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from gpunet import functional
from tests.cases.case import Case, Invalid


def public(package: ModuleType = functional) -> dict[str, FunctionType]:
    """The public functions of a package, by name."""
    members = vars(package).items()
    return {
        name: f for name, f in members if isinstance(f, FunctionType) and not name.startswith("_")
    }


def family(function: Callable[..., Any]) -> str:
    """The module where a function is written, which is also the name of its case table."""
    return function.__module__.rpartition(".")[2]


def tables() -> dict[str, dict[str, FunctionType]]:
    """For each family, the generators of its rows, by the name of the function they are for."""
    return {
        name: {
            table.__name__.rstrip("_"): table
            for table in vars(importlib.import_module(f"{__name__}.{name}")).values()
            if inspect.isgeneratorfunction(table) and not table.__name__.startswith("_")
        }
        for _, name, _ in pkgutil.iter_modules(__path__)
        if name != "case"
    }


def rows(kind: type[Case] | type[Invalid]) -> Iterator[tuple[str, FunctionType, Any]]:
    """Every row of a kind with the public function it is for, and a text that reads like the call."""
    found = tables()
    for name, function in public().items():
        for row in found.get(family(function), {}).get(name, tuple)():
            if isinstance(row, kind):
                yield f"{name}({row})", function, row
