"""Memory by layer, what is said where it does not reach, and steps made of parts that fit."""

import json
import mmap
import re
from dataclasses import replace

import numpy as np
import pytest

import gpunet
from gpunet import models, nn, optim
from gpunet.backend.cpu.memory import BufferCache
from gpunet.backend.random import random
from gpunet.errors import DeviceMemoryError
from gpunet.train import Callback, Run, Trainer
from gpunet.train.config import (
    DiagnosticsConfig,
    LayerConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)
from gpunet.train.diagnostics import Recorder
from gpunet.train.memory import memory_by_layer
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended

# --- by layer


def test_a_small_network_in_full() -> None:
    """x (10, 3) and y (10, 4) are kept by the first layer, y for its ReLU; the sum keeps none."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1, bias=False))
    x = gpunet.ones(10, 3)
    adam = optim.Adam(model.parameters())
    first, last = memory_by_layer(model, lambda: model(x).sum(), adam)
    assert (first.name, first.parameters, first.gradients) == ("0", 64, 64)
    assert (first.state, first.kept) == (2 * (64 + 8), 4 * (30 + 40))  # a count is of 8 bytes
    assert (last.name, last.parameters, last.kept) == ("2", 16, 0)
    assert last.total == 4 * 16 + 8
    model(x).sum().backward()
    adam.step()
    held = [s for state in adam.state.values() for s in state.values()]
    assert sum(array.nbytes for array in held) == first.state + last.state
    assert memory_by_layer(model, lambda: model(x).sum())[0].state == 0


def test_what_is_kept_grows_with_the_batch_and_halves_are_half() -> None:
    model = models.LeNet5()

    def kept(batch: int, half: bool = False) -> int:
        with gpunet.autocast(enabled=half):
            layers = memory_by_layer(model, lambda: model(gpunet.ones(batch, 1, 28, 28)).sum())
        return sum(layer.kept for layer in layers)

    assert kept(8) - kept(4) == kept(4) - kept(0)
    assert 0.5 <= (kept(8, True) - kept(4, True)) / (kept(8) - kept(4)) < 0.6


def test_a_shared_weight_counts_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    layers = memory_by_layer(model, lambda: model(gpunet.ones(2, 4)).sum())
    assert sum(layer.parameters for layer in layers) == 4 * (16 + 4)


LAYERS = (
    LayerConfig("Flatten"),
    LayerConfig("Linear", {"in_features": 64, "out_features": 512}),
    LayerConfig("BatchNorm1d", {"num_features": 512}),
    LayerConfig("ReLU"),
    LayerConfig("Dropout", {"p": 0.2}),
    LayerConfig("Linear", {"in_features": 512, "out_features": 10}),
)


def test_a_look_changes_nothing(build, tmp_path) -> None:
    parts = {"model": ModelConfig(LAYERS), "train": TrainConfig(1, 32)}
    plain = build(**parts)
    plain.fit()
    recorder = Recorder(DiagnosticsConfig(2, memory=True), tmp_path)
    looked = build([recorder], **parts)
    looked.fit()
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(array, looked.model.state_dict()[name])
    assert random.counter == 5  # one of each step
    lines = [json.loads(text) for text in (tmp_path / "diagnostics.jsonl").read_text().splitlines()]
    assert [("memory" in line) for line in lines] == [True, False, False]
    assert lines[0]["memory"]["5"]["parameters"] == 4 * (512 * 10 + 10)
    assert lines[0]["memory"]["2"]["kept"] >= 4 * 32 * 512


# --- not enough

WIDE = (
    LayerConfig("Flatten"),
    LayerConfig("Linear", {"in_features": 64, "out_features": 128}),
    LayerConfig("ReLU"),
    LayerConfig("Linear", {"in_features": 128, "out_features": 10}),
)
KB = 1000


def limited(build, capacity: int, **train) -> Trainer:
    """A trainer of full batches of 150 on the pretended GPU in force, with so much memory left.

    What was there before, the weights, does not count: it came from the host.
    """
    trainer = build(
        train=TrainConfig(1, 150, **train),
        model=ModelConfig(WIDE),
        optimizer=OptimizerConfig("SGD", {"lr": 0.5}),
        schedule=None,
        loss=None,
        device="cuda:0",
    )
    trainer.loader.transform = None
    trainer.be.gpu.capacity = capacity
    return trainer


@needs.compiler
def test_a_shortage_says_what_is_held_and_what_would_fit(build) -> None:
    with pretended(HostGPU()):
        trainer = limited(build, 150 * KB)
        with pytest.raises(DeviceMemoryError) as caught:
            trainer.fit()
        text = str(caught.value)
        assert text.startswith("train: cuda:0: out of memory: asked for ")
        assert "of 150 kB" in text
        assert "at epoch 1, batch 1" in text
        assert "in the backward pass of 3, held by layer: 1 " in text
        assert re.search(r"1 [\d.]+ kB \([\d.]+ kB parameters, .* [\d.]+ kB kept for", text)
        size, each = map(
            int, re.search(r"size = (\d+) with train.accumulate = (\d+)", text).groups()
        )
        assert (size, each) == (38, 4)
        assert trainer.progress.step == 0

        advised = limited(build, 150 * KB)
        advised.loader.batch_size = size
        advised.config = replace(advised.config, accumulate=each)
        assert advised.fit() is True


@needs.compiler
def test_where_nothing_fits_it_says_so(build) -> None:
    with pretended(HostGPU()):
        with pytest.raises(DeviceMemoryError, match="not even one example at a time fits"):
            limited(build, 25 * KB, auto_accumulate=True).fit()


@needs.compiler
def test_parts_that_fit_make_the_same_step(build) -> None:
    """Sums in another order: a few roundings."""
    found = []
    for memory, switch, expected in ((1 << 30, False, 0), (150 * KB, True, 38)):
        with pretended(HostGPU()):
            trainer = limited(build, memory, auto_accumulate=switch)
            trainer.fit()
            assert trainer.gradients.micro == expected
            found.append((trainer.model.state_dict(), trainer.progress.history))
    (whole, first), (parts, second) = found
    for name, array in whole.items():
        atol = 16 * 2.0**-23 * np.abs(array).max()
        np.testing.assert_allclose(parts[name], array, rtol=0, atol=atol)
    for before, after in zip(first, second, strict=True):
        for figure in ("train_loss", "test_loss"):
            assert after[figure] == pytest.approx(before[figure], rel=1e-6)


class Short(Callback):
    """Pretends that more than `most` examples at a time do not fit, from the third step on."""

    def __init__(self, most: int):
        self.most = most

    def on_start(self, trainer: Trainer) -> None:
        def check(layer: nn.Module, inputs: tuple) -> None:
            late = trainer.progress.step >= 2 and layer.training
            if late and len(inputs[0]) > self.most:
                trainer.model[2].running_mean.array[...] = 7.0  # half done
                raise MemoryError("no room")

        trainer.model[5].register_forward_pre_hook(check)


def test_a_part_that_failed_leaves_no_trace_and_resume_knows_its_size(
    build, config, tmp_path
) -> None:
    parts = {"model": ModelConfig(LAYERS), "train": TrainConfig(2, 32, auto_accumulate=True)}
    through = build([Short(8)], **parts)
    through.fit()
    assert through.gradients.micro == 8
    assert random.counter == 2 + 3 * 4 + 5 * 4 - 1 - 1  # the last batches of 22 are three parts
    assert not (through.model[2].running_mean.array == 7.0).any()

    class Stop(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            trainer.stop = trainer.progress.step == 4

    run = Run.create(tmp_path / "run", replace(config, **parts), 0)
    assert build([run, Short(8), Stop()], **parts).fit() is False
    # The rest of it has memory enough, but goes on with parts of the same size.
    resumed = build([run], **parts)
    run.restore(resumed)
    resumed.fit()
    for name, array in through.model.state_dict().items():
        np.testing.assert_array_equal(array, resumed.model.state_dict()[name])


def test_without_the_switch_a_shortage_ends_the_run(build) -> None:
    parts = {"model": ModelConfig(LAYERS), "train": TrainConfig(2, 32)}
    trainer = build([Short(8)], **parts)
    with pytest.raises(DeviceMemoryError, match=r"no room at epoch 1, batch 3; 8 examples at a"):
        trainer.fit()


def test_a_system_without_memory_is_told_of_as_a_gpu_is(monkeypatch) -> None:
    """What waits to be used again is given up first."""
    limit = 3 << 20
    cache = BufferCache()
    kept = cache.empty((1 << 20,), np.dtype("uint8"))
    del kept
    assert cache.unused == 1 << 20

    def mapped(_: int, size: int, **flags: int) -> mmap.mmap:
        if size + cache.allocated > limit:
            raise OSError(12, "Cannot allocate memory")
        return real(-1, size, **flags)

    real = mmap.mmap
    monkeypatch.setattr(mmap, "mmap", mapped)
    held = cache.empty((5 << 19,), np.dtype("uint8"))
    assert cache.unused == 0
    with pytest.raises(DeviceMemoryError, match=r"cpu: out of memory: asked for 1.05 MB, got: Can"):
        cache.empty((1 << 20,), np.dtype("uint8"))
    del held
