"""One function forward, nothing recorded: what it moves against a copy, what it computes against a
large product of matrices.

Names of functions are PyTorch's, so a case is written once for both frameworks; NumPy's is beside
it. `prepare(framework, workload)` returns a step, as in `workloads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import THREADS, on

ROWS, COLUMNS = 4096, 1024  # 16 MiB of float32: more than an L2 cache holds
N = ROWS * COLUMNS
PICTURES = (32, 32, 64, 64)


@dataclass(frozen=True)
class Operation:
    """A case.

    Attributes:
        shapes: of the operands; a whole number in front of one stands for indices below it.
        call: does it, given the functions of a framework and the operands.
        numpy: does it with NumPy, given the operands; None where NumPy has no such thing.
        moved: bytes read and written at the least, where they are the bound.
        multiply_adds, result_bytes: of a product, where arithmetic is.
    """

    shapes: tuple[Any, ...]
    call: Callable[..., Any]
    numpy: Callable[..., Any] | None = None
    moved: int = 0
    multiply_adds: int = 0
    result_bytes: int = 0

    def operands_bytes(self) -> int:
        """Of the operands and the result of a product, each once; 0 of all else."""
        if not self.multiply_adds:
            return 0
        return sum(4 * int(np.prod(shape)) for shape in self.shapes) + self.result_bytes

    def arrays(self) -> list[np.ndarray]:
        """The operands."""
        rng = np.random.default_rng(0)
        return [
            rng.integers(0, shape[0], shape[1])
            if _indices(shape)
            else rng.standard_normal(shape, np.float32)
            for shape in self.shapes
        ]


def _sum_of_exp(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e, e.sum(-1, keepdims=True)


def _softmax(x: np.ndarray) -> np.ndarray:
    e, total = _sum_of_exp(x)
    return e / total


def _cross_entropy(x: np.ndarray, t: np.ndarray) -> np.floating[Any]:
    x = x - x.max(-1, keepdims=True)
    return (np.log(np.exp(x).sum(-1)) - x[np.arange(len(t)), t]).mean()


def _layer_norm(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    d = x - x.mean(-1, keepdims=True)
    return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * w + b


def _pooled(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


X, PLANES = (ROWS, COLUMNS), int(np.prod(PICTURES))
OPERATIONS = {
    "op-add": Operation((X, X), lambda f, x, y: f.add(x, y), np.add, 12 * N),
    "op-exp": Operation((X,), lambda f, x: f.exp(x), np.exp, 8 * N),
    "op-gelu": Operation((X,), lambda f, x: f.gelu(x), None, 8 * N),
    "op-sum": Operation((X,), lambda f, x: f.sum(x), np.sum, 4 * N),
    "op-sum-rows": Operation((X,), lambda f, x: f.sum(x, dim=-1), lambda x: x.sum(-1), 4 * N),
    "op-sum-columns": Operation((X,), lambda f, x: f.sum(x, dim=0), lambda x: x.sum(0), 4 * N),
    "op-argmax": Operation((X,), lambda f, x: f.argmax(x, dim=-1), lambda x: x.argmax(-1), 4 * N),
    "op-cumsum": Operation((X,), lambda f, x: f.cumsum(x, dim=-1), lambda x: x.cumsum(-1), 8 * N),
    "op-softmax": Operation((X,), lambda f, x: f.softmax(x, dim=-1), _softmax, 8 * N),
    "op-cross_entropy": Operation(
        (X, (COLUMNS, (ROWS,))), lambda f, x, t: f.cross_entropy(x, t), _cross_entropy, 4 * N
    ),
    "op-layer_norm": Operation(
        (X, (COLUMNS,), (COLUMNS,)),
        lambda f, x, w, b: f.layer_norm(x, (COLUMNS,), w, b),
        _layer_norm,
        8 * N,
    ),
    "op-batch_norm": Operation(
        (PICTURES,), lambda f, x: f.batch_norm(x, None, None, training=True), None, 8 * PLANES
    ),
    "op-max_pool2d": Operation((PICTURES,), lambda f, x: f.max_pool2d(x, 2), _pooled, 5 * PLANES),
    "op-transpose": Operation((X,), lambda f, x: x.T.contiguous(), lambda x: x.T.copy(), 8 * N),
    "op-cat": Operation(
        (X, X), lambda f, x, y: f.cat([x, y]), lambda x, y: np.concatenate([x, y]), 16 * N
    ),
    "op-embedding": Operation(
        ((ROWS, COLUMNS), (ROWS, (ROWS,))),
        lambda f, w, i: f.embedding(i, w),
        lambda w, i: w[i],
        8 * N,
    ),
    "op-sort": Operation(((ROWS // 8, COLUMNS),), lambda f, x: f.sort(x), np.sort, N),
    "op-matmul": Operation(
        2 * ((1024, 1024),),
        lambda f, x, y: f.matmul(x, y),
        np.matmul,
        multiply_adds=1 << 30,
        result_bytes=1 << 22,
    ),
    "op-matmul-small": Operation(
        ((128, 784), (784, 512)),
        lambda f, x, y: f.matmul(x, y),
        np.matmul,
        multiply_adds=128 * 784 * 512,
        result_bytes=4 * 128 * 512,
    ),
    "op-bmm": Operation(
        ((64, 128, 64), (64, 64, 128)),
        lambda f, x, y: f.bmm(x, y),
        np.matmul,
        multiply_adds=64 * 128 * 64 * 128,
        result_bytes=4 * 64 * 128 * 128,
    ),
    "op-linear": Operation(
        ((128, 784), (512, 784), (512,)),
        lambda f, x, w, b: f.linear(x, w, b),
        lambda x, w, b: x @ w.T + b,
        multiply_adds=128 * 784 * 512,
        result_bytes=4 * 128 * 512,
    ),
    "op-attention": Operation(
        3 * ((4, 8, 256, 64),),
        lambda f, q, k, v: f.scaled_dot_product_attention(q, k, v),
        lambda q, k, v: _softmax(q @ k.swapaxes(-1, -2) / 8) @ v,
        multiply_adds=4 * 8 * 256 * 256 * 64 * 2,
        result_bytes=4 * 4 * 8 * 256 * 64,
    ),
}
WORKLOADS = tuple(OPERATIONS)


def _indices(shape: Any) -> bool:
    return len(shape) > 1 and isinstance(shape[1], tuple)


def _size(shape: Any) -> str:
    if _indices(shape):
        return f"{shape[1][0]} indices"
    return "×".join(map(str, shape))


TEXT = {
    name: f"{name[3:].replace('-', ' ')} of {' and '.join(map(_size, operation.shapes))}"
    for name, operation in OPERATIONS.items()
}


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    operation = OPERATIONS[workload]
    arrays = operation.arrays()
    if framework == "numpy":
        function = operation.numpy
        assert function is not None
        return lambda: function(*arrays)
    functions, tensor, no_grad = {"gpunet": _gpunet, "torch": _torch}[framework]()
    operands = [on(tensor(array), device) for array in arrays]

    def step() -> object:
        with no_grad():
            return operation.call(functions, *operands)

    return step


class _Functions:
    """Functions of several modules under their names; the first that has one counts."""

    def __init__(self, *modules: Any):
        self.modules = modules

    def __getattr__(self, name: str) -> Any:
        found = next(getattr(module, name) for module in self.modules if hasattr(module, name))
        setattr(self, name, found)
        return found


def _gpunet() -> tuple[Any, ...]:
    import gpunet

    return _Functions(gpunet.functional), gpunet.tensor, gpunet.no_grad


def _torch() -> tuple[Any, ...]:
    import torch

    torch.set_num_threads(THREADS)
    return _Functions(torch.nn.functional, torch), torch.from_numpy, torch.no_grad
