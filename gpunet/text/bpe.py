"""Byte-pair encoding: pieces of words, learned from how often they stand side by side."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from gpunet.errors import ArgumentError, DataError
from gpunet.text.vocabulary import Vocabulary

SPACE = "▁"  # stands for the space before a word, as in SentencePiece
_WORD = re.compile(rf"{SPACE}?\w+|{SPACE}?[^\w{SPACE}]+|{SPACE}")

Pair = tuple[str, str]


class BPEVocabulary(Vocabulary):
    """Pieces of words: frequent words are one token, rare ones several, down to characters.

    A word takes the space before it along, so a text comes back as it was, but for spaces in a row,
    at its ends, and other white space, which are single spaces or none. Characters that were not
    there when it was learned are `unknown`.

    Args:
        tokens: characters and pieces, a piece after those that it was put together from.
        unknown: one of them that stands for all others.

    Source: Sennrich et al., Neural machine translation of rare words with subword units,
    arXiv:1508.07909, section 3.2.

    >>> pieces = BPEVocabulary.of("low lower lowest slow slower", size=14)
    >>> pieces.split("slow lowest")
    ['▁s', 'low', '▁', 'lowe', 's', 't']
    >>> pieces.decode(pieces.encode("slow  lowest"))
    'slow lowest'
    """

    def __init__(self, tokens: Iterable[str], unknown: str | None = None):
        super().__init__(tokens, unknown)
        self._pieces: dict[str, list[str]] = {}  # of the words seen so far

    @classmethod
    def of(
        cls, text: str, size: int, unknown: str | None = None, specials: Sequence[str] = ()
    ) -> BPEVocabulary:
        """Learns from a text: `specials`, `unknown`, its characters, then the pieces by merging.

        Of all pairs of tokens within words, the most frequent becomes a token, again and again,
        until there are `size`, or no pair comes twice.

        Raises:
            DataError: a text without a word. ArgumentError: `size` is less than the characters.
        """
        counts = Counter(_WORD.findall(_marked(text)))
        if not counts:
            raise DataError(cls.__name__, "text must have at least one word, got none")
        first = list(dict.fromkeys([*specials, *([] if unknown is None else [unknown])]))
        tokens = list(dict.fromkeys([*first, *sorted(set("".join(counts)))]))
        if size < len(tokens):
            rule = f"size must be at least the {len(tokens)} characters and specials, got {size}"
            raise ArgumentError(cls.__name__, rule)
        _learn(counts, tokens, size)
        return cls(tokens, unknown)

    def split(self, text: str) -> Sequence[str]:
        tokens: list[str] = []
        for word in _WORD.findall(_marked(text)):
            if word not in self._pieces:
                self._pieces[word] = self._merge(word)
            tokens += self._pieces[word]
        return tokens

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens).replace(SPACE, " ").strip()

    def words(self, tokens: Sequence[str]) -> list[int]:
        return [i for i, token in enumerate(tokens) if not i or token.startswith(SPACE)]

    def _merge(self, word: str) -> list[str]:
        """The pieces of a word: pairs that are a token are put together, the oldest token first."""
        pieces, last = list(word), len(self)
        while len(pieces) > 1:
            ages = [self._numbers.get(a + b, last) for a, b in pairwise(pieces)]
            at = min(range(len(ages)), key=ages.__getitem__)
            if ages[at] == last:
                break
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        return pieces


def _marked(text: str) -> str:
    """With the marks of spaces, one before the first word, too."""
    return "".join(SPACE + word for word in text.split())


def _learn(counts: Counter[str], tokens: list[str], size: int) -> None:
    """Adds pieces to `tokens` until there are `size`. Only words that have the pair are touched."""
    words = [(list(word), count) for word, count in counts.items()]
    frequency: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for i, (pieces, times) in enumerate(words):
        for pair in pairwise(pieces):
            frequency[pair] += times
            where[pair].add(i)
    known = set(tokens)
    queue = [(-count, pair) for pair, count in frequency.items()]
    heapify(queue)
    while queue and len(tokens) < size:
        count, pair = heappop(queue)
        if -count != frequency[pair]:  # an entry from before the count changed
            continue
        if -count < 2:
            return
        piece = pair[0] + pair[1]
        if piece not in known:
            known.add(piece)
            tokens.append(piece)
        changed: set[Pair] = set()
        for i in where.pop(pair):
            pieces, times = words[i]
            for neighbours, more in _put_together(pieces, pair):
                frequency[neighbours] += more * times
                changed.add(neighbours)
                if more > 0:
                    where[neighbours].add(i)
        for one in changed:
            heappush(queue, (-frequency[one], one))


def _put_together(pieces: list[str], pair: Pair) -> Iterator[tuple[Pair, int]]:
    """Makes each occurrence of a pair one piece, from the left; tells which pairs go and come."""
    i = 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) == pair:
            around = slice(max(i - 1, 0), i + 3)
            yield from ((one, -1) for one in pairwise(pieces[around]))
            pieces[i : i + 2] = [pair[0] + pair[1]]
            around = slice(max(i - 1, 0), i + 2)
            yield from ((one, +1) for one in pairwise(pieces[around]))
        i += 1
