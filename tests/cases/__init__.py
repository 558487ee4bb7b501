"""The case tables: a module a family of `gpunet.functional`, a generator a public function.

    # tests/cases/softmax.py
    def softmax():
        yield Case(_softmax, [normal(4, 33), -1])
        yield Edge(_softmax, [exactly([1e4, 0.0]), 0], gradient=lambda x, dim: [0, 0])
        yield Invalid([normal(), 0], ShapeError, "dim must be in [0, 0), got 0")

They are found by name: there is no list of them. Generators are tables, the plain functions beside
them are oracles; where a table's name would hide a built-in that the module needs, it ends in an
underscore (`sum_`). The tests made from the rows are in tests/test_cases.py.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from gpunet import functional
from tests.cases.case import Case, Row

Table = Callable[[], Any]


def public(home: ModuleType = functional) -> dict[str, FunctionType]:
    """The public functions written in a module or in those of a package, by name."""
    return {
        name: f
        for name, f in vars(home).items()
        if isinstance(f, FunctionType)
        and not name.startswith("_")
        and f.__module__.startswith(home.__name__)
    }


def family(function: Callable[..., Any]) -> str:
    """The module where a function is written, which is also that of its case table and kernels."""
    return function.__module__.rpartition(".")[2]


def tables() -> dict[tuple[str, str], Table]:
    """Every table, by family and name of the function it is for."""
    names = {name for _, name, _ in pkgutil.iter_modules(__path__)} - {family(Case)}
    return {
        (name, table.__name__.rstrip("_")): table
        for name in sorted(names)
        for table in vars(importlib.import_module(f"{__name__}.{name}")).values()
        if inspect.isgeneratorfunction(table) and not table.__name__.startswith("_")
    }


@functools.cache
def rows_of(function: FunctionType) -> list[Row]:
    """Every row of the table of a public function."""
    table = _tables().get((family(function), function.__name__))
    return list(table()) if table else []


_tables = functools.cache(tables)
