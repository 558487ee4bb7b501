"""Sentences from files: their numbers, their folds, and batches of like lengths."""

import gzip
import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gpunet import data
from gpunet.data import DataLoader, Dataset
from gpunet.data.catalogue import CATALOGUE, Description
from gpunet.errors import ArgumentError
from gpunet.text import END, PADDING, SPECIALS, START, BPEVocabulary, WordVocabulary

BAD = [f"bad film {i} \x96 caf\xe9" for i in range(20)]  # a dash and an e of Windows-1252
GOOD = [f"a good film , number {i}" for i in range(31)]
GERMAN = ["Ein Hund.", "Zwei Männer sitzen.", "Ein Mann und ein Hund."] * 4
ENGLISH = ["A dog.", "Two men are sitting.", "A man and a dog."] * 4


def put(cache, monkeypatch, name: str, files: dict[str, bytes], **described) -> None:
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    monkeypatch.setitem(CATALOGUE, name, Description(shape=(5,), digests=digests, **described))
    (cache / name).mkdir(parents=True)
    for file, content in files.items():
        (cache / name / file).write_bytes(content)


@pytest.fixture
def films(cache, monkeypatch) -> str:
    files = {
        "films.neg": "".join(f"{line}\n" for line in BAD).encode("latin-1"),
        "films.pos": "".join(f"{line}\n" for line in GOOD).encode("latin-1"),
    }
    options = {"format": "sentences", "vocabulary": 20, "folds": 10}
    put(cache, monkeypatch, "films", files, classes=("negative", "positive"), **options)
    return "films"


@pytest.fixture
def dogs(cache, monkeypatch) -> str:
    parts = ("train", GERMAN, ENGLISH), ("test", GERMAN[:2], ENGLISH[:2])
    files = {
        f"{part}.{language}.gz": gzip.compress("".join(f"{line}\n" for line in lines).encode())
        for part, german, english in parts
        for language, lines in (("de", german), ("en", english))
    }
    put(cache, monkeypatch, "dogs", files, classes=(), format="pairs", vocabulary=40)
    return "dogs"


def test_each_sentence_is_in_the_test_set_of_one_fold(films) -> None:
    """And the vocabulary is that of the others, its most frequent words first."""
    places = []
    for fold in range(10):
        train, test = (data.load(films, split, fold=fold) for split in ("train", "test"))
        assert (len(train), len(test)) == (51 - len(test), 5 + (fold == 0))
        assert np.bincount(test.targets).tolist() == [2, 3 + (fold == 0)]
        (words,) = train.vocabularies
        assert isinstance(words, WordVocabulary)
        assert words.tokens == test.vocabularies[0].tokens
        assert words.tokens[:3] == ["<pad>", "<unk>", "film"]
        assert {"–", "café"} <= set(words.tokens)
        assert len(words) == 20
        for loaded in (train, test):
            assert loaded.classes == ("negative", "positive")
            for row, label in zip(loaded.inputs, loaded.targets, strict=True):
                said = words.decode(row[row != PADDING])
                assert said.startswith(("bad film", "a good film")[label])
        places.append({tuple(row) for row in test.inputs.tolist()})
    assert data.load(films, "test").targets.shape == data.load(films, "test", fold=0).targets.shape


def test_every_sentence_is_tested_once(films, monkeypatch) -> None:
    monkeypatch.setitem(CATALOGUE, films, replace(CATALOGUE[films], vocabulary=1000))
    said = []
    for fold in range(10):
        train, test = (data.load(films, split, fold=fold) for split in ("train", "test"))
        (words,) = train.vocabularies
        known = {words.decode(row[row != PADDING]) for row in train.inputs}
        tested = [words.decode(row[row != PADDING]) for row in test.inputs]
        assert not any(one in known for one in tested if "<unk>" not in one)
        said += tested
        assert len(known) == len(train)
    assert len(said) == 51


def test_folds_are_refused(films) -> None:
    with pytest.raises(ArgumentError, match=r"fold must be in 0\.\.9 for films, got 10"):
        data.load(films, "train", fold=10)
    with pytest.raises(ArgumentError, match="fold must be left out for digits, got 0"):
        data.load("digits", "train", fold=0)
    with pytest.raises(ArgumentError, match="length is for a text in windows"):
        data.load(films, "train", length=5)


def test_pairs_are_numbers_of_pieces_between_start_and_end(dogs) -> None:
    for split, count in (("train", 12), ("test", 2)):
        loaded = data.load(dogs, split)
        source, target = loaded.vocabularies
        assert isinstance(source, BPEVocabulary)
        assert source.tokens[:4] == target.tokens[:4] == list(SPECIALS)
        assert loaded.classes == tuple(target.tokens)
        assert len(loaded) == count
        for i, (x, t) in enumerate(zip(loaded.inputs, loaded.targets, strict=True)):
            assert source.decode(x[x != PADDING]) == GERMAN[i]
            first, *middle, last = t[t != PADDING]
            assert (first, last) == (START, END)
            assert target.decode(middle) == ENGLISH[i]


# ---- batches ------------------------------------------------------------------------------------


def texts(count: int = 103, labels: bool = False) -> Dataset:
    """Example i has the token i+1 a random number of times, and so has its target."""
    rng = np.random.default_rng(0)
    arrays = []
    for longest in (20, 15):
        lengths = rng.integers(1, longest + 1, count)
        arrays.append(
            np.where(np.arange(longest) < lengths[:, None], np.arange(count)[:, None] + 1, 0)
        )
    words = WordVocabulary([str(i) for i in range(count + 1)])
    targets = np.arange(count) if labels else arrays[1]
    return Dataset("texts", arrays[0], targets, tuple(words.tokens), (words,) * (2 - labels))


@pytest.mark.parametrize("labels", [False, True], ids=["pairs", "labels"])
@pytest.mark.parametrize("workers", [0, 2])
def test_shuffled_batches_are_of_like_lengths_and_trimmed(labels, workers) -> None:
    some = texts(labels=labels)
    loader = DataLoader(some, 8, shuffle=True, workers=workers)
    epochs = [list(loader) for _ in range(2)]
    for batches in epochs:
        seen = np.concatenate([x[:, 0] for x, _ in batches])
        assert sorted(seen.tolist()) == list(range(1, 104))
        assert sorted(len(x) for x, _ in batches) == [7] + [8] * 12
        spans = []
        for x, t in batches:
            assert (x != 0).any(0).all()  # no column is padding alone
            if labels:
                np.testing.assert_array_equal(x[:, 0], t + 1)
            else:
                assert (t != 0).any(0).all()
                np.testing.assert_array_equal(x[:, 0], t[:, 0])
            rows = x if labels else t
            lengths = (rows != 0).sum(1)
            spans.append((lengths.min(), lengths.max()))
        spans.sort()
        assert all(high <= low for (_, high), (low, _) in pairwise(spans))
    first = [[x.tolist() for x, _ in batches] for batches in epochs]
    assert first[0] != first[1]


def test_without_shuffle_batches_follow_the_set_and_are_trimmed() -> None:
    some = texts()
    for i, (x, t) in enumerate(DataLoader(some, 10)):
        chosen = slice(10 * i, 10 * i + 10)
        for rows, whole in ((x, some.inputs), (t, some.targets)):
            longest = (whole[chosen] != 0).sum(1).max()
            np.testing.assert_array_equal(rows, whole[chosen, :longest])


def test_the_smaller_batch_can_be_left_out_wherever_it_is() -> None:
    loader = DataLoader(texts(), 8, shuffle=True, drop_last=True)
    assert len(loader) == 12
    assert [len(x) for x, _ in loader] == [8] * 12


def test_an_interrupted_epoch_goes_on_with_the_same_batches() -> None:
    through, stopped, resumed = (DataLoader(texts(), 8, shuffle=True, seed=3) for _ in range(3))
    expected = [x.tolist() for x, _ in through]
    for _, _ in zip(range(5), stopped, strict=False):
        pass
    resumed.load_state_dict({"epoch": 0, "position": 5})
    assert [x.tolist() for x, _ in resumed] == expected[5:]


def test_parts_keep_the_vocabularies() -> None:
    some = texts()
    train, held_out = some.split(0.2, seed=1)
    assert train.vocabularies is held_out.vocabularies is some.vocabularies
