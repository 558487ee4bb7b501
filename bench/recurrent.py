"""Recurrent layers: alone, and as a language model of characters.

- W4: embedding 65 to 128, LSTM of two layers of 256 units, linear to 65; batch 32, 64 steps, cross
  entropy, gradients clipped to a norm of 5, Adam: a training step.
- W5: GRU 256 to 512, batch 32, 50 steps; lstm-b32, lstm-b1: LSTM 128 to 256, batch 32 and 1,
  64 steps: forward and backward, with the gradient of the input.
- lstm-step: one step of LSTM 128 to 256 for one sequence, without gradients.

What the processor must do at least, at two fused multiply-adds of 16 numbers every two cycles and
core (234 GFLOP/s here): W4 49 ms, W5 48 ms, lstm-b32 21 ms. With one sequence the recurrent weights
are read at every step, forward and backward: 134 MB for lstm-b1 and 1.6 MB for lstm-step, which do
not fit the L2 caches.

`prepare(framework, workload)` returns a step, as in `workloads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import THREADS, on

# Layer, inputs, units, steps, batch.
LAYERS = {
    "W5": ("GRU", 256, 512, 50, 32),
    "lstm-b32": ("LSTM", 128, 256, 64, 32),
    "lstm-b1": ("LSTM", 128, 256, 64, 1),
    "lstm-step": ("LSTM", 128, 256, 1, 1),
}
TEXT = {
    "W4": "language model of characters, LSTM 2×256, batch 32, 64 steps, Adam: a training step",
    "W5": "GRU 256 to 512, batch 32, 50 steps, forward + backward",
    "lstm-b32": "LSTM 128 to 256, batch 32, 64 steps, forward + backward",
    "lstm-b1": "LSTM 128 to 256, batch 1, 64 steps, forward + backward",
    "lstm-step": "LSTM 128 to 256, one step of one sequence, inference",
}
WORKLOADS = tuple(TEXT)
CHARACTERS = 65


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    package, tensor = _FRAMEWORKS[framework]()

    def placed(array: np.ndarray) -> Any:
        return on(tensor(array), device)

    if workload == "W4":
        return _language_model(package, placed, device)
    return _layer(package, placed, workload, device)


def _layer(package: Any, tensor: Any, workload: str, device: str) -> Callable[[], object]:
    kind, inputs, units, steps, batch = LAYERS[workload]
    generator = np.random.default_rng(0)
    layer = on(getattr(package.nn, kind)(inputs, units), device)
    x = tensor(generator.standard_normal((steps, batch, inputs), np.float32))
    gy = tensor(generator.standard_normal((steps, batch, units), np.float32))
    if workload == "lstm-step":
        state = tuple(tensor(np.zeros((1, batch, units), np.float32)) for _ in range(2))

        def infer() -> object:
            with package.no_grad():
                return layer(x, state)

        return infer
    x.requires_grad_()

    def step() -> object:
        x.grad = None
        layer.zero_grad()
        y = layer(x)[0]
        y.backward(gy)
        return y

    return step


def _language_model(package: Any, tensor: Any, device: str) -> Callable[[], object]:
    nn, entropy = package.nn, package.nn_functional.cross_entropy

    class Model(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(CHARACTERS, 128)
            self.lstm = nn.LSTM(128, 256, 2)
            self.head = nn.Linear(256, CHARACTERS)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(self.embedding(x))[0])

    model = on(Model(), device)
    parameters = list(model.parameters())
    optimizer = package.optim.Adam(parameters, lr=1e-3)
    text = np.random.default_rng(0).integers(0, CHARACTERS, (65, 32))
    x, target = tensor(text[:-1].copy()), tensor(text[1:].reshape(-1).copy())

    def step() -> object:
        optimizer.zero_grad()
        loss = entropy(model(x).reshape(-1, CHARACTERS), target)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        return loss

    return step


class _Package:
    """What the workloads use of a framework."""

    def __init__(self, package: Any, functional: Any):
        self.nn, self.optim, self.no_grad = package.nn, package.optim, package.no_grad
        self.nn_functional = functional


def _gpunet() -> tuple[Any, Any]:
    import gpunet
    from gpunet import functional, nn, optim  # noqa: F401

    return _Package(gpunet, functional), gpunet.tensor


def _torch() -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(THREADS)
    return _Package(torch, torch.nn.functional), torch.from_numpy


_FRAMEWORKS = {"gpunet": _gpunet, "torch": _torch}
