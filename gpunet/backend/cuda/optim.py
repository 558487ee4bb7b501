"""Optimizer steps: all parameters of a dtype in one launch. Kernels: kernels/optim.cu.

The function of a rule is made from its kernel's signature: what follows `lr` there are its options.

A launch reads the addresses of all arrays from a table in device memory. Steps repeat the same
addresses, since CuPy's pool hands out freed memory in the same order, so the table is written anew
only when one has changed. CPU twins: gpunet/backend/cpu/optim.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import BLOCK, Family
from gpunet.errors import ArgumentError

# The members of the structure `Parameter`, in order: p, g, state[3], steps, product, arrivals, size
P, G, STATE, STEPS, PRODUCT, ARRIVALS, SIZE = 0, 1, 2, 5, 6, 7, 8
KEPT = 64  # tables: a program has few optimizers at a time, but may make many
CHUNK = 4096  # elements of a parameter that one block works on


@dataclass
class _Table:
    """What is in device memory for one list of parameters."""

    host: Any  # the table's words, as they were last sent
    device: Array
    chunks: Array  # (k, 2): parameter, and which of its pieces
    arrivals: Array


class Optim(Family):
    """`RULE_step(parameters, gradients, *states, steps, lr, **options)`; see the CPU twins."""

    def __init__(self, backend: Any, name: str):
        super().__init__(backend, name)
        self._tables: dict[tuple[int, ...], _Table] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_") or name not in self.signatures:
            raise AttributeError(f"kernels/{self.name}.cu has no kernel {name!r}")

        def step(parameters: list[Array], gradients: list[Array], *rest: Any, **given: Any) -> None:
            *states, steps, lr = rest
            members = {P: parameters, G: gradients, STEPS: steps}
            self._run(name, members | {STATE + i: s for i, s in enumerate(states)}, lr, given)

        step.__name__ = name
        setattr(self, name, step)
        return step

    def nadam_step(
        self,
        parameters: list[Array],
        gradients: list[Array],
        exp_avgs: list[Array],
        exp_avg_sqs: list[Array],
        mu_products: list[Array],
        steps: list[Array],
        lr: Array,
        **options: Any,
    ) -> None:
        """NAdam's product of all μ is a count, as its steps are: one number a parameter."""
        members = {P: parameters, G: gradients, STATE: exp_avgs, STATE + 1: exp_avg_sqs}
        self._run("nadam_step", members | {PRODUCT: mu_products, STEPS: steps}, lr, options)

    def _run(
        self, name: str, members: dict[int, list[Array]], lr: Array, given: dict[str, Any]
    ) -> None:
        """A launch for the parameters of each dtype; a list may be empty, for nothing."""
        names = [parameter.name for parameter in self.signatures[name]]
        options = names[names.index("lr") + 1 :]
        if given.keys() != set(options):
            raise ArgumentError(name, f"options must be {options}, got {sorted(given)}")
        parameters = members[P]
        for dtype in dict.fromkeys(p.dtype for p in parameters):
            chosen = [i for i, p in enumerate(parameters) if p.dtype == dtype]
            table = self._table({m: [x[i] for i in chosen] for m, x in members.items() if x})
            kernel, grid = self.kernel(name, dtype), (len(table.chunks), 1)
            scalars = [given[option] for option in options]
            kernel(grid, BLOCK, table.device, table.chunks, CHUNK, lr, *scalars)

    def _table(self, members: dict[int, list[Array]]) -> _Table:
        """The table of these parameters, in device memory and up to date."""
        sizes = [p.size for p in members[P]]
        words = np.zeros((len(sizes), SIZE + 1), np.uint64)
        for member, arrays in members.items():
            words[:, member] = [self._address(x) for x in arrays]
        words[:, SIZE] = sizes
        key = (len(members), *sizes, *words[:, P].tolist())
        table = self._tables.get(key)
        if table is None:
            if len(self._tables) >= KEPT:
                self._tables.clear()
            table = self._tables[key] = self._new_table(sizes)
        arrivals = self._address(table.arrivals)
        words[:, ARRIVALS] = arrivals + 8 * np.arange(len(words), dtype=np.uint64)
        if (words != table.host).any():
            table.host, table.device = words, self.gpu.from_host(words)
        return table

    def _address(self, x: Array) -> int:
        """Where an array starts; null if it has no elements."""
        span = self.gpu.span(x)
        if span is None:
            raise ArgumentError("step", f"arrays must be contiguous and on {self.backend.device}")
        return span[0] if x.size else 0

    def _new_table(self, sizes: list[int]) -> _Table:
        # At least one piece of each parameter, or else its steps would not be counted.
        pieces = [range(max(1, -(-size // CHUNK))) for size in sizes]
        chunks = [(row, i) for row, indices in enumerate(pieces) for i in indices]
        nothing = np.zeros((len(sizes), SIZE + 1), np.uint64)
        return _Table(
            nothing,
            self.gpu.from_host(nothing),
            self.gpu.from_host(np.array(chunks, np.int64)),
            self.gpu.from_host(np.zeros(len(sizes), np.uint64)),
        )
