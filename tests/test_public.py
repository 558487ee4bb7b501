"""What can be read off the sources: every function has its text, its cases and its kernels.

There is no list to compare with. The checks take what they look at, so that tests/test_the_tests.py
can hand them something that lacks a part.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet.backend.base import Backend
from gpunet.backend.cuda import source
from tests.cases import family, public, rows_of, tables
from tests.cases.case import Case, draws_in

PACKAGE = Path(gpunet.__file__).parent
CASES = sorted((Path(__file__).parent / "cases").glob("[!_]*.py"))


# --- functions, their texts and their cases


@pytest.mark.parametrize("function", public().values(), ids=lambda function: function.__name__)
def test_text(function):
    """Every public function says what it does, which shapes it takes and what its options mean."""
    text = inspect.getdoc(function) or ""
    assert "Shapes:" in text, f"{function.__name__}: the docstring must say 'Shapes: ...'"
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty:
            assert parameter.name in text, (
                f"{function.__name__}: nothing is said of {parameter.name}"
            )


DIFFERS = "Differs from PyTorch: "


def check_differences(function: Any, rows: Iterable[Any]) -> None:
    """Where a row is not compared with PyTorch, the text of the function says what differs."""
    marked = [row.unlike_torch for row in rows if isinstance(row, Case) and row.unlike_torch]
    told = (inspect.getdoc(function) or "").count(f"\n{DIFFERS}")
    name = function.__name__
    assert told or not marked, f"{name}: the docstring must say '{DIFFERS}...' ({marked[0]})"
    assert marked or not told, f"{name}: no row shows what '{DIFFERS}...' says"
    assert told <= 1, f"{name}: the docstring says '{DIFFERS}...' twice"


@pytest.mark.parametrize("function", public().values(), ids=lambda function: function.__name__)
def test_differences(function):
    check_differences(function, rows_of(function))


def check_tables(functions: Mapping[str, Any], found: Iterable[tuple[str, str]]) -> None:
    """Every function has a case table, and every case table a function."""
    wanted, found = {(family(f), name) for name, f in functions.items()}, set(found)
    for module, name in sorted(wanted - found):
        raise AssertionError(f"tests/cases/{module}.py must have a generator {name}()")
    for module, name in sorted(found - wanted):
        raise AssertionError(f"{name}() in tests/cases/{module}.py is for no function")


def test_tables():
    check_tables(public(), tables())


def check_tensors(function: Any, rows: Iterable[Any]) -> None:
    """Every parameter that may be a tensor is one in some row."""
    parameters = inspect.signature(function).parameters
    wanted = {n for n, p in parameters.items() if re.match(r"(int \| )?Tensors?\b", p.annotation)}
    for row in rows:
        names = {"axis": "dim", "keepdims": "keepdim"}
        kwargs = {names.get(name, name): value for name, value in row.kwargs.items()}
        given = inspect.signature(function).bind(*row.inputs, **kwargs).arguments
        wanted -= {name for name, value in given.items() if draws_in(value)}
    assert not wanted, f"{function.__name__}: no row has a tensor as {', '.join(sorted(wanted))}"


@pytest.mark.parametrize("function", public().values(), ids=lambda function: function.__name__)
def test_tensors(function):
    check_tensors(function, [row for row in rows_of(function) if isinstance(row, Case)])


@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.__name__)
def test_table_has_rows(table):
    assert list(table())


def check_independence(text: str) -> None:
    """An oracle computes with NumPy and Python; of gpunet a case table knows the errors only."""
    for node in ast.walk(ast.parse(text)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            assert module == "gpunet.errors" or module.split(".")[0] != "gpunet", module


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_independence(file):
    check_independence(file.read_text())


# --- operators


def operators() -> list[str]:
    """Names of the operators that functions have become."""
    known = {function.__module__ for function in public().values()}
    methods = vars(gpunet.Tensor).items()
    return [n for n, f in methods if n.startswith("__") and getattr(f, "__module__", "") in known]


@pytest.mark.parametrize("name", operators())
def test_operator(name):
    """An operator of a tensor means what it means for a NumPy array."""
    x = np.array([[0.5, 2.0], [3.0, 1.5]])
    bits = re.fullmatch("__[ri]?(and|or|xor|lshift|rshift)__|__invert__", name)
    x = x.astype(int) if bits else x
    operand = {"__getitem__": 1, "__matmul__": x}.get(name, 2 if bits else 2.0)
    unary = len(inspect.signature(getattr(gpunet.Tensor, name)).parameters) == 1
    operands = [] if unary else [operand]
    tensors = [gpunet.tensor(o) if o is x else o for o in operands]
    ours, theirs = gpunet.tensor(x), x.copy()
    if name == "__setitem__":
        ours[0, 1:], theirs[0, 1:] = 7.0, 7.0
        got, expected = ours, theirs
    else:
        got, expected = getattr(ours, name)(*tensors), getattr(theirs, name)(*operands)
        same = name == "__pos__" or expected is theirs  # +x is x itself, as in PyTorch
        assert (got is ours) == same, "in place or not"
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-15)


# --- kernels


def called_kernels(text: str) -> set[tuple[str, str]]:
    """(family, name) of each `be.family.name` in a source."""
    own = {*dir(Backend), *Backend.__annotations__}
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    found = [re.fullmatch(r"be\.(\w+)\.(\w+)", ast.unparse(node)) for node in nodes]
    return {match.groups() for match in found if match and match[1] not in own}


def kernels_called_in(folder: Path) -> set[tuple[str, str]]:
    """Those that the sources below a folder call, without the backends' own."""
    files = [f for f in folder.rglob("*.py") if PACKAGE / "backend" not in f.parents]
    return set().union(*(called_kernels(file.read_text()) for file in files))


def kernels_on_cpu(families: Iterable[str]) -> dict[str, set[str]]:
    """Names of the kernels in the CPU's module of each family."""
    modules = {name: importlib.import_module(f"gpunet.backend.cpu.{name}") for name in families}
    return {name: set(public(module)) for name, module in modules.items()}


def check_kernels(called: Iterable[tuple[str, str]], written: Mapping[str, set[str]]) -> None:
    """Every kernel that is called is written, and every one that is written is called."""
    called, written_pairs = set(called), {(f, n) for f, names in written.items() for n in names}
    for family_name, name in sorted(called - written_pairs):
        raise AssertionError(f"gpunet/backend/cpu/{family_name}.py must have {name}()")
    for family_name, name in sorted(written_pairs - called):
        raise AssertionError(f"{name}() in gpunet/backend/cpu/{family_name}.py is never called")


def check_twins(on_cpu: Mapping[str, set[str]], on_cuda: Mapping[str, Iterable[str]]) -> None:
    """In families with a .cu file, kernels have twins of their name; further stages add a word."""
    for file, kernels in on_cuda.items():
        for name in sorted(on_cpu[file] - set(kernels)):
            raise AssertionError(f"kernels/{file}.cu must have KERNEL({name})")
        for name in kernels:
            twins = [twin for twin in on_cpu[file] if name == twin or name.startswith(f"{twin}_")]
            assert twins, (
                f"KERNEL({name}) in kernels/{file}.cu is no function of the CPU's {file}.py"
            )


def test_kernels():
    called = kernels_called_in(PACKAGE)
    check_kernels(called, kernels_on_cpu({name for name, _ in called}))


def test_twins():
    on_cuda = source.kernels()
    del on_cuda["elementwise"]  # twins of NumPy's own functions
    check_twins(kernels_on_cpu(on_cuda), on_cuda)
