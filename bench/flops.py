"""Operations of the kernels whose bound is arithmetic, for a number of elements."""

from __future__ import annotations

from collections.abc import Callable

from bench.inputs import convolved, drawn, few_looked_up, heads


def conv_flops(n: int) -> float:
    """Of one pass of the convolution."""
    x, w = drawn(convolved, n)
    return 2.0 * x.size * w.size / w.shape[0]


def attention_flops(products: int) -> Callable[[int], float]:
    """Of so many products of heads with the keys that each query sees."""

    def flops(n: int) -> float:
        matrices, length, features = drawn(heads, n)[0].shape
        return products * matrices * length * (length + 1) * features

    return flops


def order_flops(n: int) -> float:
    """Comparisons and additions of each index with all others, and of each row with all."""
    w, index = drawn(few_looked_up, n)
    return 2.0 * index.size * (index.size + w.shape[0])


ATTENTION_FLOPS = {
    "attention_fwd": attention_flops(2),
    "attention_bwd": attention_flops(3),
    "attention_bwd_finish": attention_flops(4),
}
CONV_FLOPS = dict.fromkeys(("conv_fwd", "conv_bwd_x", "conv_bwd_w"), conv_flops)
