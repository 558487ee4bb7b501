"""`gpunet bench`: what is measured, what is said of it, and the page that is made of it."""

import json
import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import __main__ as command
from bench import machine, measure, operations, overhead, plan, report, show, tape, worker
from gpunet.cli import bench as cli
from gpunet.cli import main
from gpunet.cli.console import errors


def figures(ms: float, **more: Any) -> dict[str, Any]:
    return {"median_ms": ms, "fastest_round_ms": ms, "slowest_round_ms": 2 * ms, "steps": 5,
            "peak_mib": 100.0, **more}  # fmt: skip


MACHINE = {"date": "2026-11-25", "processor": "a fast one", "cores": 2,
           "threads": 2, "versions": {"numpy": "2.4"},
           "commit": "abc1234", "command": "gpunet bench"}  # fmt: skip


def test_names_choose_by_their_beginning() -> None:
    assert plan.chosen(["W1"], False) == ["W1"]
    assert plan.chosen(["lstm-", "W7"], False) == ["lstm-b32", "lstm-b1", "lstm-step", "W7"]
    assert plan.chosen([], False) == list(plan.RIVALS)
    assert plan.chosen([], True) == list(plan.QUICK)
    assert plan.chosen(["nothing"], True) == []
    assert set(plan.QUICK) <= plan.RIVALS.keys() == plan.TEXT.keys()
    assert plan.GOALS.keys() <= plan.RIVALS.keys()


@pytest.mark.parametrize("name", [*operations.WORKLOADS, *overhead.FORWARD])
def test_operations_compute_what_numpy_does(name, monkeypatch) -> None:
    module = operations if name in operations.WORKLOADS else overhead
    if "numpy" not in plan.RIVALS[name]:
        assert module.prepare("gpunet", name)() is not None
        return
    ours, theirs = (module.prepare(framework, name)() for framework in ("gpunet", "numpy"))
    ours = ours[0] if isinstance(ours, tuple) else ours
    scale = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4 * scale)


@pytest.mark.parametrize("name", overhead.WORKLOADS)
def test_parts_of_an_operation_do_what_the_whole_does(name) -> None:
    """The kernels that are timed alone, and the bare tape, give the result of the step."""
    step, kernels, bare = (overhead.prepare(of, name) for of in ("gpunet", "kernels", "bare"))
    found, value = kernels(), bare()
    if name not in overhead.FORWARD:
        found, gradients = found
        for x, g in zip(value.inputs, gradients, strict=True):
            np.testing.assert_array_equal(x.grad.array, g)
    y = step().detach().numpy()
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(value.array, y)


def test_a_tape_with_any_of_its_features_gives_the_gradients() -> None:
    x = np.ones(10, np.float32)
    for features in range(len(tape.FEATURES) + 1):
        gradients = overhead.prepare_rung(features)()
        assert len(gradients) == 2
        for g in gradients:
            np.testing.assert_array_equal(g, x)
        assert gradients[0] is not gradients[1]


def test_lines_of_a_tape_belong_to_features() -> None:
    text = Path(tape.__file__).read_text(encoding="utf-8")
    counts = {name: text.count(f"  # {name}\n") for name in tape.FEATURES}
    assert all(counts.values()), counts
    sizes = [len(tape._source(set(list(tape.FEATURES)[:n])).splitlines()) for n in range(10)]
    assert [b - a for a, b in pairwise(sizes)] == list(counts.values())


def test_rows_of_a_tape() -> None:
    n = len(tape.FEATURES)
    parts = {"step": 9.0, "kernels": 2.0, "bare": 4.0, "tape": [5.0 + i / 4 for i in range(n + 1)]}
    rows = overhead.tape_rows({"overhead-add": {"gpunet": {"parts": parts}}})
    assert rows[0] == ("its kernels alone", "2.0", "")
    assert rows[1] == ("a tape for any graph", "5.0", "+3.0")
    assert rows[-1] == ("gpunet", "9.0", f"{9 - 5 - n / 4:+.1f}")
    assert overhead.tape_rows({"W1": {"gpunet": {}}}) == []


def test_rows_of_parts_add_up() -> None:
    parts = {"step": 9.0, "kernels": 4.0, "bare": 6.0}
    results = {"overhead-add": {"gpunet": {"parts": parts}}, "W1": {"gpunet": {}}}
    assert overhead.rows(results) == [("overhead-add", "9.0", "4.0", "6.0", "3.0")]


def test_networks_by_hand_learn_as_ours_do() -> None:
    """The same first step: NumPy's by hand, gpunet's by autograd."""
    from bench import workloads
    from gpunet import functional, nn, optim, tensor

    steps = {name: workloads.prepare("numpy", name) for name in ("W1s", "W1", "W7")}
    for name, kind, lr in (("W1s", optim.SGD, 1e-2), ("W1", optim.Adam, 1e-3)):
        parameters = _enclosed(steps[name], "parameters")
        before = [p.copy() for p in parameters]
        sizes = workloads.NETWORKS[name]
        layers = [nn.Linear(n, m) for n, m in pairwise(sizes)]
        for layer, w, b in zip(layers, before[::2], before[1::2], strict=True):
            layer.load_state_dict({"weight": w.T, "bias": b})
        inside = [part for layer in layers for part in (layer, nn.ReLU())][:-1]
        model = nn.Sequential(*inside)
        x, t = map(tensor, workloads._batch(name))
        optimizer = kind(model.parameters(), lr=lr)
        functional.cross_entropy(model(x), t).backward()
        optimizer.step()
        steps[name]()
        for layer, w, b in zip(layers, parameters[::2], parameters[1::2], strict=True):
            for p, by_hand in ((layer.weight, w.T), (layer.bias, b)):
                # Adam's step is g / (|g| + 1e-8), which is rounding where g is nearly 0.
                clear = np.abs(p.grad.numpy()) > 1e-6
                assert clear.mean() > 0.5
                found = p.detach().numpy()
                np.testing.assert_allclose(found[clear], by_hand[clear], atol=1e-5)
    assert steps["W7"]().shape == (1, 10)


def _enclosed(function: Any, name: str) -> Any:
    """A variable that a function, or one that it calls, has taken along."""
    for cell, variable in zip(function.__closure__, function.__code__.co_freevars, strict=True):
        if variable == name:
            return cell.cell_contents
    raise AssertionError(name)


def test_figures_of_rounds() -> None:
    rounds = [
        {"ms": [3.0, 1.0, 2.0], "peak_mib": 10, "first_ms": 5.0, "others": 0.0},
        {"ms": [4.0], "peak_mib": 30, "first_ms": 7.0, "others": 1.0},
        {"ms": [9.0, 9.0], "peak_mib": 20, "first_ms": 9.0, "others": 0.5},
    ]
    found = measure.figures_of(rounds)
    assert found == {"median_ms": 4.0, "fastest_round_ms": 2.0, "slowest_round_ms": 9.0, "steps": 6,
                     "peak_mib": 30, "first_ms": 7.0, "others": 0.5}  # fmt: skip


def test_rates_and_their_shares() -> None:
    results = {
        "op-exp": {"gpunet": figures(4.0)},
        "W6-copy": {"gpunet": figures(8.0), "torch": figures(4.0)},
        "op-matmul": {"gpunet": figures(10.0)},
        "op-bmm": {"gpunet": figures(1.0)},
    }
    measure.add_rates(results)
    exp, best = results["op-exp"]["gpunet"], results["W6-copy"]["torch"]
    assert exp["gb_per_s"] == pytest.approx(8 * 4096 * 1024 / 4e-3 / 1e9)
    assert exp["share_of_copy"] == pytest.approx(exp["gb_per_s"] / best["gb_per_s"])
    bmm = results["op-bmm"]["gpunet"]
    assert bmm["gflop_per_s"] == pytest.approx(2 * 64 * 128 * 64 * 128 / 1e-3 / 1e9)
    assert bmm["share_of_product"] == pytest.approx(bmm["gflop_per_s"] / (2 * 2**30 / 10e-3 / 1e9))


def test_the_table(capsys) -> None:
    results = {
        "W1": {"gpunet": figures(1.0, others=0.0), "numpy": figures(3.0, others=0.0)},
        "W7": {"gpunet": figures(2.0, others=0.9), "numpy": figures(1.0, first_ms=7.5)},
    }
    show.show(results, ["torch", "jax"])
    lines = capsys.readouterr().out.splitlines()
    w1 = next(line.split() for line in lines if line.startswith("W1"))
    assert w1[:2] == ["W1", "1.000"]
    assert "3.00" in w1
    assert sum("not installed" in line for line in lines) == 2
    assert any(line.startswith("W7") and "2.000~" in line for line in lines)
    assert "up to 0.9 cores busy meanwhile, in 1 of 2" in " ".join(lines)


def test_compare(capsys) -> None:
    before = {"machine": MACHINE, "workloads": {"W1": {"gpunet": figures(2.0)}, "gone": {}}}
    before["workloads"]["W1"]["torch"] = figures(3.0)
    now = {"W1": {"gpunet": figures(1.0), "torch": figures(4.0)}, "W7": {"gpunet": figures(1.0)}}
    show.compare(now, before)
    out = capsys.readouterr().out
    assert "a fast one, 2026-11-25, commit abc1234" in out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("W1"))
    assert row == ["W1", "2.000", "1.000", "2.00", "1.50", "/", "4.00"]
    assert "W7" not in out


def test_the_command(tmp_path, capsys) -> None:
    file = tmp_path / "figures.json"
    arguments = ["bench", "overhead-add-forward", "--quick", "--against", "numpy"]
    assert main([*arguments, "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    assert content["machine"]["command"] == "gpunet bench overhead-add-forward --quick"
    found = content["workloads"]["overhead-add-forward"]
    assert found.keys() == {"gpunet", "numpy"}
    assert found["gpunet"]["steps"] > 100
    assert found["gpunet"]["import_ms"] > 0
    capsys.readouterr()
    assert main([*arguments, "--compare", str(file), "--json", str(file)]) == 0
    assert "before / now" in capsys.readouterr().out
    assert "PyTorch" not in capsys.readouterr().out


def test_wrong_arguments(tmp_path, capsys, monkeypatch) -> None:
    assert main(["bench", "W99"]) == 1
    assert "nothing is called W99" in capsys.readouterr().out
    other = tmp_path / "package.json"
    other.write_text('{"name": "something"}')
    assert main(["bench", "W1", "--json", str(other)]) == 1
    assert "is something else's" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(cli, "TOP", tmp_path)
    monkeypatch.setattr(errors, "width", 300)
    assert main(["bench"]) == 1
    assert "pip install -e . in a checkout" in capsys.readouterr().err


def test_groups_share_a_process() -> None:
    names = ["W1", "op-add", "conv-3-16-32-forward", "W6-relu"]
    groups = measure.groups(names, "cpu")
    assert groups == [["W1"], ["conv-3-16-32-forward"], ["op-add", "W6-relu"]]
    assert measure.groups(names, "cuda:0") == [names]
    assert list(map(plan.share, names)) == [1.0, 0.25, 0.25, 0.25]


def test_processes_of_a_group() -> None:
    rivals = {"torch": "its", "torch-fused": "its", "jax": "its", "numpy": "ours"}
    on_cpu = measure.processes(["W1s"], rivals, "cpu")
    assert [list(process.names) for process in on_cpu] == [
        ["gpunet"],
        ["torch"],
        ["jax"],
        ["numpy"],
    ]
    torch = {name: python for name, python in rivals.items() if "torch" in name}
    ours, cpu, theirs = measure.processes(["W1", "W4", "op-add"], torch, "cuda:0")
    both = {"gpunet": ["W1", "W4", "op-add"], "gpunet-captured": ["W1", "W4"]}
    assert (ours.device, ours.names) == ("cuda:0", both)
    assert (cpu.device, cpu.names) == ("cpu", {"gpunet": ["W1", "W4"]})
    assert (theirs.python, theirs.device) == ("its", "cuda:0")
    assert theirs.names == {"torch": ["W1", "W4", "op-add"], "torch-fused": ["W1"]}
    assert len(measure.processes(["op-add"], {}, "cuda:0")) == 1


# --- what fails


class InThisProcess(measure.Worker):
    """A worker without a process."""

    def __init__(self, python: str, package: str, *requests: str, **environment: str):
        self.requests = requests

    def answer_to(self, process: measure.Process, request: str = "") -> measure.Found:
        return worker.answer(json.loads(request or self.requests[0]), 0.0)

    def __exit__(self, *_: object) -> None:
        pass


def test_one_that_fails_is_left_out(monkeypatch, capsys) -> None:
    real = plan.prepare

    def prepare(framework: str, name: str, device: str) -> Any:
        if name == "op-add" or (framework, name) == ("numpy", "op-sum"):
            raise ValueError("no such\nthing")
        return real(framework, name, device)

    monkeypatch.setattr(plan, "prepare", prepare)
    monkeypatch.setattr(measure, "Worker", InThisProcess)
    names = ["op-add", "op-sum", "op-matmul-small"]
    results, failures = measure.run(names, {"numpy": "python"}, 0.01, 2, "cpu", lambda what: None)
    assert {name: list(of) for name, of in results.items()} == {
        "op-sum": ["gpunet"],
        "op-matmul-small": ["gpunet", "numpy"],
    }
    why = "ValueError: no such thing"
    assert failures == dict.fromkeys(("op-add, gpunet", "op-add, NumPy", "op-sum, NumPy"), why)
    show.show_failures(failures)
    assert "op-sum, NumPy left out, it failed: ValueError" in capsys.readouterr().out


def test_a_process_that_fails_is_all_that_is_lost(tmp_path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho oh >&2\necho 'Segmentation fault' >&2\nexit 3\n")
    broken.chmod(0o755)
    names, rivals = ["op-matmul-small"], {"numpy": str(broken)}
    results, failures = measure.run(names, rivals, 0.01, 2, "cpu", lambda what: None)
    assert list(results["op-matmul-small"]) == ["gpunet"]
    assert results["op-matmul-small"]["gpunet"]["steps"] > 1
    assert failures == {"op-matmul-small, NumPy": "Segmentation fault"}


def test_a_forked_process_that_dies_is_told(monkeypatch, capfd) -> None:
    request = {"device": "cpu", "seconds": 0.0, "asked": {"numpy": ["op-add"]}}
    found = worker.in_a_child(request, 7.0)["numpy"]["op-add"]
    assert found["import_ms"] == 7.0
    assert found["first_ms"] > 0

    monkeypatch.setattr(worker, "answer", lambda request, ms: os.kill(os.getpid(), signal.SIGKILL))
    assert worker.in_a_child(request, 7.0) == {"failed": "a process ended with -9"}

    def raises(request: Any, ms: float) -> Any:
        raise ValueError("no such framework")

    monkeypatch.setattr(worker, "answer", raises)
    assert worker.in_a_child(request, 7.0) == {"failed": "a process ended with 1"}
    assert "no such framework" in capfd.readouterr().err


def test_where_the_sources_lie_alone_the_commit_is_told(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("GPUNET_COMMIT", "1234567")
    assert machine.commit() not in ("", "1234567")
    monkeypatch.setattr(machine, "TOP", tmp_path)
    assert machine.commit() == "1234567"
    monkeypatch.delenv("GPUNET_COMMIT")
    assert machine.commit() == ""


# --- the page


def test_the_page_is_that_of_the_committed_figures() -> None:
    assert report.PAGE.read_text(encoding="utf-8") == report.page()


def test_the_page_has_a_row_for_each(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    results = {"W1": {"gpunet": figures(2.0), "torch": figures(3.0)}}
    content = {"machine": MACHINE, "workloads": results}
    (tmp_path / "cpu.json").write_text(json.dumps(content))
    page = report.page()
    assert f"| **W1** {plan.TEXT['W1']} | gpunet | 2.000 |" in page
    assert "|  | PyTorch | 3.000 | 3.000 to 6.000 | 100 |  | 1.50 | 1.8 |" in page
    assert "There is no GPU figure yet" in page


def test_files_are_kept_together_only_if_made_alike(tmp_path) -> None:
    file: Path = tmp_path / "f.json"
    measure.keep(file, {**MACHINE}, {"W1": {}})
    measure.keep(file, {**MACHINE, "command": "gpunet bench W7"}, {"W7": {}})
    content = json.loads(file.read_text())
    assert content["workloads"] == {"W1": {}, "W7": {}}
    assert content["machine"]["command"] == "gpunet bench`, `gpunet bench W7"
    measure.keep(file, {**MACHINE, "commit": "other"}, {"W2": {}})
    assert json.loads(file.read_text())["workloads"] == {"W2": {}}


def test_the_command_is_written_down_without_files() -> None:
    options = type("Options", (), {"names": ["W1", "conv-"], "quick": True, "device": None})
    assert command._command(options) == "gpunet bench W1 conv- --quick"
