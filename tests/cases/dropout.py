"""Dropout: its mask from an implementation of Philox of its own, in Python's integers."""

import numpy as np

from gpunet.errors import ArgumentError
from tests.cases.case import SEED, Case, Invalid, normal

WORD = 2**32
OTHERS = "it draws other numbers"
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85


def philox(counter, key):
    """Philox 4x32-10 of Salmon et al., SC 2011; below, the known answers of their Random123.

    >>> def show(words):
    ...     print(*(f"{word:08x}" for word in words))
    >>> show(philox([0, 0, 0, 0], [0, 0]))
    6627e8d5 e169c58d bc57ac4c 9b00dbd8
    >>> show(philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2))
    408f276d 41c83b0e a20bc7c6 6d5451fd
    >>> show(philox([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]))
    d16cfe09 94fdcceb 5001e420 24126ea1
    """
    for turn in range(10):
        k = [(word + turn * step) % WORD for word, step in zip(key, WEYL, strict=True)]
        (high_0, low_0), (high_1, low_1) = (
            divmod(m * c, WORD) for m, c in zip(MULTIPLIERS, counter[::2], strict=True)
        )
        counter = [high_1 ^ counter[1] ^ k[0], low_1, high_0 ^ counter[3] ^ k[1], low_0]
    return counter


def words(size, seed, call):
    """Those of the `call`-th draw after a seed: element i has word i % 4 of block i // 4."""
    key = [seed % WORD, seed // WORD]
    return [philox([i // 4, 0, call, 0], key)[i % 4] for i in range(size)]


def mask(size, p, seed, call):
    """What the `call`-th dropout after a seed keeps."""
    return np.array([word >= p * WORD for word in words(size, seed, call)], bool)


def uniform(size, seed, call):
    """The middles of 2^23 equal parts of (0, 1)."""
    return np.array([(word // 2**9 + 0.5) / 2**23 for word in words(size, seed, call)], float)


def dropout():
    def formula(x, p=0.5, training=True):
        if not training or p == 0:
            return x
        kept = mask(x.size, p, SEED, call=1).reshape(x.shape)
        return np.where(kept, x / (1 - p), 0) if p < 1 else 0 * x

    for shape in [(), (1,), (3,), (4,), (31,), (33,), (2, 3, 5), (0,), (2, 0), (16, 16)]:
        yield Case(formula, [normal(*shape)], unlike_torch=OTHERS)
    for p in (0.0, 0.1, 0.25, 0.9, 1.0):
        yield Case(formula, [normal(33)], dict(p=p), unlike_torch=OTHERS * (0 < p < 1))
    yield Case(formula, [normal(2, 3)], dict(training=False))
    for p in (-0.1, 1.5, float("nan")):
        yield Invalid([normal(3), p], ArgumentError, f"p must be in [0, 1], got {p}")
