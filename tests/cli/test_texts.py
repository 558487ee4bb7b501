"""Sentences from the command line: trained, told of their words, translated, and folds."""

import gzip
import hashlib
import re
import statistics
from dataclasses import replace

import pytest

from gpunet.data.catalogue import CATALOGUE

FILMS = """\
name = "films"
task = "text_classification"

[data]
set = "rt_polarity"

[model]
kind = "TextCNN"
vocab_size = 30
embedding = 8
widths = [1, 2]
channels = 8
dropout = 0.0

[optimizer]
kind = "AdamW"
lr = 2e-2

[train]
epochs = 6
batch_size = 8
"""

CAPTIONS = """\
name = "captions"
task = "translation"

[data]
set = "multi30k"

[model]
kind = "Seq2Seq"
source_vocab = 60
target_vocab = 60
embedding = 16
hidden = 16
attention = 8
dropout = 0.0

[optimizer]
kind = "AdamW"
lr = 2e-2

[train]
epochs = 12
batch_size = 4
"""


def put(folder, monkeypatch, name: str, files: dict[str, bytes], **changes) -> None:
    """Small files in the place of a known data set."""
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], digests=digests, **changes))
    monkeypatch.setenv("GPUNET_DATA", str(folder))
    (folder / name).mkdir(parents=True)
    for file, content in files.items():
        (folder / name / file).write_bytes(content)


@pytest.fixture
def films(tmp_path, monkeypatch):
    """Forty sentences, which one word decides."""
    things = ("film", "plot", "idea", "cast", "end")
    files = {
        f"films.{ending}": "".join(
            f"the {thing} number {i} is {word}\n" for thing in things for i in range(4)
        ).encode()
        for ending, word in (("neg", "bad"), ("pos", "good"))
    }
    put(tmp_path / "data", monkeypatch, "rt_polarity", files, vocabulary=30, folds=4)
    file = tmp_path / "films.toml"
    file.write_text(FILMS)
    return file


def test_the_words_of_a_sentence_decide(gpunet, films, tmp_path) -> None:
    run = tmp_path / "run"
    done = gpunet("train", films, "--out", run)
    assert done.status == 0, done.err
    names = {path.name for path in run.iterdir()}
    assert {"sentences.png", "confusion_matrix.png", "vocabularies.json"} <= names
    for path in (tmp_path / "data" / "rt_polarity").iterdir():
        path.unlink()  # a prediction asks for the run alone
    done = gpunet("predict", run, "the cast is good", "bad!")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert (lines[0], lines[3]) == ("the cast is good: positive", "bad!: negative")
    assert re.fullmatch(r"  positive  █+ +\d+\.\d+%", lines[1])
    done = gpunet("predict", run, "")
    assert (done.status, done.out) == (1, "")
    assert done.err == "error predict: text must have at least one word, got ''\n"


def test_folds(gpunet, films, tmp_path) -> None:
    """A run a fold, each judged on its own part, and their mean."""
    out = tmp_path / "folds"
    done = gpunet("folds", films, "--out", out, "--set", "train.epochs=2")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    values = []
    for i, line in enumerate(lines[:4]):
        found = re.fullmatch(rf"fold  {i + 1} of 4: test accuracy ([\d.]+)%", line)
        values.append(float(found[1]))
        judged = gpunet("eval", out / f"fold-{i}").out
        assert f"accuracy {found[1]}%" in judged
    mean, spread = statistics.mean(values), statistics.stdev(values)
    expected = f"rt_polarity, 4 folds: accuracy {mean:.2f}%, standard deviation {spread:.2f}%"
    assert lines[4].replace("test ", "") == expected
    assert sorted(path.name for path in out.iterdir()) == [f"fold-{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.set=digits", "data.set must be one that has folds, got 'digits'"),
        ("data.fold=2", "data.fold must be left out, got 2"),
    ],
)
def test_folds_refused(gpunet, films, change, message) -> None:
    done = gpunet("folds", films, "--set", change)
    assert done.status == 1
    assert message in done.err


def test_a_translation(gpunet, tmp_path, monkeypatch) -> None:
    pairs = [("Ein Hund.", "A dog."), ("Zwei Hunde.", "Two dogs."), ("Ein Mann.", "A man.")] * 8
    files = {
        f"{part}.{language}.gz": gzip.compress("".join(f"{line}\n" for line in lines).encode())
        for part in ("train", "test")
        for language, lines in zip(("de", "en"), zip(*pairs, strict=True), strict=True)
    }
    put(tmp_path / "data", monkeypatch, "multi30k", files, vocabulary=60)
    (tmp_path / "captions.toml").write_text(CAPTIONS)
    run = tmp_path / "run"
    done = gpunet("train", tmp_path / "captions.toml", "--out", run)
    assert done.status == 0, done.err
    names = {path.name for path in run.iterdir()}
    assert {"attention.png", "translations.txt", "vocabularies.json"} <= names
    done = gpunet("predict", run, "Zwei Hunde.", "Ein Mann.")
    assert done.out == "Zwei Hunde.: Two dogs.\nEin Mann.: A man.\n"
    done = gpunet("predict", run, " ")
    assert (done.status, done.out) == (1, "")
    assert "text must have at least one word, got ' '" in done.err
    assert gpunet("summary", tmp_path / "captions.toml").status == 0
    assert gpunet("report", run).status == 0
