"""Networks for pictures: whole training steps.

- W2: the network of PyTorch's MNIST example, on 28×28.
- W2l: LeNet-5 (LeCun et al., 1998) with ReLU and largest elements in place of tanh and means.
- W3: ResNet-20 for 32×32 (He et al., arXiv:1512.03385, section 4.2); shortcuts without parameters
  (option A).

Every network is built by one function from the layers of either framework, which have the same
names. `prepare(framework, workload)` returns a step, as in `workloads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import THREADS, on


@dataclass(frozen=True)
class Training:
    """Shape of a batch, the function that builds the network, and its optimizer."""

    shape: tuple[int, ...]
    build: Callable[[Any, Any], Any]
    optimizer: str
    options: dict[str, float]


def mnist_example(nn: Any, functional: Any) -> Any:
    """Two convolutions and two dense layers, with dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def lenet(nn: Any, functional: Any) -> Any:
    """LeNet-5."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def resnet20(nn: Any, functional: Any) -> Any:
    """Three stages of three blocks of two convolutions, 16, 32 and 64 channels wide."""

    class Block(nn.Module):
        def __init__(self, c_in: int, c_out: int, stride: int):
            super().__init__()
            self.stride, self.more = stride, c_out - c_in
            self.residual = nn.Sequential(
                nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(c_out),
                nn.ReLU(),
                nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(c_out),
            )

        def forward(self, x: Any) -> Any:
            y = self.residual(x)
            if self.more:
                before = self.more // 2
                x = x[:, :, :: self.stride, :: self.stride]
                x = functional.pad(x, (0, 0, 0, 0, before, self.more - before))
            return functional.relu(y + x)

    widths = 16, 16, 16, 32, 32, 32, 64, 64, 64
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for c_in, c_out in zip((16, *widths), widths, strict=False):
        layers.append(Block(c_in, c_out, c_out // c_in))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


MOMENTUM = {"lr": 1e-2, "momentum": 0.9}
WORKLOADS = {
    "W2": Training((64, 1, 28, 28), mnist_example, "Adam", {"lr": 1e-3}),
    "W2l": Training((128, 1, 28, 28), lenet, "SGD", MOMENTUM),
    "W3": Training((32, 3, 32, 32), resnet20, "SGD", MOMENTUM),
}
TEXT = {
    "W2": "PyTorch's MNIST example, batch 64, Adam: a training step",
    "W2l": "LeNet-5 with ReLU and max pooling, batch 128, SGD with momentum: a training step",
    "W3": "ResNet-20, option A, on 3×32×32, batch 32, SGD with momentum: a training step",
}


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    nn, functional, optim, tensor, last = _FRAMEWORKS[framework]()
    training = WORKLOADS[workload]
    generator = np.random.default_rng(0)
    x = last(on(tensor(generator.standard_normal(training.shape, np.float32)), device))
    t = on(tensor(generator.integers(0, 10, training.shape[0])), device)
    model = last(on(training.build(nn, functional), device))
    optimizer = getattr(optim, training.optimizer)(model.parameters(), **training.options)

    def step() -> object:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _gpunet() -> tuple[Any, ...]:
    from gpunet import functional, nn, optim, tensor

    return nn, functional, optim, tensor, lambda x: x


def _torch() -> tuple[Any, ...]:
    import torch
    from torch import nn, optim

    torch.set_num_threads(THREADS)
    return nn, nn.functional, optim, torch.from_numpy, lambda x: x


def _torch_channels_last() -> tuple[Any, ...]:
    """Pictures and filters with their channels side by side."""
    import torch

    return *_torch()[:-1], lambda x: x.to(memory_format=torch.channels_last)


_FRAMEWORKS = {
    "gpunet": _gpunet,
    "torch": _torch,
    "torch-channels-last": _torch_channels_last,
}
