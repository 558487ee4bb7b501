"""Dropout: the mask from an implementation of Philox of its own, in Python's integers."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError
from tests.cases.case import SEED, Case, Invalid, labels, normal

WORD = 2**32


def philox(counter, key):
    """Philox 4x32-10 of Salmon et al., SC 2011, section 3.3, against the known answers of their Random123:

    >>> def show(words):
    ...     return " ".join(f"{word:08x}" for word in words)
    >>> show(philox([0] * 4, [0] * 2))
    '6627e8d5 e169c58d bc57ac4c 9b00dbd8'
    >>> show(philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2))
    '408f276d 41c83b0e a20bc7c6 6d5451fd'
    >>> show(philox([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]))
    'd16cfe09 94fdcceb 5001e420 24126ea1'
    """
    left_0, right_0, left_1, right_1 = counter
    for turn in range(10):
        keys = [
            (k + turn * weyl) % WORD for k, weyl in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True)
        ]
        high_0, low_0 = divmod(0xD2511F53 * left_0, WORD)
        high_1, low_1 = divmod(0xCD9E8D57 * left_1, WORD)
        left_0, right_0, left_1, right_1 = (
            high_1 ^ right_0 ^ keys[0],
            low_1,
            high_0 ^ right_1 ^ keys[1],
            low_0,
        )
    return [left_0, right_0, left_1, right_1]


def mask(size, p, seed, call):
    """Which elements the `call`-th dropout after `manual_seed(seed)` keeps: a word each, four words a block."""
    key = [seed % WORD, seed // WORD]
    words = [
        philox([i // 4 % WORD, i // 4 // WORD, call % WORD, call // WORD], key)[i % 4]
        for i in range(size)
    ]
    return np.array([word >= p * WORD for word in words], bool)


def dropout():
    def formula(x, p=0.5, training=True):
        if not training or p == 0:
            return x
        kept = mask(x.size, p, SEED, call=1).reshape(x.shape)
        return np.where(kept, x / (1 - p) if p < 1 else x, np.zeros_like(x))

    for shape in [(), (1,), (3,), (4,), (31,), (33,), (2, 3, 5), (0,), (2, 0), (16, 16)]:
        yield Case(formula, [normal(*shape)])
    for p in (0.0, 0.1, 0.25, 0.9, 1.0):
        yield Case(formula, [normal(33)], dict(p=p))
    yield Case(formula, [normal(2, 3), 0.5, False])
    for p in (-0.1, 1.5, float("nan")):
        yield Invalid([normal(3), p], {}, ArgumentError, rf"p must be in \[0, 1\], got {p}")
    yield Invalid([labels(2, 3)], {}, DTypeError, "x must be float32 or float64, got int64")
