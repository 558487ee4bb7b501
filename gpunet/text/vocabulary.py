"""What the tokens of a text are, and their numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gpunet.errors import ArgumentError, DataError

Array = Any  # numpy.ndarray


class Vocabulary:
    """Tokens and their numbers, from 0 in the order given.

    Args:
        tokens: all of them, each once.
        unknown: one of them that stands for all others; without it, others are refused.

    Raises:
        DataError: there are no tokens, or one comes twice. ArgumentError: `unknown` is none of
            them.
    """

    def __init__(self, tokens: Iterable[str], unknown: str | None = None):
        self.tokens, self.unknown = list(tokens), unknown
        self._numbers = {token: i for i, token in enumerate(self.tokens)}
        name = type(self).__name__
        if not self.tokens:
            raise DataError(name, "tokens must be at least one, got none (an empty text?)")
        if len(self._numbers) < len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise DataError(name, f"tokens must come once each, got {twice!r} twice")
        if unknown is not None and unknown not in self._numbers:
            raise ArgumentError(name, f"unknown must be one of the tokens, got {unknown!r}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._numbers

    def number(self, token: str) -> int:
        """The number of a token."""
        found = self._numbers.get(token)
        if found is None and self.unknown is not None:
            found = self._numbers[self.unknown]
        if found is None:
            rule = f"token must be in the vocabulary of {len(self)}, got {token!r}"
            raise DataError(type(self).__name__, rule)
        return found

    def split(self, text: str) -> Sequence[str]:
        """The tokens of a text."""
        raise NotImplementedError

    def join(self, tokens: Sequence[str]) -> str:
        """The text of tokens."""
        raise NotImplementedError

    def words(self, tokens: Sequence[str]) -> list[int]:
        """Where the words begin that tokens make up; here, each token is one."""
        return list(range(len(tokens)))

    def encode(self, text: str) -> Array:
        """The numbers of a text's tokens, int64."""
        return np.array([self.number(token) for token in self.split(text)], np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of numbers."""
        tokens = []
        for number in numbers:
            if not 0 <= number < len(self):
                rule = f"numbers must be in [0, {len(self)}), got {number}"
                raise ArgumentError(type(self).__name__, rule)
            tokens.append(self.tokens[int(number)])
        return self.join(tokens)


class CharVocabulary(Vocabulary):
    """Characters.

    >>> letters = CharVocabulary.of("hello")
    >>> letters.tokens, letters.encode("hole").tolist()
    (['e', 'h', 'l', 'o'], [1, 3, 2, 0])
    """

    @classmethod
    def of(cls, text: str) -> CharVocabulary:
        """The characters of a text, in the order of their code points."""
        return cls(sorted(set(text)))

    def split(self, text: str) -> Sequence[str]:
        return text

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)


class WordVocabulary(Vocabulary):
    """Words and marks of punctuation; what is between them is lost, and decoded as one space.

    >>> words = WordVocabulary.of("No, no!", unknown="<unk>")
    >>> words.tokens, words.decode(words.encode("no, thanks"))
    (['<unk>', '!', ',', 'No', 'no'], 'no , <unk>')
    """

    @classmethod
    def of(
        cls,
        text: str,
        unknown: str | None = None,
        specials: Sequence[str] = (),
        min_count: int = 1,
        size: int | None = None,
    ) -> WordVocabulary:
        """`specials` and `unknown` first, then the words that occur `min_count` times, by count.

        There are at most `size` tokens, if that is given.
        """
        first = list(dict.fromkeys([*specials, *([] if unknown is None else [unknown])]))
        counts = Counter(_WORD.findall(text))
        if not counts:
            raise DataError(cls.__name__, "text must have at least one word, got none")
        words = sorted(counts, key=lambda word: (-counts[word], word))
        kept = [word for word in words if counts[word] >= min_count and word not in first]
        return cls([*first, *kept][:size], unknown)

    def split(self, text: str) -> Sequence[str]:
        return _WORD.findall(text)

    def join(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens)


_WORD = re.compile(r"\w+|[^\w\s]")


class ByteVocabulary(Vocabulary):
    """The 256 bytes of UTF-8: any text, no token unknown.

    >>> ByteVocabulary().encode("né").tolist()
    [110, 195, 169]
    """

    def __init__(self) -> None:
        super().__init__([chr(i) for i in range(256)])

    def split(self, text: str) -> Sequence[str]:
        return text.encode().decode("latin-1")

    def join(self, tokens: Sequence[str]) -> str:
        """The text; bytes that are no UTF-8 become the sign for that."""
        return "".join(tokens).encode("latin-1").decode(errors="replace")
