"""Byte pairs, held against merging done the slow way, and texts that come back as they were."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from gpunet import text
from gpunet.errors import ArgumentError, DataError

SPECIALS = ("<pad>", "<unk>")
LINES = (
    "low lower lowest, slow slower slowest; the lowlands are slow.",
    "a mouse and a house, a house and a mouse: the mouse's house is the lowest.",
    "über die Größe von Mäusen, t-shirts und Häusern! aaa aaaa aaaaa",
)


def learned_slowly(words: list[str], size: int) -> list[str]:
    """Everything counted anew for each token; of pairs that are as frequent, the first in order."""
    tokens = sorted(set("".join(words)))
    pieces = [list(word) for word in words]
    while len(tokens) < size:
        counts = Counter(pair for row in pieces for pair in pairwise(row))
        (a, b), times = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if times < 2:
            break
        if a + b not in tokens:
            tokens.append(a + b)
        for row in pieces:
            i = 0
            while i < len(row) - 1:
                if (row[i], row[i + 1]) == (a, b):
                    row[i : i + 2] = [a + b]
                i += 1
    return tokens


@pytest.mark.parametrize("size", [40, 60, 90, 1000])
def test_the_most_frequent_pair_is_merged_again_and_again(size) -> None:
    words = [f"▁{word}" for line in LINES for word in line.replace(",", "").split()]
    plain = "".join(char if char.isalnum() or char in "▁" else " " for char in " ".join(words))
    got = text.BPEVocabulary.of(plain.replace("▁", ""), size)
    assert got.tokens == learned_slowly(
        ["▁" + word for word in plain.replace("▁", "").split()], size
    )


@pytest.mark.parametrize("size", [44, 60, 100])
def test_texts_come_back(size) -> None:
    pieces = text.BPEVocabulary.of("\n".join(LINES), size, "<unk>", SPECIALS)
    assert len(pieces) <= size
    assert pieces.tokens[:2] == list(SPECIALS)
    for line in LINES:
        numbers = pieces.encode(line)
        assert numbers.dtype == np.int64
        assert numbers.min() > 1
        assert pieces.decode(numbers) == line
    assert pieces.decode(pieces.encode("  the\tmouse \n sees ")) == "the mouse sees"
    assert len(pieces.encode("")) == 0


def test_larger_vocabularies_make_shorter_texts() -> None:
    lengths = [
        len(text.BPEVocabulary.of("\n".join(LINES), n).encode(LINES[1])) for n in (44, 60, 99)
    ]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]


def test_unknown_characters() -> None:
    open_, closed = text.BPEVocabulary.of("abc", 9, "<unk>"), text.BPEVocabulary.of("abc", 9)
    assert open_.decode(open_.encode("aλc")) == "a<unk>c"
    with pytest.raises(DataError, match="token must be in the vocabulary of 4, got 'λ'"):
        closed.encode("aλc")


def test_where_words_begin() -> None:
    pieces = text.BPEVocabulary.of("\n".join(LINES), 60)
    tokens = pieces.split("the lowlands are slow")
    starts = pieces.words(tokens)
    cuts = zip(starts, [*starts[1:], len(tokens)], strict=True)
    assert [pieces.join(tokens[i:k]) for i, k in cuts] == ["the", "lowlands", "are", "slow"]
    assert text.WordVocabulary.of("a b").words(["a", "b"]) == [0, 1]


def test_refused() -> None:
    with pytest.raises(DataError, match="text must have at least one word, got none"):
        text.BPEVocabulary.of(" \n ", 9)
    with pytest.raises(ArgumentError, match="size must be at least the 6 characters and specials"):
        text.BPEVocabulary.of("abc", 5, "<unk>", SPECIALS)


@pytest.mark.parametrize(
    "vocabulary",
    [
        text.BPEVocabulary.of(LINES[2], 60, "<unk>", SPECIALS),
        text.WordVocabulary.of(LINES[2], "<unk>"),
        text.CharVocabulary.of(LINES[2]),
    ],
    ids=["bpe", "words", "characters"],
)
def test_written_down_and_read_again(vocabulary) -> None:
    again, other = text.from_json(text.to_json([vocabulary, text.CharVocabulary("ab")]))
    assert type(again) is type(vocabulary)
    assert (again.tokens, again.unknown) == (vocabulary.tokens, vocabulary.unknown)
    np.testing.assert_array_equal(again.encode(LINES[2]), vocabulary.encode(LINES[2]))
    assert other.tokens == ["a", "b"]


@pytest.mark.parametrize("content", ["", "{}x", '[{"kind": "Other"}]', "[1]", '[{"tokens": []}]'])
def test_what_is_no_vocabulary_is_refused(content) -> None:
    with pytest.raises(DataError, match="text must be vocabularies as to_json writes them"):
        text.from_json(content)


def test_trimming() -> None:
    rows = np.array([[1, 0, 2, 0, 0], [3, 4, 0, 0, 0]])
    assert text.trim(rows).tolist() == [[1, 0, 2], [3, 4, 0]]
    assert text.trim(rows, value=7) is not rows
    assert text.trim(rows, value=7).tolist() == rows.tolist()
    assert text.trim(np.zeros((2, 3), int)).shape == (2, 1)


def test_at_most_so_many_words() -> None:
    words = text.WordVocabulary.of("b a b c c c", "<unk>", SPECIALS, size=4)
    assert words.tokens == ["<pad>", "<unk>", "c", "b"]
