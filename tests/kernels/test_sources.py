"""What the text of the kernel files must hold to, so that a reader can rely on it."""

from __future__ import annotations

import importlib
import re
from types import FunctionType

import numpy
import pytest

from gpunet.backend.cuda import source
from gpunet.backend.cuda.source import files, folder, kernels
from tests.kernels import sanitized

FAMILIES = sorted(kernels())
FILES = [(family, file) for family in FAMILIES for file in files(family)]


def text(file: str) -> str:
    return (folder() / file).read_text()


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_and_their_cpu_twins_have_the_same_names(family: str) -> None:
    # A kernel NAME_finish is the second launch of NAME, NAME_order and NAME_partial are the one
    # before it; NAME_sequence and NAME_persistent are one for all its steps; NAME_apart is NAME of
    # windows that are apart.
    suffix = "_(finish|order|partial|sequence|persistent|apart)$"
    on_the_device = {re.sub(suffix, "", name) for name in kernels()[family]}
    if family == "elementwise":  # whose twins are NumPy's functions
        assert all(hasattr(numpy, name.removesuffix("_fwd")) for name in on_the_device)
        return
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


def test_every_file_belongs_to_a_family() -> None:
    assert sorted(file for _, file in FILES) == sorted(file.name for file in folder().glob("*.cu"))
    assert files("recurrent") == ["recurrent.cu", "recurrent_steps.cu"]
    assert files("conv") == ["conv.cu", "conv_block.cu", "conv_product.cu"]


@pytest.mark.parametrize("family", FAMILIES)
def test_signatures_are_read_in_full(family: str) -> None:
    signatures = source.signatures("".join(map(text, files(family))))
    assert list(signatures) == kernels()[family]
    scalars = {"acc_t", "bool", "double", "long long", "unsigned long long"}
    for parameters in signatures.values():
        assert all(p.pointer or p.type in scalars for p in parameters)


# Families whose kernels are one loop around a formula each: on top of the file stands what a thread
# or block owns and how much is moved, elsewhere each kernel says it.
ONE_LOOP = ("activation", "elementwise", "optim")


def lacking(family: str, source_text: str) -> list[str]:
    """What the headers of a file's kernels leave out, kernel by kernel.

    A kernel's header is the comment right above it, and what the top of its file says of them all.
    """
    top = source_text.split("\n\n")[0]
    lacks = []
    for name, parameters in source.signatures(source_text).items():
        above = re.search(rf"((?:^//.*\n)*)^KERNEL\({name}\)", source_text, re.MULTILINE)
        assert above is not None
        own = "".join(line for line in above[1].splitlines(True) if "-----" not in line)
        header = own + top
        here = header if family in ONE_LOOP else own
        found = {
            "a comment": own,
            "what a block or thread owns": re.search(r"\bowns\b", here),
            "the bytes it moves": re.search(r"\b(Bytes moved|[Mm]oves)\b", here),
            "legal launches": "Legal launches:" in header,
            "what may overlap": re.search(r"overlap|may be|in place", header),
            "its twin": re.search(rf"Twins?: gpunet/backend/cpu/{family}\.py", header),
        }
        found |= {
            f"what {p.name} is": re.search(rf"\b{p.name}\b", header)
            for p in parameters
            if p.pointer
        }
        lacks += [f"{name}: {what}" for what, there in found.items() if not there]
    return lacks


@pytest.mark.parametrize(("family", "file"), FILES)
def test_the_header_of_every_kernel_says_what_a_caller_needs(family: str, file: str) -> None:
    lacks = lacking(family, text(file))
    assert not lacks, f"headers in kernels/{file} lack " + "; ".join(lacks)


def test_a_kernel_without_a_header_is_named() -> None:
    softmax = text("softmax.cu")
    planted = "KERNEL(bare)(const T* x, T* scratch) {}\n"
    assert lacking("softmax", softmax + "\n// -----\n" + planted) == [
        "bare: a comment",
        "bare: what a block or thread owns",
        "bare: the bytes it moves",
        "bare: what scratch is",
    ]
    told = "// scratch is x. A block owns a row. Moves 2 s an element.\n"
    assert not lacking("softmax", softmax + "\n" + told + planted)
    assert lacking("softmax", told + planted) == [
        "bare: legal launches",
        "bare: what may overlap",
        "bare: its twin",
    ]


@pytest.mark.parametrize("file", ["common.cuh", *(file for _, file in FILES)])
def test_the_rules_of_the_dialect(file: str) -> None:
    lines = text(file).splitlines()
    code = [line.split("//")[0] for line in lines]
    assert max(map(len, lines)) <= 100
    for line in code:
        assert not re.search(r"\batomic\w+\(\s*\w+\s*,.*\b(acc_t|T|float)\b", line), line
        assert not re.search(r"__(exp|log|sin|cos|pow)f|__fdividef|INFINITY|#include <math", line)


@pytest.mark.parametrize("file", [file for _, file in FILES])
def test_only_the_shared_loops_guard_an_index(file: str) -> None:
    for line in text(file).splitlines():
        if "const long long j" not in line:  # LANE_COLUMN of reduction.cu, a loop of its own kind
            assert not re.search(r"\bif \(.*[<>]=? *\(?(n|rows|columns|count|size)\b", line), line


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_tests(family: str) -> None:
    for stem in sanitized.files_of(family):
        assert (sanitized.HERE / f"{stem}.py").is_file(), f"tests/kernels/{stem}.py is missing"
