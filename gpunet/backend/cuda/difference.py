"""Losses of d = x − target, by CuPy's functions. CPU twins: gpunet/backend/cpu/difference.py."""

from __future__ import annotations

from typing import Any

from gpunet.backend.base import Array


class Difference:
    """See the CPU twins for what each function computes."""

    def __init__(self, backend: Any, name: str):
        self.backend, self.xp = backend, backend.xp

    def mse_fwd(self, x: Array, target: Array, total: bool = False) -> Array:
        d = self.xp.subtract(x, target)
        return self._summed(self.xp.multiply(d, d), total)

    def mse_bwd(self, g: Array, x: Array, target: Array) -> Array:
        return self.xp.multiply(self.xp.subtract(x, target), 2 * g)

    def l1_fwd(self, x: Array, target: Array, total: bool = False) -> Array:
        return self._summed(self.xp.absolute(self.xp.subtract(x, target)), total)

    def l1_bwd(self, g: Array, x: Array, target: Array) -> Array:
        xp = self.xp
        above, below = xp.greater(x, target), xp.less(x, target)
        return xp.where(above, g, xp.where(below, -g, 0))

    def huber_fwd(
        self, x: Array, target: Array, delta: float, divisor: float, total: bool = False
    ) -> Array:
        d, near = self._clipped(x, target, delta)
        losses = self.xp.multiply(near, self.xp.subtract(d, self.xp.multiply(near, 0.5)))
        return self._summed(losses if divisor == 1 else self.xp.divide(losses, divisor), total)

    def huber_bwd(self, g: Array, x: Array, target: Array, delta: float) -> Array:
        return self.xp.multiply(self._clipped(x, target, delta)[1], g)

    def _clipped(self, x: Array, target: Array, delta: float) -> tuple[Array, Array]:
        d = self.xp.subtract(x, target)
        return d, self.xp.minimum(self.xp.maximum(d, -delta), delta)

    def _summed(self, losses: Array, total: bool) -> Array:
        return self.backend.sum(losses, tuple(range(losses.ndim))) if total else losses
