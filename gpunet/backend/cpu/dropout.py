"""Dropout with a mask that is computed, not stored, and uniform random numbers.

CUDA twins: kernels/dropout.cu (the same bits of randomness).

Philox 4x32-10 (Salmon et al., SC 2011) turns (seed, counter, element // 4) into four random words.
"""

from __future__ import annotations

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.share import share

COST = 4  # of an element, see `share`
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
# Unsigned: no check for negative indices.
_ONE, _TWO, _THREE, _NINE = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(9)


@kernel(inline=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Ten rounds of Philox 4x32 on 32-bit words held in uint64: counter (c0..c3), key (k0, k1)."""
    for _ in range(10):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _HALF) ^ c1 ^ k0
        c1 = product_1 & _LOW
        c2 = (product_0 >> _HALF) ^ c3 ^ k1
        c3 = product_0 & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@kernel(inline=True)
def _words(block, counter, seed):
    """The four random words of elements 4·block to 4·block + 3."""
    c0, c1, c2, c3 = block & _LOW, block >> _HALF, counter & _LOW, counter >> _HALF
    return philox(c0, c1, c2, c3, seed & _LOW, seed >> _HALF)


@kernel
def _dropout(x, y, start, stop, threshold, scale, seed, counter):
    """For the blocks of four elements from `start` to `stop`; the last one may be short."""
    whole = min(np.uint64(stop), np.uint64(x.size) >> _TWO)
    for block in range(np.uint64(start), whole):  # this loop becomes vector code
        r0, r1, r2, r3 = _words(block, counter, seed)
        i = block << _TWO
        y[i] = x[i] * (scale if r0 >= threshold else 0.0)
        y[i + _ONE] = x[i + _ONE] * (scale if r1 >= threshold else 0.0)
        y[i + _TWO] = x[i + _TWO] * (scale if r2 >= threshold else 0.0)
        y[i + _THREE] = x[i + _THREE] * (scale if r3 >= threshold else 0.0)
    if whole < np.uint64(stop):
        words = _words(whole, counter, seed)
        for lane in range(x.size & 3):
            i = (whole << _TWO) + np.uint64(lane)
            y[i] = x[i] * (scale if words[lane] >= threshold else 0.0)


@kernel
def _uniform(y, low, high, seed, counter):
    for block in range((y.size + 3) >> 2):
        words = _words(np.uint64(block), counter, seed)
        for lane in range(min(4, y.size - 4 * block)):
            part = T(words[lane] >> _NINE) + 0.5
            y[4 * block + lane] = low + (high - low) * (part * 1.1920928955078125e-07)  # 2^-23


@half
def dropout(x: Array, p: float, seed: int, counter: int) -> Array:
    """Zeroes each element with probability p and scales the others by 1 / (1 − p).

    The same call on a gradient is the backward pass. Shapes: x any, C-contiguous; result like x.
    `p` is in [0, 1]; its resolution is 2^-32.
    """
    y = cache.empty(x.shape, x.dtype)
    threshold = np.uint64(round(p * 2**32))
    scale = x.dtype.type(1.0 / (1.0 - p) if p < 1.0 else 0.0)
    blocks, numbers = (x.size + 3) // 4, (threshold, scale, np.uint64(seed), np.uint64(counter))
    flat = x.reshape(-1), y.reshape(-1)
    share(_dropout[x.dtype], flat, blocks, 4, x.dtype, *numbers, cost=COST)
    return y


@half
def uniform(like: Array, low: float, high: float, seed: int, counter: int) -> Array:
    """Uniform random numbers between `low` and `high`, in the shape and dtype of `like`.

    Each is one of the 2^23 middles of equal parts of that range, the same in every dtype but for
    rounding; with `low` 0 and `high` 1, neither end occurs in float32 and float64.
    """
    y = cache.empty(like.shape, like.dtype)
    low, high = like.dtype.type(low), like.dtype.type(high)
    _uniform[y.dtype](y.reshape(-1), low, high, np.uint64(seed), np.uint64(counter))
    return y
