"""`gpunet bench --device cuda:0`, on the pretended GPU."""

import json
import os
import sys
from types import SimpleNamespace
from unittest.mock import ANY

import pytest

from bench import crossover, machine, measure, plan, report_gpu, show, worker
from gpunet.backend.cuda import loader
from gpunet.cli import main
from tests.bench.test_bench import InThisProcess
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended


def test_names_on_a_gpu() -> None:
    names, line = plan.on_gpu(plan.chosen([], False), False)
    assert names == [name for name in plan.RIVALS if name in plan.ON_GPU]
    assert line == "left out on a GPU: W9, conv-, overhead-"
    assert plan.on_gpu(["W1", "W9", "overhead-add"], True) == (
        ["W1", "overhead-add"],
        "left out on a GPU: W9",
    )
    assert plan.on_gpu(["W1"], True) == (["W1"], "")


@needs.compiler
def test_gpu_and_cpu_side_by_side(monkeypatch, capsys) -> None:
    asked = []

    class Asked(InThisProcess):
        def answer_to(self, process: measure.Process, request: str = "") -> measure.Found:
            found = json.loads(request or self.requests[0])
            asked.append((found["seconds"], found["device"], found["asked"]))
            return super().answer_to(process, request)

    monkeypatch.setattr(measure, "Worker", Asked)
    with pretended(HostGPU()):
        names = ["W7", "lstm-step", "op-bmm"]
        results, failures = measure.run(names, {}, 0.01, 2, "cuda:0", lambda what: None)
    assert not failures
    gpu, cpu = ("cuda:0", ANY), ("cpu", {"gpunet": ["W7", "lstm-step"]})
    assert sorted(asked[:2], key=lambda found: found[1]) == [(0, *cpu), (0, *gpu)]
    assert asked[2:] == [(0.01, *gpu), (0.01, *cpu)] * 2
    assert {name: list(of) for name, of in results.items()} == {
        "W7": ["gpunet", "gpunet-captured", "gpunet-cpu"],
        "lstm-step": ["gpunet", "gpunet-captured", "gpunet-cpu"],
        "op-bmm": ["gpunet"],
    }
    of = results["W7"]["gpunet"]
    assert 0 < of["peak_mib"] < 20  # not a process's
    assert results["W7"]["gpunet-cpu"]["peak_mib"] > 50
    show.show(results, [], gpu=True)
    lines = capsys.readouterr().out.splitlines()
    row = next(line.split() for line in lines if line.startswith("W7"))
    assert show.transferred(of) in row
    assert "goal" not in lines[0]
    assert "gpunet on the CPU, ms" in " ".join(lines[:3])


@needs.compiler
def test_the_command_on_a_gpu(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(measure, "Worker", InThisProcess)
    monkeypatch.setattr(loader, "writable_folder", lambda: tmp_path)
    small = {name: (prepare, (16,)) for name, (prepare, _) in crossover.WORK.items()}
    monkeypatch.setattr(crossover, "WORK", small)
    file = tmp_path / "figures.json"
    arguments = ["W7", "W9", "--device", "cuda:0", "--against", "numpy", "--json", str(file)]
    with pretended(HostGPU()):
        assert main(["bench", *arguments]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "left out on a GPU: W9" in said
    assert "host is faster from" in said
    content = json.loads(file.read_text())
    assert content["machine"]["device"] == "host"
    assert content["machine"]["command"] == "gpunet bench W7 W9 --device cuda:0"
    assert {name: list(of) for name, of in content["workloads"].items()} == {
        "W7": ["gpunet", "gpunet-captured", "gpunet-cpu"]
    }
    assert content["crossover"].keys() == small.keys()
    assert report_gpu.section(content, "figures.json").count("gpunet on the CPU |") == 1


@needs.compiler
@pytest.mark.parametrize("name", ["W1s", "W7", "W2l", "W8", "lstm-step", "overhead-add", "op-bmm"])
def test_on_a_gpu(name) -> None:
    with pretended(HostGPU()):
        step = plan.prepare("gpunet", name, "cuda:0")
        result = step()
        found = result[0] if isinstance(result, tuple) else result
        assert found.device == "cuda:0"


@needs.compiler
def test_a_worker_on_a_gpu_measures_the_way_there() -> None:
    with pretended(HostGPU()):
        found = worker.measure("gpunet", "W7", 0.01, "cuda:0")
    assert found["transfer_ms"] > 0
    assert found["ms"]


@needs.compiler
def test_the_peak_of_a_gpus_memory_begins_anew() -> None:
    gpu = HostGPU()
    with pretended(gpu):
        for elements in (1 << 20, 1 << 18):
            peak_mib = worker.peak("gpunet", "cuda:0")
            first = gpu.empty(elements, "float32")
            del first
            rest = gpu.empty(16, "float32")
            assert peak_mib() == elements / (1 << 18) + rest.nbytes / 2**20
            del rest


def test_the_peak_of_pytorchs_memory(monkeypatch) -> None:
    asked = []
    cuda = SimpleNamespace(
        empty_cache=lambda: asked.append("empty"),
        reset_peak_memory_stats=lambda: asked.append("reset"),
        max_memory_reserved=lambda: 3 << 20,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    peak_mib = worker.peak("torch-fused", "cuda:0")
    assert asked == ["empty", "reset"]
    assert peak_mib() == 3


def test_a_gpu_and_its_driver_are_written_down(monkeypatch, tmp_path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 580.1 of $1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    made = machine.machine({"torch": "2"}, "gpunet bench", HostGPU())
    assert (made["device"], made["driver"]) == ("host", "580.1 of --id=0")
    assert made["versions"].keys() >= {"python", "gpunet", "numpy", "numba", "torch"}
    assert machine.machine({}, "gpunet bench").keys().isdisjoint({"device", "driver"})
