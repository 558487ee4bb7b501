"""Vocabularies written down and read again."""

from __future__ import annotations

import json
from collections.abc import Iterable

from gpunet.errors import DataError
from gpunet.text.bpe import BPEVocabulary
from gpunet.text.vocabulary import CharVocabulary, Vocabulary, WordVocabulary

KINDS = {kind.__name__: kind for kind in (BPEVocabulary, CharVocabulary, WordVocabulary)}


def to_json(vocabularies: Iterable[Vocabulary]) -> str:
    """The kind and the tokens of each, to be read by `from_json`; not of a `ByteVocabulary`."""
    tables = [
        {"kind": type(one).__name__, "unknown": one.unknown, "tokens": one.tokens}
        for one in vocabularies
    ]
    return json.dumps(tables, ensure_ascii=False, indent=0) + "\n"


def from_json(text: str) -> tuple[Vocabulary, ...]:
    """The vocabularies that `to_json` wrote.

    Raises:
        DataError: the text is something else.

    >>> letters, = from_json(to_json([CharVocabulary.of("hello")]))
    >>> letters.encode("hole").tolist()
    [1, 3, 2, 0]
    """
    try:
        tables = json.loads(text)
        return tuple(KINDS[table["kind"]](table["tokens"], table["unknown"]) for table in tables)
    except (KeyError, TypeError, ValueError) as error:
        rule = "text must be vocabularies as to_json writes them"
        raise DataError("from_json", f"{rule}, got {type(error).__name__}: {error}") from error
