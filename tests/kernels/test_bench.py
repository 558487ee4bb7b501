"""The figures of a GPU and the ledger of evidence, made at tiny sizes on the pretended GPU."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpunet
from bench import gpu, inputs, kernels
from gpunet import backend
from gpunet.backend import Backend
from gpunet.backend.cuda import evidence, loader, source
from tests import gpu as machine
from tests.backend.cuda.test_evidence import binary
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended

pytestmark = needs.compiler
SIZE = 256  # elements


@pytest.fixture
def be() -> Iterator[Backend]:
    with pretended(HostGPU()):
        yield backend.get("cuda:0")


def test_every_kernel_is_started_by_some_work(be: Backend) -> None:
    with kernels.launches(be) as found:
        for work in kernels.WORKS:
            kernels.prepared(work, kernels.Framework(), SIZE, "float32", be.device)()
    started = {launch.kernel for launch in found}
    lacks = [name for names in source.kernels().values() for name in names if name not in started]
    assert not lacks, f"no work in bench/kernels.py starts {lacks}"


@pytest.mark.parametrize("work", kernels.WORKS, ids=lambda work: work.name)
def test_errors_are_those_of_rounding(be: Backend, work: kernels.Work) -> None:
    assert kernels.error(work, SIZE, "float32", be.device) < 1e-5


def test_a_wrong_kernel_has_an_error(be: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    work = next(work for work in kernels.WORKS if work.name == "silu")
    real = be.activation.silu_bwd
    monkeypatch.setattr(
        be.activation, "silu_bwd", lambda *given, **rest: 1.01 * real(*given, **rest)
    )
    assert 0.005 < kernels.error(work, SIZE, "float32", be.device) < 0.02


def test_bytes_are_those_of_the_arrays(be: Backend) -> None:
    figures = {
        work.name: kernels.measure(be, work, SIZE, "float32", 1)
        for work in kernels.WORKS
        if work.name in ("relu", "softmax", "optim.Adam", "conv2d 3×3")
    }
    assert figures["relu"]["relu_fwd"].nbytes == 2 * 4 * SIZE
    assert figures["softmax"]["softmax_bwd"].nbytes == 3 * 4 * SIZE
    assert figures["optim.Adam"]["adam_step"].nbytes == 7 * 4 * SIZE
    # One picture of 8 × 8 and 4 channels: 9 · 4 products and as many sums for each of its numbers.
    conv = figures["conv2d 3×3"]["conv_fwd"]
    assert conv.flops == 2 * 9 * 4 * SIZE
    one = kernels.Figures(ms=2.0, nbytes=10**6, flops=10**9)
    assert one.gb_per_s == 0.5
    assert one.floor_ms(copy=1.0, product=10.0) == 1.0
    assert one.floor_ms(copy=10.0, product=0.5) == 2.0


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """What is measured, at a tiny size."""
    with pretended(HostGPU()):
        return gpu.measure(backend.get("cuda:0"), SIZE, 8, repeats=1)


def test_figures_of_all_kernels_and_steps(content: dict[str, Any]) -> None:
    names = [name for family in source.kernels().values() for name in family]
    assert content["kernels"].keys() == {f"{n} {d}" for n in names for d in kernels.DTYPES}
    assert content["steps"].keys() == {work.name for work in kernels.WORKS}
    for one in content["kernels"].values():
        assert one["ms"] > 0
        assert one["share_of_floor"] > 0
    assert content["product_tflop_per_s"].keys() == {"float32", "tf32", "float16"}
    assert content["machine"].keys() >= {"device", "driver", "processor", "date", "commit"}
    assert content["machine"]["versions"].keys() >= {"python", "gpunet", "numpy"}
    assert json.loads(json.dumps(content)) == content


def test_products_of_each_kind(be: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def rate(be: Any, size: int, dtype: str = "float32") -> float:
        asked.append((be.allow_tf32, size, dtype))
        return 1.0

    monkeypatch.setattr(gpu, "product_rate", rate)
    gpu.product_rates(be, 8)
    assert asked == [(False, 8, "float32"), (True, 8, "float32"), (False, 8, "float16")]
    assert not be.allow_tf32  # type: ignore[attr-defined]


def test_the_page_has_a_row_for_each(content: dict[str, Any]) -> None:
    lines = gpu.section(content, "gpu-host.json").splitlines()
    assert lines[0] == f"## Kernels on a GPU: host, {content['machine']['date']}"
    rows = [line for line in lines if line.startswith("|") and "---" not in line]
    assert len(rows) == 2 + len(content["kernels"]) + len(content["steps"])
    content["steps"]["relu"] |= {"gpunet": 2.0, "torch": 3.0}
    assert ("relu", "2.0000", "3.0000", "1.50") in gpu.step_rows(content)
    gpu.show(content)


def test_a_file_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "probe", lambda: "")
    monkeypatch.setattr(kernels, "LARGE", SIZE)
    monkeypatch.setattr(gpu, "PRODUCT", 8)
    monkeypatch.setattr(kernels, "WORKS", kernels.WORKS[:1])
    file = tmp_path / "gpu-host.json"
    with pretended(HostGPU()):
        assert not gpu.main(["--json", str(file)])
    assert json.loads(file.read_text())["machine"]["device"] == "host"


def test_without_a_gpu_there_are_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "probe", lambda: "there is no NVIDIA driver")
    assert gpu.main([]) == "no GPU, no figures: there is no NVIDIA driver"


def test_less_memory_takes_fewer_elements() -> None:
    with pretended(HostGPU(capacity=1 << 20)):
        assert gpu.fitting(backend.get("cuda:0")) == (1 << 20) // 64


# --- PyTorch beside it


class FakeTorch:
    """What bench asks of PyTorch with a GPU, answered by gpunet on the CPU.

    Attributes:
        asked: the devices that tensors were made on. idle: how often all work was waited for.
    """

    def __init__(self) -> None:
        self.asked, self.idle, self.events = set(), 0, 0
        self.nn = SimpleNamespace(functional=gpunet.functional)
        self._VF = SimpleNamespace(lstm=self._lstm, gru=self._gru)
        self.backends = SimpleNamespace(
            cudnn=SimpleNamespace(allow_tf32=True),
            cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)),
        )
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            synchronize=self._wait,
            empty_cache=lambda: None,
            Event=self._event,
        )
        self.optim = SimpleNamespace(SGD=self._sgd)
        self.float32 = "float32"

    def tensor(
        self, values: Any, device: str, dtype: Any = None, requires_grad: bool = False
    ) -> Any:
        self.asked.add(device)
        return gpunet.tensor(values, dtype, "cpu", requires_grad)

    def zeros(self, size: tuple[int, ...], dtype: Any, device: Any) -> Any:
        return gpunet.zeros(size, dtype=dtype)

    def _lstm(self, x: Any, state: Any, weights: Any, *how: Any) -> Any:
        assert how == (True, 1, 0.0, True, False, False)
        assert [tuple(h.shape) for h in state] == [(1, x.shape[1], weights[1].shape[1])] * 2
        return gpunet.functional.lstm(x, *weights)

    def _gru(self, x: Any, state: Any, weights: Any, *how: Any) -> Any:
        assert how == (True, 1, 0.0, True, False, False)
        assert tuple(state.shape) == (1, x.shape[1], weights[1].shape[1])
        return gpunet.functional.gru(x, *weights)

    def _sgd(self, params: Any, fused: bool, **options: Any) -> Any:
        assert fused
        return gpunet.optim.SGD(params, **options)

    def _wait(self) -> None:
        self.idle += 1

    def _event(self, enable_timing: bool) -> Any:
        assert enable_timing
        self.events += 1
        return SimpleNamespace(record=lambda: None, elapsed_time=lambda later: 2.0)


def test_steps_of_pytorch_on_a_gpu(be: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTorch()
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]
    names = "relu", "bias + gelu", "cross_entropy", "embedding", "lstm", "gru", "optim.SGD", "rnn"
    works = tuple(work for work in kernels.WORKS if work.name in names)
    monkeypatch.setattr(kernels, "WORKS", works)
    rival = gpu.find_torch()
    assert rival is not None
    assert not fake.backends.cudnn.allow_tf32
    assert not fake.backends.cuda.matmul.allow_tf32
    figures = gpu.step_figures(be, SIZE, rival, repeats=3)
    assert figures.keys() == set(names)
    compared = {name for name, one in figures.items() if one.get("torch") == 2.0}
    assert compared == set(names) - {"rnn"}
    assert (fake.asked, fake.idle, fake.events) == ({"cuda:0"}, 7, 7 * 4)
    for work in works:
        if work.rival:  # the same numbers, the same work
            theirs = kernels.prepared(work, rival, SIZE, "float32", "cpu")()
            ours = kernels.prepared(work, kernels.Framework(), SIZE, "float32", "cpu")()
            for y, z in zip(theirs, ours, strict=True):
                assert y.tolist() == z.tolist()


def test_a_pytorch_without_a_gpu_is_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTorch()
    fake.cuda.is_available = lambda: False
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]
    assert gpu.find_torch() is None
    monkeypatch.setitem(sys.modules, "torch", None)  # type: ignore[arg-type]
    assert gpu.find_torch() is None


def test_the_benchmark_of_the_cpu_says_how_a_gpus_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cpu = importlib.import_module("bench.__main__")
    monkeypatch.setattr(cpu, "find_rivals", lambda python, against: ({}, {}))
    monkeypatch.setattr(cpu, "run", lambda *given: ({}, {}))
    monkeypatch.setattr(cpu, "show", lambda *given: None)
    monkeypatch.setattr(cpu, "probe", lambda: "there is no NVIDIA driver")
    absent = dict.fromkeys(("json", "compare", "device", "rivals_python"))
    cpu.bench(SimpleNamespace(names=["W6"], quick=True, against="", **absent))
    said = " ".join(capsys.readouterr().out.split())
    assert "make bench-gpu" in said
    assert "there is no NVIDIA driver" in said


# --- the ledger


def test_the_ledger_of_a_pretended_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [name for family in source.kernels().values() for name in family]
    made, ledger = tmp_path / "all.cubin", tmp_path / "evidence.json"
    made.write_bytes(binary(**{f"__text__{name}": name.encode() for name in names}))
    monkeypatch.setattr(loader, "binary", lambda *place: made)
    evidence.write([], ledger)
    device = HostGPU()
    device.architecture, device.compiler = 90, SimpleNamespace(version=(13, 4))  # type: ignore[attr-defined]
    with pretended(device):
        evidence.record(machine.lines(backend.get("cuda:0"), SIZE, SIZE, repeats=1), ledger)
    found = evidence.read(ledger)
    assert len(found) == len(names) * len(kernels.DTYPES)
    states = evidence.states(found, device.compiler)  # type: ignore[attr-defined]
    assert states == dict.fromkeys(names, "fresh")
    relu = next(line for line in found if line.key == ("relu_fwd", "float32", 90))
    assert (relu.device, relu.sanitizer) == ("host", machine.TOOLS)
    exact = next(line for line in found if line.key == ("conv_fwd", "float32", 90))
    assert 0 < exact.error < 1e-5


def test_wrong_results_are_no_evidence(be: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "error", lambda *given: 0.5)
    with pytest.raises(AssertionError, match=r"relu of float32: error 0.5"):
        machine.worst_errors(be, SIZE)


def test_sanitizers_run_every_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "compute-sanitizer"
    with monkeypatch.context() as alone:
        alone.setenv("PATH", str(tmp_path))
        assert machine.sanitize().startswith("compute-sanitizer is missing")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    script = f'#!/bin/sh\necho "$@" > {tmp_path}/asked-$2\n[ $2 != racecheck ] || FAIL\n'
    fault = "compute-sanitizer --tool racecheck found a fault"
    for fail, said in (("true", ""), ("{ echo a race; exit 9; }", fault)):
        tool.write_text(script.replace("FAIL", fail))
        tool.chmod(0o755)
        assert machine.sanitize() == said
        assert ("racecheck found:\na race" in capsys.readouterr().out) == bool(said)
    for name in machine.TOOLS:
        asked = (tmp_path / f"asked-{name}").read_text()
        assert asked.startswith(f"--tool {name} --error-exitcode 9")
        assert asked.endswith("-m bench.kernels\n")
    with pretended(HostGPU()):
        kernels.main(n=SIZE)


def test_a_product_is_written_before_cublas_writes_it(be: Backend) -> None:
    gpu = be.gpu
    gpu.gemm = lambda *given: None  # type: ignore[method-assign]
    kernels.fill_products(be)
    x = be.full((4, 4), 1.0, "float32")
    assert not gpu.to_host(be.matmul(x, x)).any()


def test_a_large_array_repeats_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "BLOCK", 5)
    x = inputs.normal(np.random.default_rng(0), 3, 4)
    assert (x.size, x.values.shape, x.floating) == (12, (5,), True)
    made = x.made_of(gpunet.tensor(x.values))
    np.testing.assert_array_equal(made.numpy(), np.resize(x.values, (3, 4)))
    labels = inputs.below(7, np.random.default_rng(0), 3)
    assert (labels.shape, labels.values.shape, labels.floating) == ((3,), (3,), False)


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ("gpu", ""),
        ("slow", "no GPU test ran: `gpunet info` says what is missing"),
        ("gpu @pytest.mark.skip", "no GPU test ran: `gpunet info` says what is missing"),
    ],
    ids=["run", "none", "skipped"],
)
def test_tests_that_ran_in_other_processes_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: str, said: str
) -> None:
    monkeypatch.setattr(machine, "PROCESSES", 2)
    file = tmp_path / "test_one.py"
    decorators = "\n".join(f"@pytest.mark.{mark}" for mark in marks.split(" @pytest.mark."))
    file.write_text(f"import pytest\n\n{decorators}\ndef test_one():\n    pass\n")
    assert machine.run(str(file)) == said
    if not said:
        file.write_text(file.read_text().replace("pass", "assert False"))
        assert machine.run(str(file)) == "a GPU test failed"
