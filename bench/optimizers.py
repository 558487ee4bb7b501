"""One fused step of an optimizer over all parameters, beside a copy that moves as many bytes.

670k parameters are those of W1 (784–512–512–10), 4M are 64 matrices of 256 × 256. Adam and AdamW
read the parameter, its gradient and two moments and write three of them: 7 arrays. SGD moves 3,
with momentum 5. The goal is at most 25 % above the copy, and never slower than PyTorch's fused
step. 670k parameters stay in a cache of 32 MB, where the copy is bound by nothing else, and a step
by other things, too. On two cores of a virtual machine (EPYC 7003), with others at work on it:

- The root and the quotient of 8 elements took 2.7 ns one after the other, the whole loop of Adam
  2.9 ns over data in the L2 cache. For 670k parameters on two cores that is 120 µs, the copy took
  140 to 170. So arithmetic alone is no reason to stay behind the copy.
- To wake the second thread took the first 20 µs, and the second began after 40.
- Python took 20 µs for six parameters, and more where their data had displaced its own.

Together that is about 200 µs for Adam. SGD with 670k parameters, with momentum or without, is left
to one thread (`SHARED_BYTES` in `gpunet/backend/cpu/rule.py`). A step writes only what it has read:
stores past the cache would save nothing.

`prepare(framework, workload)` returns a step, as in `workloads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from bench import THREADS, on

_W1 = [shape for n, m in pairwise((784, 512, 512, 10)) for shape in ((m, n), (m,))]
_SIZES = {"670k": _W1, "4M": [(256, 256)] * 64}
# Class, its options, and how many arrays of the parameters' size a step moves.
_RULES: dict[str, tuple[str, dict[str, Any], int]] = {
    "adam": ("Adam", {"lr": 1e-3}, 7),
    "adamw": ("AdamW", {"lr": 1e-3}, 7),
    "sgd": ("SGD", {"lr": 1e-3}, 3),
    "momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}, 5),
}
WORKLOADS = tuple(f"{rule}-{size}" for rule in _RULES for size in _SIZES)
RIVALS = ("torch-fused", "copy")
FLOOR = 0.8  # of the copy's time over ours
_NAMES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "momentum": "SGD with momentum"}
TEXT = {
    f"{rule}-{size}": f"{_NAMES[rule]}, {size} parameters: a step of the optimizer alone"
    for rule in _RULES
    for size in _SIZES
}


def nbytes(workload: str) -> int | None:
    """Bytes that a step must move; None of other workloads."""
    if workload not in WORKLOADS:
        return None
    rule, size = workload.split("-")
    return 4 * _RULES[rule][2] * sum(map(prod, _SIZES[size]))


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    if framework == "copy":
        return _copy(workload)
    rule, size = workload.split("-")
    kind, options, _ = _RULES[rule]
    generator = np.random.default_rng(0)
    pairs = [
        [generator.standard_normal(shape, np.float32) for _ in range(2)] for shape in _SIZES[size]
    ]
    if framework == "gpunet":
        import gpunet as package

        tensor: Any = package.tensor
    else:
        import torch as package

        package.set_num_threads(THREADS)
        tensor, options = package.from_numpy, {**options, "fused": True}
    parameters = []
    for values, gradient in pairs:
        p = on(tensor(values), device).requires_grad_()
        p.grad = on(tensor(gradient), device)
        parameters.append(p)
    return getattr(package.optim, kind)(parameters, **options).step


def _copy(workload: str) -> Callable[[], object]:
    """A copy moves each byte twice: it is read and written."""
    import torch

    torch.set_num_threads(THREADS)
    moved = nbytes(workload)
    assert moved is not None
    source = torch.ones(moved // 8)
    target = torch.ones(moved // 8)
    return lambda: target.copy_(source)
