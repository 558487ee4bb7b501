"""A language model trained by the command on a small text, and what `gpunet generate` writes."""

import hashlib
import io
from dataclasses import replace

import pytest

from gpunet import models
from gpunet.data.catalogue import CATALOGUE
from gpunet.errors import DataError
from gpunet.train import Run

CONFIG = """\
name = "letters"
task = "language_model"

[data]
set = "tinyshakespeare"
length = 16

[model]
kind = "CharLM"
vocab_size = 5
embedding = 8
hidden = 16
num_layers = 1

[optimizer]
kind = "Adam"
lr = 2e-2

[train]
epochs = 3
batch_size = 16
"""
TEXT = "to be\n" * 1200


@pytest.fixture
def text(monkeypatch, tmp_path) -> None:
    """A text of five letters and a new line in the place of Shakespeare's."""
    file = tmp_path / "data" / "tinyshakespeare" / "input.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(TEXT.encode())
    known = replace(
        CATALOGUE["tinyshakespeare"],
        classes=tuple(sorted(set(TEXT))),
        digests={"input.txt": hashlib.sha256(TEXT.encode()).hexdigest()},
    )
    monkeypatch.setitem(CATALOGUE, "tinyshakespeare", known)
    monkeypatch.setenv("GPUNET_DATA", str(tmp_path / "data"))


@pytest.fixture
def run(text, gpunet, tmp_path):
    file = tmp_path / "letters.toml"
    file.write_text(CONFIG.replace("vocab_size = 5", f"vocab_size = {len(set(TEXT))}"))
    done = gpunet("train", file, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert "test loss" in done.out
    assert "perplexity" in done.out
    assert "pictures, open them: learning_curve.png, sample.txt" in done.out
    return tmp_path / "run"


def test_a_run_from_its_text_to_its_writing(run, gpunet, tmp_path, monkeypatch) -> None:
    assert (run / "sample.txt").read_text().count("to be\n") > 60
    done = gpunet("eval", run)
    assert done.status == 0, done.err
    assert done.out.splitlines()[0].split() == ["characters", "read", "loss", "perplexity"]
    assert "(44 windows of 16 characters)" in done.out
    assert gpunet("predict", run, "to be\nt").out.startswith("to be\nt: 'o'\n")
    assert gpunet("report", run).status == 0
    page = (run / "report.html").read_text()
    assert "<h2>Sample</h2>" in page
    assert "LSTM(8, 16, batch_first=True)" in page
    (tmp_path / "data" / "tinyshakespeare" / "input.txt").unlink()  # it is no longer needed

    greedy = ("--length", 8, "--temperature", 0)
    assert gpunet("generate", run, "--prompt", "to", *greedy).out == "to be\nto b\n"
    assert gpunet("generate", run, *greedy).out == "\nto be\nto\n"
    hot = ("generate", run, "--temperature", 2, "--length", 200)
    texts = [gpunet(*hot, *seed).out for seed in ((), ("--seed", 1), ("--seed", 2))]
    assert texts[0] == texts[1] != texts[2]
    assert gpunet(*hot, "--top-k", 1).out == "\n" + TEXT[:200] + "\n"

    for prompt, problem in (
        ("", "error generate: prompt must have at least one character, got none\n"),
        ("not", "error CharVocabulary: token must be in the vocabulary of 6, got 'n'\n"),
    ):
        done = gpunet("generate", run, "--prompt", prompt)
        assert (done.status, done.out, done.err) == (1, "", problem)
    assert "top_k must be at least 1, got 0" in gpunet("generate", run, "--top-k", 0).err

    step, left = models.CharLM.step, iter(range(6))

    def tires(self, tokens, state):
        if next(left, None) is None:
            raise DataError("test", "must not go on")
        return step(self, tokens, state)

    monkeypatch.setattr(models.CharLM, "step", tires)
    done = gpunet("generate", run, "--prompt", "to", *greedy)
    assert (done.status, done.out) == (1, "to be\nt")  # each character was shown as it was drawn


def test_a_talk(run, gpunet, monkeypatch) -> None:
    """What it answers to a line it knows, to one with a letter it never saw, and the end."""
    said = io.StringIO("to be\nnot\nto\n\nnever read")
    monkeypatch.setattr("sys.stdin", said)
    done = gpunet("chat", run, "--temperature", 0, "--length", 9)
    assert done.status == 0
    assert said.read() == "never read"
    assert done.err == "CharVocabulary: token must be in the vocabulary of 6, got 'n'\n"
    assert done.out.strip()
    assert set(done.out) <= set("to be\n")

    read = []
    monkeypatch.setattr(
        "gpunet.train.tasks.LanguageModel.write",
        lambda self, model, classes, prompt, *settings: read.append(prompt) or iter("o be\n\ntoo"),
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("to be\n" * 200))
    assert gpunet("chat", run).out == "o be\n\n" * 200
    assert read[0] == "\n\nto be\n\n"
    assert read[1] == "\n\nto be\n\no be\n\nto be\n\n"
    assert len(read[-1]) == 1000


def test_another_length_is_another_run(run, gpunet) -> None:
    folder = Run.open(run).folder
    file = folder / "config.toml"
    file.write_text(file.read_text().replace("length = 16", "length = 8"))
    done = gpunet("train", "--resume", run)
    assert done.status == 1
    assert "data.length is 8, was 16" in done.err


def test_of_a_run_that_is_no_language_model(gpunet, trained) -> None:
    assert "error chat: the run must be of a language_model" in gpunet("chat", trained.folder).err
    done = gpunet("generate", trained.folder)
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "error generate: the run must be of a language_model, got one of classification; "
        f"{trained.folder}\n"
    )
