"""Texts in windows, sentences with a label each or with their translations: numbers in an array."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from gpunet.data.catalogue import describe
from gpunet.data.dataset import Dataset
from gpunet.errors import ArgumentError
from gpunet.text import (
    END,
    SPECIALS,
    START,
    UNKNOWN,
    BPEVocabulary,
    CharVocabulary,
    Vocabulary,
    WordVocabulary,
    pad,
)

ENCODING = "cp1252"  # of the sentences with labels


def windows(name: str, text: str, characters: tuple[str, ...], length: int, split: str) -> Dataset:
    """A text in windows that follow one another, and the characters that come next.

    The first 9/10 are to train on. What is left at the end is less than a window.
    """
    border = 9 * len(text) // 10
    part = text[:border] if split == "train" else text[border:]
    if not 1 <= length < len(part):
        rule = f"length must be at least 1 and less than the {len(part):,} characters"
        raise ArgumentError("load", f"{rule} of {name!r}, {split}, got {length}")
    tokens = CharVocabulary(characters).encode(part)
    end = (len(tokens) - 1) // length * length
    inputs, targets = tokens[:end], tokens[1 : end + 1]
    return Dataset(name, inputs.reshape(-1, length), targets.reshape(-1, length), characters)


def sentences(name: str, split: str, contents: Sequence[bytes], fold: int) -> Dataset:
    """A file a class, a sentence a line; each class is shared out over the folds at random."""
    known = describe(name)
    train: list[tuple[str, int]] = []
    test: list[tuple[str, int]] = []
    for label, content in enumerate(contents):
        lines = content.decode(ENCODING).splitlines()
        order = np.random.Generator(np.random.Philox(label)).permutation(len(lines))
        for place, i in enumerate(order):
            part = test if place % known.folds == fold else train
            part.append((lines[i], label))
    vocabulary = _words("\n".join(line for line, _ in train), known.vocabulary)
    chosen = train if split == "train" else test
    inputs, _ = pad([vocabulary.encode(line) for line, _ in chosen])
    labels = np.array([label for _, label in chosen], np.int64)
    return Dataset(name, inputs, labels, known.classes, (vocabulary,))


def pairs(name: str, split: str, contents: Sequence[bytes]) -> Dataset:
    """Files of sources and targets to train on, and of those to test on, a sentence a line."""
    files = [gzip.decompress(content).decode() for content in contents]
    source, target = (_pieces(text, describe(name).vocabulary) for text in files[:2])
    chosen = files[:2] if split == "train" else files[2:]
    inputs, _ = pad([source.encode(line) for line in chosen[0].splitlines()])
    targets, _ = pad([[START, *target.encode(line), END] for line in chosen[1].splitlines()])
    return Dataset(name, inputs, targets, tuple(target.tokens), (source, target))


@lru_cache(8)
def _pieces(text: str, size: int) -> Vocabulary:
    return BPEVocabulary.of(text, size, SPECIALS[UNKNOWN], SPECIALS)


@lru_cache(2)
def _words(text: str, size: int) -> Vocabulary:
    return WordVocabulary.of(text, SPECIALS[UNKNOWN], SPECIALS[:2], size=size)
