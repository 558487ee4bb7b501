"""From which sizes the GPU wins: found by the bench, told by `gpunet info`, used by "auto"."""

import pytest

from bench import crossover as finder
from gpunet import backend
from gpunet.backend import crossover
from gpunet.backend.cuda import loader
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """An empty cache folder."""
    monkeypatch.setattr(loader, "writable_folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("cpu", "gpu", "found"),
    [
        ([1, 2, 4], [3, 3, 3], 3),
        ([4, 4, 4], [3, 3, 3], 1),
        ([1, 1, 1], [3, 3, 3], None),
        ([9, 1, 9], [3, 3, 3], 3),
        ([1, 3, 9], [3, 3, 3], 3),
    ],
    ids=["large", "always", "never", "twice", "equal"],
)
def test_first_win(cpu, gpu, found) -> None:
    times = [dict(zip((1, 2, 3), of, strict=True)) for of in (cpu, gpu)]
    assert crossover.first_win(*times) == found


def test_what_is_stored_is_known() -> None:
    assert crossover.known("fast") == {}
    assert crossover.describe().startswith("not measured")
    crossover.store("fast", {"elementwise": 4096, "product": None, "step": 10**6})
    crossover.store("slow", {"step": 10**9})
    assert crossover.known("fast")["step"] == 10**6
    line, other = crossover.describe().splitlines()
    assert other.startswith("slow is faster from: 1,000,000,000 multiply-adds")
    assert line.startswith(
        "fast is faster from: 4,096 numbers of an elementwise function; never in"
    )
    assert line.endswith("1,000,000 multiply-adds of a training step, forward")


@pytest.mark.parametrize("text", ["", "{", "[]"], ids=["empty", "cut", "list"])
def test_a_damaged_file_is_no_knowledge(folder, text) -> None:
    (folder / "crossover.json").write_text(text)
    assert crossover.known("fast") == {}
    crossover.store("fast", {"step": 5})
    assert crossover.known("fast") == {"step": 5}


def test_auto_takes_the_cpu_for_small_steps() -> None:
    with pretended(HostGPU()):
        assert backend.resolve("auto", lambda: 10)[0].device == "cuda:0"  # nothing is known
        crossover.store("host", {"elementwise": None, "product": None, "step": 1000})
        be, line = backend.resolve("auto", lambda: 999)
        assert be.device == "cpu"
        assert line == (
            "device cpu (a step has 999 multiply-adds, and host is faster from 1,000 on, "
            "by gpunet bench)"
        )
        assert backend.resolve("auto", lambda: 1000)[0].device == "cuda:0"
        assert backend.resolve("auto")[0].device == "cuda:0"
        assert backend.resolve("cuda", lambda: 1)[0].device == "cuda:0"
        crossover.store("host", {"step": None})
        assert backend.resolve("auto", lambda: 1)[0].device == "cuda:0"


@needs.compiler
def test_the_bench_finds_and_stores(monkeypatch) -> None:
    small = {name: (prepare, (16, 32)) for name, (prepare, _) in finder.WORK.items()}
    monkeypatch.setattr(finder, "WORK", small)
    with pretended(HostGPU()):
        found = finder.measure("cuda:0", repeats=1)
        assert found.keys() == crossover.UNITS.keys()
        assert found["product"].keys() == {"cpu", "cuda:0"}
        assert list(found["product"]["cpu"]) == [16**3, 32**3]
        assert list(found["step"]["cuda:0"]) == [64 * 16 * 26, 64 * 32 * 42]
        assert all(ms > 0 for of in found.values() for by in of.values() for ms in by.values())
        kept = finder.find("cuda:0", repeats=1)
        assert crossover.known("host") == {name: of["from"] for name, of in kept.items()}
        assert list(kept["product"]["cpu"]) == list(kept["product"]["gpu"]) == [16**3, 32**3]
