"""Dropout with a mask that is computed, not stored. CUDA twin: kernels/dropout.cu (the same bits).

Philox 4x32-10 (Salmon et al., SC 2011) turns (seed, counter, element // 4) into four random words.
"""

from __future__ import annotations

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import kernel
from gpunet.backend.cpu.memory import cache

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE, _TWO, _THREE = (
    np.uint64(1),
    np.uint64(2),
    np.uint64(3),
)  # unsigned: no check for negative indices


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


@kernel
def _dropout(x, y, threshold, scale, seed, counter):
    k0, k1 = seed & _LOW, seed >> _HALF
    c2, c3 = counter & _LOW, counter >> _HALF
    blocks = np.uint64(x.size) >> _TWO
    for block in range(blocks):  # four elements at a time: this loop becomes vector code
        r0, r1, r2, r3 = philox(block & _LOW, block >> _HALF, c2, c3, k0, k1)
        i = block << _TWO
        y[i] = x[i] * (scale if r0 >= threshold else 0.0)
        y[i + _ONE] = x[i + _ONE] * (scale if r1 >= threshold else 0.0)
        y[i + _TWO] = x[i + _TWO] * (scale if r2 >= threshold else 0.0)
        y[i + _THREE] = x[i + _THREE] * (scale if r3 >= threshold else 0.0)
    words = philox(blocks & _LOW, blocks >> _HALF, c2, c3, k0, k1)
    for lane in range(x.size & 3):
        i = (blocks << _TWO) + np.uint64(lane)
        y[i] = x[i] * (scale if words[lane] >= threshold else 0.0)


@half
def dropout(x: Array, p: float, seed: int, counter: int) -> Array:
    """Zeroes each element with probability p and scales the others by 1 / (1 − p).

    The same call on a gradient is the backward pass. Shapes: x any, C-contiguous; result like x.
    `p` is in [0, 1]; its resolution is 2^-32.
    """
    y = cache.empty(x.shape, x.dtype)
    threshold = np.uint64(round(p * 2**32))
    scale = x.dtype.type(1.0 / (1.0 - p) if p < 1.0 else 0.0)
    _dropout[x.dtype](
        x.reshape(-1), y.reshape(-1), threshold, scale, np.uint64(seed), np.uint64(counter)
    )
    return y
