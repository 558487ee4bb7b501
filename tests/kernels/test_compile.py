"""The compile gate: every kernel file, for every dtype and architecture, with nothing but NVRTC."""

from __future__ import annotations

import pytest

from gpunet.backend.cuda import source
from gpunet.backend.cuda.source import kernels
from gpunet.errors import DeviceError
from tests.kernels import budget, needs, nvrtc
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, DType

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
ALWAYS = (75, budget.ARCHITECTURE, 120)  # the oldest, the tuned, the newest; to compile takes long
SHARED = 48 * 1024  # bytes a block may have without asking for more
WIDE = ("activation", "dropout", "elementwise", "optim")  # whose headers promise wide loads
LOADS_NOTHING = ("uniform",)
# One thread of a block computes in double precision there: the counts of steps are float64.
DOUBLES_ALLOWED = ("optim",)


@needs.nvrtc_wheels
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(sm, marks=() if sm in ALWAYS else pytest.mark.exhaustive)
        for sm in ARCHITECTURES
    ],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("family", kernels())
def test_compiles_within_its_budget(family: str, dtype: DType, architecture: int) -> None:
    text = source.text(family)
    reports = nvrtc.compile(text, dtype, architecture)
    assert reports.keys() == source.signatures(text).keys()
    version, lines = budget.read()
    for name, report in reports.items():
        if (
            architecture == budget.ARCHITECTURE and nvrtc.version() == version
        ):  # others share out registers in other ways
            over = budget.exceeded(report, lines[name][dtype.name])
            assert not over, f"{name} of {dtype} on sm_{architecture} takes {over}: `make budget`"
        assert report.stack == report.spilled == 0, name
        assert report.shared <= SHARED, name
        if source.cooperative(source.signatures(text)[name]):
            assert not report.shared, f"{name}: its shared memory must be dynamic"
            assert report.wide_loads, f"{name} loads element by element"
        if dtype is not FLOAT64 and family not in DOUBLES_ALLOWED:
            assert not report.doubles, f"{name} computes in double precision"
        if family in WIDE:
            assert report.wide_loads or name in LOADS_NOTHING, f"{name} loads element by element"
            assert report.wide_stores, f"{name} stores element by element"


@needs.nvrtc_wheels
def test_forward_activations_read_their_input_once() -> None:
    # The loop is that of the backward pass, with x in the place of the gradient.
    reports = nvrtc.compile(source.text("activation"), FLOAT32, 90)
    for name, report in reports.items():
        # Each copy of the loop (the compiler makes one with and one without a bias) loads x or gy
        # and kept, and perhaps the bias, and stores once.
        arrays = 1 if name.endswith("_fwd") else 2
        assert report.wide_loads == arrays * report.wide_stores + 1, name


@needs.nvrtc_wheels
def test_the_gate_sees_a_double_a_stack_and_an_error() -> None:
    double = "KERNEL(planted)(T* x) { x[0] = x[0] * 0.1; }"
    stack = """KERNEL(planted)(T* x, const int* order) {
        T sorted[64];
        for (int i = 0; i < 64; ++i) sorted[order[i]] = x[i];
        for (int i = 0; i < 64; ++i) x[i] = sorted[i];
    }"""
    common = source.text("dropout")
    assert nvrtc.compile(common + double, FLOAT32, 75)["planted"].doubles
    assert nvrtc.compile(common + stack, FLOAT32, 75)["planted"].stack
    with pytest.raises(DeviceError, match="NVRTC refuses"):
        nvrtc.compile(common + "KERNEL(planted)(T* x) { x[0] = nothing; }", FLOAT32, 75)


def test_every_kernel_has_a_budget() -> None:
    _, lines = budget.read()
    assert not budget.missing(lines), "; ".join(budget.missing(lines)) + ": `make budget`"


def test_a_kernel_without_a_budget_is_named() -> None:
    _, lines = budget.read()
    lines["forgotten"] = lines.pop("uniform")
    lacks = budget.missing(lines)
    assert "uniform of float32 has no line" in lacks
    assert "the line forgotten of float32 has no kernel" in lacks


def test_a_kernel_over_its_budget_is_told() -> None:
    report = nvrtc.Report(33, 0, 0, 1056, (), 0, 0)
    assert not budget.exceeded(report, [33, 0, 0, 1056])
    assert budget.exceeded(report, [32, 0, 0, 1024]) == [
        "33 registers, not 32",
        "1056 shared, not 1024",
    ]
