"""Sweeps, profiles and pictures of the benchmarks' page."""

import json

import pytest
from PIL import Image

from bench import plots, profiles, report, scaling
from tests.bench.test_bench import MACHINE, figures


@pytest.mark.parametrize("sweep", scaling.SWEEPS)
def test_a_step_of_each_sweep(sweep, monkeypatch) -> None:
    sizes = scaling.SWEEPS[sweep][:2]
    monkeypatch.setitem(scaling.SWEEPS, sweep, sizes)
    found = scaling.work("gpunet", sweep, 0.001)
    assert list(found) == [str(size) for size in sizes]
    assert all(ms > 0 for ms in found.values())


def test_rounds_and_processes(monkeypatch) -> None:
    asked = []

    def answer(python, now):
        asked.append(now)
        return {"1": float(len(asked)), "4": 8.0 / len(asked)}

    monkeypatch.setattr(scaling, "_answer", answer)
    found = scaling.run(["batch", "depth"], {"gpunet": "python", "torch": "python"}, 0.5, 2)
    assert found["batch"].keys() == {
        *("gpunet, 2 threads", "torch, 2 threads", "gpunet, 1 thread", "torch, 1 thread")
    }
    assert found["batch"]["gpunet, 2 threads"] == {"1": 1.0, "4": 8.0 / 3}
    assert asked[0] == ("gpunet", "batch", "2", "0.5")
    assert [framework for framework, *_ in asked[:4]] == ["gpunet", "torch", "gpunet", "torch"]


def test_a_profile_and_its_section() -> None:
    found = profiles.measure("W1s", 5)
    assert json.loads(json.dumps(found)) == found
    assert sum(row["share"] for row in found["rows"]) == pytest.approx(1)
    assert sum(row["ms"] for row in found["rows"]) == pytest.approx(found["profiled_ms"])
    text = profiles.section({"machine": MACHINE, "profile": found}, "W1s")
    shares = [line.split(" | ")[3] for line in text.splitlines() if line.startswith("| forward")]
    assert shares
    assert all(float(share[:-1]) >= 1 for share in shares)


SWEEPS = {
    sweep: {f"{framework}, 2 threads": {"1": 1.0, "64": 2.0} for framework in scaling.FRAMEWORKS}
    for sweep in scaling.SWEEPS
}


def test_the_pictures(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(plots, "IMAGES", tmp_path)
    results = {
        "W1": {"gpunet": figures(2.0), "torch": figures(3.0), "jax": figures(1.0)},
        "W7": {"gpunet": figures(2.0), "torch": figures(3.9)},
        "op-matmul": {"gpunet": figures(10.0), "torch": figures(11.0)},
        "op-bmm": {"gpunet": figures(1.0), "torch": figures(1.5)},
        "op-exp": {"gpunet": figures(1.0)},
        "W6-copy": {"gpunet": figures(4.0)},
    }
    files = plots.draw(results, SWEEPS)
    assert [file.name for file in files] == [
        f"bench-{name}.png" for name in ("ratios", "memory", "roofline", "scaling")
    ]
    for file in files:
        with Image.open(file) as image:
            assert image.width == round(plots.WIDE * 150)
    assert [file.name for file in plots.draw({"W1": results["W1"]}, {})] == [
        *("bench-ratios.png", "bench-memory.png")
    ]


def test_points_of_the_roofline() -> None:
    found = plots.points({"op-bmm": {"gpunet": figures(1.0)}, "op-exp": {"gpunet": figures(1.0)}})
    flops, nbytes = 2 * 64 * 128 * 64 * 128, 4 * 64 * (2 * 128 * 64 + 128 * 128)
    assert found == {"gpunet": {"op-bmm": (flops / nbytes, flops / 1e6)}}


def test_the_section_of_sweeps() -> None:
    text = scaling.section({"machine": {**MACHINE, "rounds": 3}, "scaling": SWEEPS})
    assert "| PyTorch, 2 threads | 1.000 | 2.000 |" in text
    assert report.ROOT.joinpath("docs", "images", "bench-scaling.png").is_file()
