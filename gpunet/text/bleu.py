"""How much a translation is like that of a person."""

from __future__ import annotations

from collections.abc import Sequence

from gpunet.errors import ArgumentError, MissingPackageError


def bleu(translations: Sequence[str], references: Sequence[str], lowercase: bool = True) -> float:
    """BLEU of a set of translations against one reference each, from 0 to 100, by `sacrebleu`.

    100 · b · (p₁p₂p₃p₄)^¼ with pₙ the share of the translations' runs of n words that are in the
    reference, and b = exp(1 − r/c) where the references, r words, are longer than the translations,
    c words, else 1. Words are those of its tokenizer "13a".

    Args:
        lowercase: whether capital letters count as small ones.

    Raises:
        MissingPackageError: sacrebleu is not installed. ArgumentError: not as many references.

    Source: Papineni et al., BLEU, ACL 2002; Post, A call for clarity, arXiv:1804.08771.
    """
    try:
        from sacrebleu import corpus_bleu
    except ImportError as error:
        how = "pip install 'gpunet[text]'"
        rule = f"BLEU needs sacrebleu, which is missing: {how}"
        raise MissingPackageError("bleu", rule) from error
    if len(translations) != len(references) or not references:
        rule = f"there must be one reference a translation, got {len(references)}"
        raise ArgumentError("bleu", f"{rule} for {len(translations)}")
    return corpus_bleu(list(translations), [list(references)], lowercase=lowercase).score
