"""Language models: whole training steps.

- W8: a GPT of four blocks, four heads, width 128 and 64 positions, as nanoGPT's small one for
  Shakespeare's characters.

It is built by one function from the layers of either framework, which have the same names, as in
`images.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import THREADS, on

WORKLOADS = ("W8",)
TEXT = {"W8": "GPT, 4 layers, 4 heads, width 128, 64 positions, batch 12, AdamW: a training step"}
TOKENS, BATCH, LENGTH, WIDTH, HEADS, BLOCKS = 65, 12, 64, 128, 4, 4


def gpt(nn: Any, functional: Any) -> Any:
    """nanoGPT's model."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
            self.c_proj = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            parts = self.c_attn(x).chunk(3, -1)
            heads = (BATCH, LENGTH, HEADS, WIDTH // HEADS)
            q, k, v = (part.reshape(heads).transpose(1, 2) for part in parts)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.transpose(1, 2).reshape(x.shape))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn = nn.LayerNorm(WIDTH), Attention()
            self.ln_2 = nn.LayerNorm(WIDTH)
            layers = nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
            self.mlp = nn.Sequential(*layers)

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(TOKENS, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.h = nn.Sequential(*[Block() for _ in range(BLOCKS)])
            self.ln_f = nn.LayerNorm(WIDTH)
            self.lm_head = nn.Linear(WIDTH, TOKENS, bias=False)
            self.wte.weight = self.lm_head.weight

        def forward(self, x: Any, places: Any) -> Any:
            return self.lm_head(self.ln_f(self.h(self.wte(x) + self.wpe(places))))

    return GPT()


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    nn, functional, optim, tensor = _FRAMEWORKS[framework]()
    text = np.random.default_rng(0).integers(0, TOKENS, BATCH * LENGTH + 1)
    arrays = text[:-1].reshape(BATCH, LENGTH), text[1:], np.arange(LENGTH)
    x, t, places = (on(tensor(array), device) for array in arrays)
    model = on(gpt(nn, functional), device)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> object:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x, places).reshape(BATCH * LENGTH, TOKENS), t)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _gpunet() -> tuple[Any, ...]:
    from gpunet import functional, nn, optim, tensor

    return nn, functional, optim, tensor


def _torch() -> tuple[Any, ...]:
    import torch
    from torch import nn, optim

    torch.set_num_threads(THREADS)
    return nn, nn.functional, optim, torch.from_numpy


_FRAMEWORKS = {"gpunet": _gpunet, "torch": _torch}
