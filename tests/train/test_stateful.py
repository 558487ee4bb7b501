"""Truncated backpropagation through time: the state goes on, the gradient ends, a stop is exact."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest

import gpunet
from gpunet import backend, models, nn
from gpunet import functional as F
from gpunet.data import DataLoader, Dataset
from gpunet.data.catalogue import CATALOGUE
from gpunet.errors import ArgumentError, ConfigError, NonFiniteError
from gpunet.optim import SGD
from gpunet.train import Trainer
from gpunet.train.build import build_task, build_trainer
from gpunet.train.config import TrainConfig, load
from gpunet.train.tasks import LanguageModel
from gpunet.train.verify import verify_resume

LETTERS = tuple("\nabc")
LENGTH, PARTS = 5, 4


def text(windows: int) -> Dataset:
    tokens = np.random.default_rng(windows).integers(0, 4, windows * LENGTH + 1)
    rows = (windows, LENGTH)
    return Dataset("text", tokens[:-1].reshape(rows), tokens[1:].reshape(rows), LETTERS)


def small() -> models.CharLM:
    gpunet.manual_seed(0)
    return models.CharLM(4, 5, 6, 2)


# --- the order of windows


@pytest.mark.parametrize("windows", [4, 11, 12, 13, 23])
def test_each_window_follows_the_one_in_its_place(windows) -> None:
    data = text(windows)
    batches = list(DataLoader(data, PARTS, consecutive=True))
    assert len(batches) == len(DataLoader(data, PARTS)) == -(-windows // PARTS)
    read = [np.concatenate([x[i] for x, _ in batches if i < len(x)]) for i in range(PARTS)]
    np.testing.assert_array_equal(np.concatenate(read)[: data.inputs.size], data.inputs.ravel())
    assert sum(len(x) for x, _ in batches) == windows
    assert all(len(a[0]) >= len(b[0]) for a, b in itertools.pairwise(batches))


@pytest.mark.parametrize("option", ["shuffle", "drop_last"])
def test_consecutive_windows_are_not_shuffled_or_left_out(option) -> None:
    with pytest.raises(ArgumentError, match="consecutive must be without shuffle and drop_last"):
        DataLoader(text(9), 2, consecutive=True, **{option: True})


# --- training


def make(windows: int, accumulate: int = 1, epochs: int = 2, stateful: bool = True) -> Trainer:
    model = small()
    return Trainer(
        LanguageModel(stateful=stateful),
        model,
        SGD(model.parameters(), lr=0.5),
        DataLoader(text(windows), PARTS, consecutive=True),
        ("test", text(21)),
        TrainConfig(epochs, PARTS, accumulate=accumulate, stateful=True),
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_is_a_loop_by_hand(accumulate) -> None:
    """12 windows: three batches of four, in two epochs, each of which begins without a state."""
    trainer = make(12, accumulate)
    trainer.fit()
    data, net = text(12), small()
    optimizer = SGD(net.parameters(), lr=0.5)
    for _ in range(2):
        h = c = np.zeros((2, PARTS, 6), np.float32)
        batches = [[3 * part + k for part in range(PARTS)] for k in range(3)]
        steps = [batches[i : i + accumulate] for i in range(0, 3, accumulate)]
        for step in steps:
            optimizer.zero_grad()
            for rows in step:
                state = gpunet.tensor(h), gpunet.tensor(c)
                y, state = net.lstm(net.embedding(gpunet.tensor(data.inputs[rows])), state)
                h, c = (s.detach().numpy().copy() for s in state)
                scores = net.scores(y).reshape(-1, 4)
                loss = F.cross_entropy(scores, gpunet.tensor(data.targets[rows].reshape(-1)))
                (loss / len(step)).backward()
            optimizer.step()
    for (name, p), q in zip(trainer.model.named_parameters(), net.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-6, err_msg=name)


def test_the_state_makes_a_difference_and_parts_may_end_sooner() -> None:
    """Ten windows: parts of 3, 3, 3 and 1."""
    trainer = make(10, epochs=1)
    assert trainer.fit()
    assert trainer.gradients.carried[0].shape == (2, 3, 6)
    assert not trainer.gradients.carried[0].requires_grad
    plain = make(10, epochs=1, stateful=False)
    assert plain.fit()
    assert plain.gradients.carried is None
    a, b = (t.progress.history[0]["train_loss"] for t in (trainer, plain))
    assert a != b


def test_it_is_judged_with_its_memory() -> None:
    """21 windows in ten parts: seven of three, the others are empty."""
    net, data = small().eval(), text(21)
    result = LanguageModel(stateful=True).evaluate(net, data, backend.cpu)
    losses = np.zeros(LENGTH)
    for part in range(7):
        rows = slice(3 * part, 3 * part + 3)
        with gpunet.no_grad():
            scores = net(gpunet.tensor(data.inputs[rows].reshape(1, -1)))[0]
        each = F.cross_entropy(scores, gpunet.tensor(data.targets[rows].ravel()), reduction="none")
        losses += each.numpy().reshape(3, LENGTH).sum(0) / 21
    np.testing.assert_allclose(result.outputs, losses, rtol=1e-5)
    assert result.figures["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    plain = LanguageModel().evaluate(net, data, backend.cpu)
    assert plain.figures["loss"] != pytest.approx(losses.mean(), rel=1e-5)


def test_a_nan_is_found_from_the_state_it_came_from() -> None:
    trainer = make(12)

    class Spoils(SGD):
        def step(self, closure=None):
            result = super().step(closure)
            if trainer.progress.step == 1:
                trainer.model.scores.bias.array[1] = np.nan
            return result

    trainer.optimizer = Spoils(trainer.model.parameters(), lr=0.5)
    with pytest.raises(NonFiniteError, match=r"at epoch 1, batch 3; .*scores\.bias"):
        trainer.fit()


# --- by configuration

CONFIG = """\
name = "letters"
task = "language_model"

[data]
set = "tinyshakespeare"
length = 8

[model]
kind = "CharLM"
vocab_size = 6
embedding = 6
hidden = 8
num_layers = 2
dropout = 0.2

[optimizer]
kind = "Adam"
lr = 1e-2

[train]
epochs = 2
batch_size = 3
stateful = true
"""
TEXT = "to be\n" * 60


@pytest.fixture
def config(monkeypatch, tmp_path):
    file = tmp_path / "tinyshakespeare" / "input.txt"
    file.parent.mkdir()
    file.write_bytes(TEXT.encode())
    known = replace(
        CATALOGUE["tinyshakespeare"],
        classes=tuple(sorted(set(TEXT))),
        digests={"input.txt": hashlib.sha256(TEXT.encode()).hexdigest()},
    )
    monkeypatch.setitem(CATALOGUE, "tinyshakespeare", known)
    monkeypatch.setenv("GPUNET_DATA", str(tmp_path))
    (tmp_path / "letters.toml").write_text(CONFIG)
    return tmp_path / "letters.toml"


def test_a_stop_changes_no_bit(config) -> None:
    """Forty windows, fourteen batches an epoch: stopped within both, and between them."""
    assert verify_resume(load(config), backend.cpu, 20, [3, 14, 17]) == []


def test_a_stop_that_forgets_the_state_is_found_out(config, monkeypatch) -> None:
    monkeypatch.setattr("gpunet.train.run.checkpoint.carried", lambda saved, be: None)
    assert verify_resume(load(config), backend.cpu, 6, [3]) != []


def test_refused(config) -> None:
    good = load(config)
    with pytest.raises(
        ConfigError, match=r"letters: train\.stateful is for language models, got c"
    ):
        build_task(replace(good, task="classification"))
    parts = replace(good, train=replace(good.train, auto_accumulate=True))
    with pytest.raises(ConfigError, match=r"train\.stateful cannot be with train\.auto_accumulate"):
        build_task(parts)
    held_out = replace(good, data=replace(good.data, validation=0.1))
    with pytest.raises(ConfigError, match=r"train\.stateful needs data\.validation = 0"):
        build_task(held_out)
    model = nn.Sequential(nn.Embedding(6, 4))
    with pytest.raises(ConfigError, match=r"needs a model with read\(tokens, state\), got Seque"):
        build_trainer(good, model, text(9), ("test", text(9)))
