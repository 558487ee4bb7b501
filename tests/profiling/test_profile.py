"""The profiler: what it writes down, whose time is whose, and that it changes nothing."""

import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import gpunet
from gpunet import data, nn, optim
from gpunet.autograd.mode import mode
from gpunet.profiling import floor, recorder
from gpunet.profiling.rows import own_seconds
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended


def network() -> nn.Module:
    gpunet.manual_seed(0)
    layers = nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 2)
    return nn.Sequential(*layers)


def batch(device: str = "cpu"):
    rng = np.random.default_rng(0)
    x = gpunet.tensor(rng.standard_normal((16, 4), np.float32), device=device)
    return x, gpunet.tensor(rng.integers(0, 2, 16), device=device)


def step(model: nn.Module, optimizer: optim.Optimizer, x, t) -> float:
    optimizer.zero_grad()
    loss = gpunet.functional.cross_entropy(model(x), t)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


@pytest.fixture
def ticks(monkeypatch):
    """A clock that goes on by one second whenever it is read."""
    monkeypatch.setattr(recorder, "perf_counter", itertools.count().__next__)


def test_a_step_by_layer_and_operation() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with gpunet.profile() as p:
        for _ in range(3):
            step(model, optimizer, *batch())
    found = {(row.kind, row.layer, row.name): row for row in p.rows(floors=False)}
    assert found.keys() == {
        ("forward", "Sequential", "Python"),
        *((kind, "0", "Linear + ReLU") for kind in ("forward", "backward")),
        *((kind, "2.0", "Linear + Tanh") for kind in ("forward", "backward")),
        *((kind, "3", "Linear") for kind in ("forward", "backward")),
        *(("forward", layer, "Python") for layer in ("0", "2", "2.0", "3")),
        *((kind, "", "CrossEntropy") for kind in ("forward", "backward")),
        ("backward", "", "graph"),
        ("gradients", "", "clip_grad_norm_"),
        ("optimizer", "", "SGD"),
        ("outside", "", "Python"),
    }
    assert {row.calls for key, row in found.items() if key[0] != "outside"} == {3}
    assert p.steps == 3
    assert sum(row.share for row in found.values()) == pytest.approx(1)
    assert sum(row.seconds for row in found.values()) == pytest.approx(p.seconds)


def test_bytes_made_kept_and_moved() -> None:
    model, (x, t) = network(), batch()
    with gpunet.profile() as p:
        gpunet.functional.cross_entropy(model(x), t).backward()
    by_name = {(r.kind, r.layer, r.name): r for r in p.records}
    first = by_name["forward", "0", "Linear + ReLU"]
    y = 4 * 16 * 8
    assert first.moved == 4 * (16 * 4 + 4 * 8 + 8) + y
    assert first.made == y
    assert first.kept == y  # its result; the weights and the batch are there anyway
    last = by_name["forward", "3", "Linear"]
    assert last.kept == 0  # what it reads, the Tanh before it keeps already
    back = by_name["backward", "3", "Linear"]
    assert back.made == 4 * (16 * 8 + 8 * 2 + 2)
    with gpunet.no_grad(), gpunet.profile() as p:
        model(x)
    assert not any(r.kept for r in p.records)


def test_memory_in_use_is_that_of_the_backend() -> None:
    n = 1 << 20
    before = gpunet.backend.cpu.memory_in_use()
    x = gpunet.zeros(n, requires_grad=True)
    with gpunet.profile() as p:
        (x.exp() + x).sum()
    most = p.peak - before
    assert 3 * 4 * n <= most <= 3.5 * 4 * n  # x, e^x, their sum; buffers are rounded up


def test_time_inside_is_taken_off(ticks) -> None:
    """Whatever is recorded takes a second between start and stop; a span has what is around."""
    model, (x, _) = network(), batch()
    with gpunet.profile() as p:
        model(x)
    own = {(r.kind, r.layer): seconds for r, seconds in own_seconds(p.records)}
    linear = {(r.kind, r.layer) for r in p.records if r.kind == "forward"}
    assert all(own[key] == 1 for key in linear)
    # From its start to the entry of the first inside, between two, and from the last to its stop.
    assert own["layer", "Sequential"] == 4
    assert own["layer", "2"] == 2
    assert own["layer", "0"] == 2
    assert all(r.entered < r.start < r.stop < r.left for r in p.records)
    whole = sum(seconds for _, seconds in own_seconds(p.records))
    assert p.seconds == whole + 2 == sum(row.seconds for row in p.rows(floors=False))


def test_own_seconds_of_nested_records() -> None:
    def record(name, entered, start, stop, left):
        return SimpleNamespace(name=name, entered=entered, start=start, stop=stop, left=left)

    records = [
        record("a", 1, 2, 5, 6),
        record("b", 7, 8, 9, 10),
        record("around", 0, 1, 10, 11),
        record("after", 11, 12, 20, 21),
    ]
    own = {r.name: seconds for r, seconds in own_seconds(records)}
    assert own == {"a": 3, "b": 1, "around": 1, "after": 8}


def test_nothing_changes() -> None:
    losses = []
    for watched in (False, True):
        model = network()
        optimizer = optim.Adam(model.parameters())
        with gpunet.profile() if watched else pytest.MonkeyPatch.context():
            losses.append([step(model, optimizer, *batch()) for _ in range(3)])
        losses[-1] += [p.tolist() for p in model.parameters()]
    assert losses[0] == losses[1]


def test_it_ends_with_its_block() -> None:
    model, (x, _) = network(), batch()
    wrong = x.T
    with pytest.raises(gpunet.errors.ShapeError, match="in layer 0"), gpunet.profile() as p:
        model(wrong)
    assert mode.watcher is None
    assert [(r.kind, r.layer) for r in p.records] == [("layer", "0"), ("layer", "Sequential")]
    model(x)
    assert len(p.records) == 2
    with gpunet.profile() as p:  # the stack of layers is clean
        model(x)
    assert p.records[-1].layer == "Sequential"


def test_other_threads_are_not_recorded() -> None:
    x = gpunet.ones(3)
    with gpunet.profile() as p:
        thread = threading.Thread(target=x.exp)
        thread.start()
        thread.join()
        x.log()
    assert [r.name for r in p.records] == ["Log"]


def test_what_was_recorded_before_has_no_layer() -> None:
    x, _ = batch()
    y = network()(x).sum()
    with gpunet.profile() as p:
        y.backward()
    backward = [(r.layer, r.name) for r in p.records if r.kind == "backward"]
    assert backward[:2] == [("", "Sum"), ("", "Linear")]


def test_data_and_other_optimizers() -> None:
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((10, 4), np.float32), rng.integers(0, 2, 10)
    loader = data.DataLoader(data.Dataset("ten", inputs, targets, ("no", "yes")), batch_size=4)
    model, (x, t) = network(), batch()
    optimizer = optim.LBFGS(model.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = gpunet.functional.cross_entropy(model(x), t)
        loss.backward()
        return loss

    with gpunet.profile() as p:
        for _ in loader:
            optimizer.step(closure)
    kinds = [r.kind for r in p.records]
    assert kinds.count("data") == 4  # three batches, and the end
    assert kinds.count("optimizer") == p.steps == 3
    assert kinds.count("pass") >= 3


# --- floors


@pytest.mark.parametrize(
    ("run", "forward", "backward"),
    [
        (lambda r: gpunet.functional.linear(r(5, 4), r(3, 4), r(3)), 60, 120),
        (lambda r: r(2, 5, 4) @ r(2, 4, 3), 120, 240),
        (lambda r: gpunet.functional.conv2d(r(2, 4, 5, 5), r(6, 2, 3, 3), groups=2), 1944, 3888),
        (lambda r: gpunet.functional.conv_transpose2d(r(2, 3, 4, 4), r(3, 5, 2, 2)), 1920, 3840),
        (
            lambda r: gpunet.functional.scaled_dot_product_attention(
                r(2, 5, 4), r(2, 6, 4), r(2, 6, 3)
            ),
            2 * 5 * 6 * (4 + 3),
            2 * 2 * 5 * 6 * (4 + 3),
        ),
        (
            lambda r: gpunet.functional.gru(r(5, 2, 4), r(9, 4), r(9, 3))[0],
            5 * 2 * (36 + 27),
            2 * 5 * 2 * (36 + 27),
        ),
        (lambda r: r(5, 4).exp(), 0, 0),
    ],
    ids=["linear", "matmul", "conv", "conv_transpose", "attention", "gru", "exp"],
)
def test_multiply_adds(run, forward, backward) -> None:
    rng = np.random.default_rng(0)

    def drawn(*shape):
        return gpunet.tensor(rng.standard_normal(shape, np.float32), requires_grad=True)

    with gpunet.profile() as p:
        y = run(drawn)
        y.backward(gpunet.ones(*y.shape))
    counted = {kind: sum(r.multiply_adds for r in p.records if r.kind == kind) for kind in KINDS}
    assert counted == {"forward": forward, "backward": backward}


KINDS = ("forward", "backward")


def test_a_floor_is_the_larger_of_two(monkeypatch) -> None:
    monkeypatch.setattr(floor, "copy_seconds", lambda be, size: size / 1e9)
    monkeypatch.setattr(floor, "product_seconds", lambda be: 1e-12)
    be = gpunet.backend.cpu
    assert floor.floor_seconds(be, 3 << 20, 0) == pytest.approx((3 << 20) / 1e9)
    assert floor.floor_seconds(be, 3 << 20, 10**12) == 1.0
    x = gpunet.zeros(1 << 16)
    with gpunet.profile() as p:
        x.exp()
    (exp,) = (row for row in p.rows() if row.name == "Exp")
    assert exp.floor == pytest.approx(2 * 4 * (1 << 16) / 1e9)


def test_this_machine_is_measured() -> None:
    be = gpunet.backend.cpu
    assert 0 < floor.copy_seconds(be, 1 << 16) < floor.copy_seconds(be, 1 << 24)
    assert 1e6 < 1 / floor.product_seconds(be) < 1e15


# --- as text


def test_the_table() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with gpunet.profile() as p:
        for _ in range(2):
            step(model, optimizer, *batch())
    lines = str(p).splitlines()
    assert lines[0].startswith("2 steps of ")
    assert lines[1].split() == ["layer", "operation", "share", "ms", "calls", "made", "kept",
                                "of", "floor"]  # fmt: skip
    (row,) = (line.split() for line in lines if "Linear + ReLU" in line and "forward" in line)
    assert row[:5] == ["forward", "0", "Linear", "+", "ReLU"]
    assert row[7:12] == ["1", "512", "B", "512", "B"]  # of one step
    rows = p.table(least=0.05).row_count
    large = sum(row.share >= 0.05 for row in p.rows())
    assert rows == large + 1


# --- on a device that works by itself


@needs.compiler
def test_times_of_a_gpu_are_its_own() -> None:
    with pretended(HostGPU()):
        model = network().to("cuda:0")
        x, t = batch("cuda:0")
        with gpunet.profile() as p:
            gpunet.functional.cross_entropy(model(x), t).backward()
        operations = [r for r in p.records if r.kind in KINDS]
        assert len(operations) == 8
        assert all(r.device_seconds > 0 for r in operations)
        (row,) = (row for row in p.rows() if (row.layer, row.kind) == ("2.0", "backward"))
        (record,) = (r for r in operations if (r.layer, r.kind) == ("2.0", "backward"))
        assert row.seconds == record.device_seconds
        assert row.floor > 0
