"""Checkpoints: everything comes back, nothing is half written, no other file is taken for one."""

import errno
import json
import os
import random
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

import gpunet
from gpunet import nn, optim
from gpunet.errors import CheckpointError, RunError
from gpunet.train import checkpoint
from tests.process import python


def model(width: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3, bias=False))


def trained(network: nn.Module, rule=optim.Adam, half: bool = False) -> optim.Optimizer:
    optimizer = rule(network.parameters(), lr=0.1)
    x = gpunet.tensor(np.ones((2, 4), "float32"))
    network(x.bfloat16() if half else x).sum().backward()
    optimizer.step()
    return optimizer


@pytest.fixture
def saved(tmp_path):
    """A path, and the model and optimizer whose state lies there."""
    network = model()
    optimizer = trained(network)
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, network, optimizer, {"progress": {"step": 7}, "loader": [1, 2]})
    return path, network, optimizer


def test_everything_comes_back(saved) -> None:
    path, network, optimizer = saved
    loaded = checkpoint.load(path)
    assert loaded.state["progress"] == {"step": 7}
    assert loaded.state["loader"] == [1, 2]
    assert loaded.state["version"] == gpunet.__version__
    other = model()
    other_optimizer = optim.Adam(other.parameters(), lr=9.0)
    checkpoint.restore_model(path, loaded, other)
    checkpoint.restore_optimizer(path, loaded, other_optimizer)
    for mine, its in zip(network.parameters(), other.parameters(), strict=True):
        assert mine.array.tobytes() == its.array.tobytes()
        for name, array in optimizer.state[mine].items():
            assert array.tobytes() == other_optimizer.state[its][name].tobytes()
    assert other_optimizer.param_groups[0]["lr"] == 0.1


def test_bfloat16_comes_back(tmp_path) -> None:
    """Also in a process where nobody has asked for that dtype before."""
    network = model().bfloat16()
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, network, trained(network, half=True), {})
    loaded = python(
        "-c",
        "from gpunet.train import checkpoint\n"
        f"found = checkpoint.load(__import__('pathlib').Path({str(path)!r})).tensors\n"
        "print({str(a.dtype) for n, a in found.items() if n.startswith('model')})\n"
        "print(found['model.0.weight'].view('uint16').tolist())",
    )
    bits = network[0].weight.array.view("uint16").tolist()
    assert loaded.splitlines() == ["{'bfloat16'}", str(bits)]
    other = model().bfloat16()
    checkpoint.restore_model(path, checkpoint.load(path), other)
    for mine, its in zip(network.parameters(), other.parameters(), strict=True):
        assert mine.array.tobytes() == its.array.tobytes()


def test_names_in_the_file_are_pytorchs(saved) -> None:
    names = checkpoint.load(saved[0]).tensors.keys()
    assert {name for name in names if name.startswith("model.")} == {
        *("model.0.weight", "model.0.bias", "model.2.weight")
    }


def test_before_the_first_step_there_is_no_optimizer_state(tmp_path) -> None:
    network = model()
    path = tmp_path / "a"
    checkpoint.save(path, network, optim.Adam(network.parameters()), {})
    loaded = checkpoint.load(path)
    assert all(name.startswith("model.") for name in loaded.tensors)
    optimizer = optim.Adam(network.parameters())
    checkpoint.restore_optimizer(path, loaded, optimizer)
    assert all(state == {} for state in optimizer.state.values())


# --- not a checkpoint, or not this one's


def test_truncated(saved) -> None:
    """At the ends of its parts, and at 200 random bytes."""
    path = saved[0]
    content = path.read_bytes()
    lengths = random.Random(0).sample(range(len(content)), 200)
    for length in [0, 1, 7, 8, 9, len(content) - 1, *lengths]:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(path)
        assert f"{path} must be a whole safetensors file, got {length:,} byt" in str(caught.value)


def test_a_changed_byte(saved) -> None:
    """One bit, at 200 random places: in the header, which may break it, or in a weight."""
    path = saved[0]
    content = path.read_bytes()
    for place in random.Random(0).sample(range(len(content)), 200):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=re.escape(f"checkpoint: {path} must ")):
            checkpoint.load(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of a process are POSIX's")
def test_a_full_disk_keeps_the_old_file(saved) -> None:
    """A real write that fails half-way: the process may write no longer file."""
    import resource

    path, network, optimizer = saved
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(RunError, match=f"{path} must be writable, got: File too large; what"):
            checkpoint.save(path, network, optimizer, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content", [b"\x00" * 4096, b"PK\x03\x04" + b"x" * 500, b"\x80\x04pickle" * 50, b"\xff" * 64]
)
def test_other_files(tmp_path, content) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="must be a whole safetensors file"):
        checkpoint.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=["bare", "PyTorch's"])
def test_somebody_elses_safetensors(tmp_path, metadata) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"0.weight": np.ones((8, 4), "float32")}, path, metadata=metadata)
    with pytest.raises(
        CheckpointError, match="must be written by gpunet, got a file of something else"
    ):
        checkpoint.load(path)


def test_no_file(tmp_path) -> None:
    for path in (tmp_path, tmp_path / "missing", tmp_path / "missing" / "a"):
        with pytest.raises(
            CheckpointError, match=r"checkpoint: must be a file, got .*, which is not"
        ):
            checkpoint.load(path)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (model(9), r"0.weight must have shape \(9, 4\), got \(8, 4\)"),
        (nn.Sequential(nn.Linear(4, 8)), r"unexpected \['2.weight'\]"),
        (
            nn.Sequential(*model(), nn.Linear(3, 3)),
            r"missing \['3.weight', '3.bias'\]",
        ),
    ],
)
def test_another_model(saved, other, problem) -> None:
    path = saved[0]
    before = {name: array.tobytes() for name, array in other.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=f"{path} must be of this model, got another: .*{problem}"
    ):
        checkpoint.restore_model(path, checkpoint.load(path), other)
    assert {name: array.tobytes() for name, array in other.state_dict().items()} == before


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda n: optim.SGD(n.parameters(), momentum=0.9),
            r"options must be SGD's \['dampening', ",
        ),
        (
            lambda n: optim.Adam(model(9).parameters()),
            r"exp_avg of parameter 0 must have shape \(9, 4\)",
        ),
        (lambda n: optim.Adam([n[0].weight]), "1 groups and 1 parameters, got 1 and 3"),
        (
            lambda n: optim.Adam([{"params": [p]} for p in n.parameters()]),
            "3 groups and 3 parameters, got 1 and 3",
        ),
    ],
)
def test_another_optimizer(saved, make, problem) -> None:
    path, network, _ = saved
    optimizer = make(network)
    with pytest.raises(CheckpointError, match=f"{path} must be of this optimizer, got .*{problem}"):
        checkpoint.restore_optimizer(path, checkpoint.load(path), optimizer)
    assert all(state == {} for state in optimizer.state.values())


def test_without_its_checksum(tmp_path) -> None:
    network, path = model(), tmp_path / "a"
    weights = {f"model.{name}": array for name, array in network.state_dict().items()}
    save_file(weights, path, metadata={"gpunet": json.dumps({})})
    with pytest.raises(CheckpointError, match=r"must have the checksum None .*; the file is dam"):
        checkpoint.load(path)


# --- written whole or not at all


class FullDisk:
    """A file on a disk with no room left."""

    def __init__(self, path, mode):
        path.touch()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def write(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FAILURES = {
    "write": lambda patch: patch.setattr(checkpoint, "open", FullDisk, raising=False),
    "flush to the disk": lambda patch: patch.setattr(os, "fsync", fail),
    "rename": lambda patch: patch.setattr(os, "replace", fail),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_full_disk_leaves_the_old_file(saved, monkeypatch, failure) -> None:
    path, network, optimizer = saved
    before = path.read_bytes()
    network[0].weight.array += 1
    with monkeypatch.context() as patch:
        FAILURES[failure](patch)
        with pytest.raises(RunError) as caught:
            checkpoint.save(path, network, optimizer, {})
    assert str(caught.value) == (
        f"checkpoint: {path} must be writable, got: No space left on device; "
        "what was there is untouched"
    )
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    checkpoint.save(path, network, optimizer, {})
    assert path.read_bytes() != before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "a", tmp_path / "missing" / "a", tmp_path):
        with pytest.raises(RunError, match=f"checkpoint: {path} must be writable, got: "):
            checkpoint.write_atomically(path, b"content")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
