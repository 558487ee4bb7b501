"""What the page of benchmarks says and shows of a GPU."""

import json

import pytest
from PIL import Image

from bench import plots, plots_gpu, report, report_gpu
from gpunet.backend.crossover import UNITS
from tests.bench.test_bench import MACHINE, figures

ON_GPU = {**MACHINE, "device": "a GPU", "driver": "580.1"}
WORKLOADS = {
    "W1": {
        "gpunet": figures(1.0, transfer_ms=0.5),
        "gpunet-captured": figures(0.5, transfer_ms=0.5),
        "gpunet-cpu": figures(8.0),
        "torch": figures(3.0, transfer_ms=0.25),
    },
    "op-exp": {"gpunet": figures(0.5, gb_per_s=200.0)},
}
TIMES = {"from": 4096, "cpu": {"1024": 0.125, "4096": 2.0}, "gpu": {"1024": 0.25, "4096": 0.5}}
CROSSOVER = {**dict.fromkeys(UNITS, TIMES), "product": {**TIMES, "from": None}}
MEASURED = {"machine": ON_GPU, "workloads": WORKLOADS, "crossover": CROSSOVER}
KERNELS = {
    "machine": ON_GPU,
    "copy_gb_per_s": 4000.0,
    "product_tflop_per_s": {"float32": 50.0, "tf32": 400.0, "float16": 800.0},
    "launch_us": 5.0,
    "elements": 64,
    "steps": {"relu": {"gpunet": 2.0}},
    "kernels": {
        "relu_fwd float32": {"ms": 1.0, "gb_per_s": 9.0, "share_of_floor": 0.75},
        "relu_bwd float32": {"ms": 1.0, "gb_per_s": 9.0, "share_of_floor": 0.5},
        "relu_fwd float16": {"ms": 1.0, "gb_per_s": 9.0, "share_of_floor": 0.25},
    },
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of results, and of pictures."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(plots, "IMAGES", tmp_path)
    on_cpu = {"W1": {"gpunet": figures(70.0), "torch": figures(90.0)}}
    (tmp_path / "cpu.json").write_text(json.dumps({"machine": MACHINE, "workloads": on_cpu}))
    return tmp_path


def test_rows_of_a_gpu() -> None:
    ours, captured, cpu, theirs, operation = report_gpu.rows(WORKLOADS)
    assert ours[1:] == ("gpunet", "1.000", "1.000 to 2.000", "1.500", "100", "", "", "")
    assert captured[1:3] == ("gpunet, captured", "0.5000")
    assert captured[-2:] == ("0.50", "")
    assert cpu[1:] == ("gpunet on the CPU", "8.000", "8.000 to 16.000", "", "", "", "8.00", "16.00")
    assert theirs[1:] == ("PyTorch", "3.000", "3.000 to 6.000", "3.250", "100", "", "3.00", "6.00")
    assert operation[4:] == ("", "100", "200 GB/s", "", "")


def test_sections_of_a_gpu(results) -> None:
    assert "There is no GPU figure yet" in report.page()
    (results / "gpu-bench.json").write_text(json.dumps(MEASURED))
    (results / "gpu-a.json").write_text(json.dumps(KERNELS))
    page = report.page()
    assert "There is no GPU figure yet" not in page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert [heading.split(":")[0] for heading in headings] == [
        *("## cpu.json", "## On a GPU", "## Kernels on a GPU")
    ]
    assert "| **numbers of an elementwise function**: faster from 4,096 on | | |" in page
    assert "| **multiply-adds of a matrix product**: never faster | | |" in page
    assert "| 1,024 | 0.1250 | 0.2500 |" in page
    assert "float32 matrices 50.0 TFLOP/s (rounded to TF32 400, of float16 800)" in page


def test_pictures_of_a_gpu_are_others(results, monkeypatch) -> None:
    (results / "gpu-bench.json").write_text(json.dumps(MEASURED))
    (results / "gpu-a.json").write_text(json.dumps(KERNELS))
    drawn = []
    real = plots.ratios

    def ratios(of, *how, **more):
        drawn.append(of)
        return real(of, *how, **more)

    monkeypatch.setattr(plots, "ratios", ratios)
    names = [file.name for file in report.draw()]
    assert names == [
        *("bench-ratios.png", "bench-memory.png", "bench-gpu-kernels.png"),
        *("bench-gpu-ratios.png", "bench-gpu-crossover.png"),
    ]
    on_cpu, on_gpu = drawn
    assert on_cpu["W1"]["gpunet"]["median_ms"] == 70
    assert list(on_gpu) == ["W1"]
    assert on_gpu["W1"].keys() == {"gpunet", "gpunet-captured", "gpunet-cpu", "torch"}
    for name in names:
        with Image.open(results / name) as image:
            assert image.width == round(plots.WIDE * 150)


def test_shares_of_floors_by_family() -> None:
    assert plots_gpu.shares(KERNELS) == {
        "activation": {"float32": [0.75, 0.5], "float16": [0.25]},
    }
