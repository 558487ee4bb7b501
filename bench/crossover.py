"""From which sizes a GPU is faster than the CPU: the same work on both, a size at a time.

What is found is stored for `device = "auto"` and `gpunet info`; see `gpunet/backend/crossover.py`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import gpunet
from gpunet import backend, functional, nn, optim
from gpunet.backend import crossover

REPEATS = 15
ENOUGH = 300.0  # milliseconds, after which three repeats do
LENGTHS = tuple(4**i for i in range(5, 13))  # of the elementwise function
ROWS = tuple(2**i for i in range(4, 12))  # of square matrices
WIDTHS = tuple(2**i for i in range(4, 12))  # of a network
BATCH = 64


def elementwise(size: int, device: str) -> tuple[int, Callable[[], Any]]:
    """GELU of so many numbers."""
    x = gpunet.ones(size, device=device)
    return size, lambda: functional.gelu(x)


def product(size: int, device: str) -> tuple[int, Callable[[], Any]]:
    """A product of square matrices."""
    x = gpunet.ones((size, size), device=device)
    return size**3, lambda: x @ x


def step(size: int, device: str) -> tuple[int, Callable[[], Any]]:
    """A training step of an MLP, from a batch on the host."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 10)).to(device)
    optimizer = optim.Adam(model.parameters())
    x, t = rng.standard_normal((BATCH, size), np.float32), rng.integers(0, 10, BATCH)

    def train() -> None:
        optimizer.zero_grad()
        inputs, targets = (gpunet.tensor(array, device=device) for array in (x, t))
        functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    return BATCH * (size * size + 10 * size), train


WORK = {"elementwise": (elementwise, LENGTHS), "product": (product, ROWS), "step": (step, WIDTHS)}


def measure(device: str, repeats: int = REPEATS) -> dict[str, dict[str, dict[int, float]]]:
    """Milliseconds by kind of work, "cpu" or the device, and size; the device's work finished."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for name, (prepare, sizes) in WORK.items():
        found[name] = {place: {} for place in ("cpu", device)}
        for size in sizes:
            for place in ("cpu", device):
                wait = backend.get(place).synchronize
                count, work = prepare(size, place)
                times = []
                for _ in range(repeats + 1):
                    wait()
                    start = time.perf_counter()
                    work()
                    wait()
                    times.append(1e3 * (time.perf_counter() - start))
                    if len(times) > 3 and sum(times) > ENOUGH:
                        break
                found[name][place][count] = statistics.median(times[1:])
    return found


def find(device: str, repeats: int = REPEATS) -> dict[str, dict[str, Any]]:
    """Measures, stores and returns from which size on the device wins, by kind of work.

    Returns:
        {kind: {"from": size or None, "cpu": {size: ms}, "gpu": {size: ms}}}
    """
    gpu: Any = backend.get(device)
    found = measure(device, repeats)
    sizes = {name: crossover.first_win(of["cpu"], of[device]) for name, of in found.items()}
    crossover.store(gpu.gpu.name, sizes)
    return {
        name: {"from": sizes[name], "cpu": of["cpu"], "gpu": of[device]}
        for name, of in found.items()
    }
