"""What the text of the kernel files must hold to, so that a reader can rely on it."""

from __future__ import annotations

import importlib
import re
from types import FunctionType

import pytest

from gpunet.backend.cuda import source
from gpunet.backend.cuda.source import folder, kernels
from tests.kernels import sanitized

FAMILIES = sorted(kernels())


def text(file: str) -> str:
    return (folder() / file).read_text()


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_and_their_cpu_twins_have_the_same_names(family: str) -> None:
    # A kernel NAME_finish is the second launch of NAME, NAME_sequence one for all its steps.
    on_the_device = {re.sub("_(finish|sequence)$", "", name) for name in kernels()[family]}
    module = importlib.import_module(f"gpunet.backend.cpu.{family}")
    on_the_host = {
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module.__name__
        and name[0] != "_"
    }
    alone = sorted(on_the_device ^ on_the_host)
    assert not alone, f"{alone} of {family} are on one side only: kernels/ or gpunet/backend/cpu/"


@pytest.mark.parametrize("family", FAMILIES)
def test_signatures_are_read_in_full(family: str) -> None:
    signatures = source.signatures(text(f"{family}.cu"))
    assert list(signatures) == kernels()[family]
    scalars = {"acc_t", "bool", "double", "long long", "unsigned long long"}
    for parameters in signatures.values():
        assert all(p.pointer or p.type in scalars for p in parameters)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_header_says_what_a_caller_needs(family: str) -> None:
    header = text(f"{family}.cu").split("\n\n")[0]
    for words in (
        "Legal launches:",
        "Bytes moved per element",
        "own",
        f"gpunet/backend/cpu/{family}.py",
    ):
        assert words in header


@pytest.mark.parametrize("file", ["common.cuh", *(f"{family}.cu" for family in FAMILIES)])
def test_the_rules_of_the_dialect(file: str) -> None:
    lines = text(file).splitlines()
    code = [line.split("//")[0] for line in lines]
    assert max(map(len, lines)) <= 100
    for line in code:
        assert not re.search(r"\batomic\w+\(\s*\w+\s*,.*\b(acc_t|T|float)\b", line), line
        assert not re.search(r"__(exp|log|sin|cos|pow)f|__fdividef|INFINITY|#include <math", line)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_shared_loops_guard_an_index(family: str) -> None:
    for line in text(f"{family}.cu").splitlines():
        if "const long long j" not in line:  # LANE_COLUMN of reduction.cu, a loop of its own kind
            assert not re.search(r"\bif \(.*[<>]=? *\(?(n|rows|columns|count|size)\b", line), line


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_tests(family: str) -> None:
    for stem in sanitized.files_of(family):
        assert (sanitized.HERE / f"{stem}.py").is_file(), f"tests/kernels/{stem}.py is missing"
