"""BLEU beside its formula, and what is said where the package for it is missing."""

import math
import sys

import pytest

from gpunet import text
from gpunet.errors import ArgumentError, MissingPackageError


def test_the_formula() -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed: BLEU NOT tested")
    # Of the 7 words 6 are in the reference, of the 6 pairs 4, of the 5 triples 3, of the 4 fours 2.
    said, meant = "the cat sat on the mat quietly", "the cat sat on the big mat today"
    pairs = {"the cat", "cat sat", "sat on", "on the"}
    assert all(pair in meant for pair in pairs)
    expected = 100 * math.exp(1 - 8 / 7) * (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25
    assert text.bleu([said], [meant]) == pytest.approx(expected, rel=1e-9)
    assert text.bleu([said.upper()], [meant]) == pytest.approx(expected, rel=1e-9)
    assert text.bleu([said.upper()], [meant], lowercase=False) < 5
    assert text.bleu([meant, said], [meant, said]) == pytest.approx(100)


def test_refused() -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed: BLEU NOT tested")
    with pytest.raises(ArgumentError, match="there must be one reference a translation, got 0"):
        text.bleu([], [])
    with pytest.raises(ArgumentError, match="got 1 for 2"):
        text.bleu(["a", "b"], ["a"])


def test_without_the_package_it_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingPackageError, match=r"needs sacrebleu.*pip install 'gpunet\[text\]'"):
        text.bleu(["a"], ["a"])
