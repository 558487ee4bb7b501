"""Optimizer steps: all parameters of a dtype in one launch. Kernels: kernels/optim.cu.

A launch reads the addresses of all arrays from a table in device memory. Steps repeat the same
addresses, since CuPy's pool hands out freed memory in the same order, so the table is written anew
only when one has changed. CPU twins: gpunet/backend/cpu/optim.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import BLOCK, Family
from gpunet.errors import ArgumentError

# The members of the structure `Parameter`, in order.
_MEMBERS = ("p", "g", "velocity", "m", "v", "v_max", "steps", "arrivals", "size")
CHUNK = 4096  # elements of a parameter that one block works on


@dataclass
class _Table:
    """What is in device memory for one list of parameters."""

    host: Any  # the table's words, as they were last sent
    device: Array
    chunks: Array  # (k, 2): parameter, and which of its pieces
    arrivals: Array


class Optim(Family):
    """See the CPU twins for what each function computes."""

    def __init__(self, backend: Any, name: str):
        super().__init__(backend, name)
        self._tables: dict[tuple[int, ...], _Table] = {}

    def sgd_step(
        self,
        parameters: list[Array],
        gradients: list[Array],
        velocities: list[Array],
        steps: list[Array],
        lr: Array,
        *,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        maximize: bool,
    ) -> None:
        lists = {"p": parameters, "g": gradients, "velocity": velocities, "steps": steps}
        sign = -1.0 if maximize else 1.0
        self._run("sgd_step", lists, lr, sign, momentum, dampening, weight_decay, nesterov)

    def adam_step(
        self,
        parameters: list[Array],
        gradients: list[Array],
        first_moments: list[Array],
        second_moments: list[Array],
        largest_second_moments: list[Array],
        steps: list[Array],
        lr: Array,
        *,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        decoupled: bool,
        maximize: bool,
    ) -> None:
        lists = {"p": parameters, "g": gradients, "m": first_moments, "v": second_moments}
        lists |= {"v_max": largest_second_moments, "steps": steps}
        coupled, shrinking = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
        sign = -1.0 if maximize else 1.0
        self._run("adam_step", lists, lr, sign, beta1, beta2, eps, coupled, shrinking)

    def _run(self, name: str, lists: dict[str, list[Array]], lr: Array, *scalars: Any) -> None:
        """A launch for the parameters of each dtype."""
        parameters = lists["p"]
        for dtype in dict.fromkeys(p.dtype for p in parameters):
            chosen = [i for i, p in enumerate(parameters) if p.dtype == dtype]
            table = self._table({k: [arrays[i] for i in chosen] for k, arrays in lists.items()})
            kernel, grid = self.kernel(name, dtype), (len(table.chunks), 1)
            kernel(grid, BLOCK, table.device, table.chunks, CHUNK, lr, *scalars)

    def _table(self, lists: dict[str, list[Array]]) -> _Table:
        """The table of these parameters, in device memory and up to date."""
        parameters = lists["p"]
        sizes = [p.size for p in parameters]
        words = np.zeros((len(parameters), len(_MEMBERS)), np.uint64)
        for name, arrays in lists.items():
            words[:, _MEMBERS.index(name)] = [self._address(name, x) for x in arrays]
        words[:, _MEMBERS.index("size")] = sizes
        key = tuple(words[:, 0].tolist())
        table = self._tables.get(key)
        if table is None or len(table.host) != len(words):
            table = self._tables[key] = self._new_table(sizes)
        arrivals = self._address("arrivals", table.arrivals)
        words[:, _MEMBERS.index("arrivals")] = arrivals + 8 * np.arange(len(words), dtype=np.uint64)
        if (words != table.host).any():
            table.host, table.device = words, self.gpu.from_host(words)
        return table

    def _address(self, name: str, x: Array) -> int:
        """Where an array starts; null where it has no elements, which means that it is not used."""
        span = self.gpu.span(x)
        if span is None:
            raise ArgumentError("step", f"{name} must be contiguous and on {self.backend.device}")
        return span[0] if x.size else 0

    def _new_table(self, sizes: list[int]) -> _Table:
        chunks = [(row, i) for row, size in enumerate(sizes) for i in range(_chunks(size))]
        empty = np.zeros((len(sizes), len(_MEMBERS)), np.uint64)
        return _Table(
            empty,
            self.gpu.from_host(empty),
            self.gpu.from_host(np.array(chunks, np.int64)),
            self.gpu.from_host(np.zeros(len(sizes), np.uint64)),
        )


def _chunks(size: int) -> int:
    """Pieces of a parameter: at least one, or else its steps would not be counted."""
    return max(1, -(-size // CHUNK))
