"""Recurrent layers over whole sequences, one direction. Kernels: kernels/recurrent.cu.

CPU twins: gpunet/backend/cpu/recurrent.py. Here a step is a product of cuBLAS and one launch; small
LSTMs go through all steps in one launch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import BLOCK, Family, block_per_row, grid_stride

# Bytes that all sequences together may read of the recurrent weights at a step of one launch. From
# the L2 cache that takes some 12 µs, about as long as a product and a launch; not measured yet.
READ = 1 << 26


def _steps(count: int, reverse: bool) -> Iterator[tuple[int, int | None]]:
    """Every step with the one before it, None before the first."""
    order = range(count - 1, -1, -1) if reverse else range(count)
    before = None
    for t in order:
        yield t, before
        before = t


class Recurrent(Family):
    """See the CPU twins for what each function computes."""

    def rnn_fwd(
        self,
        z: Array,
        bias: Array | None,
        w: Array,
        h_0: Array | None,
        lengths: Array | None,
        reverse: bool,
        relu: bool,
    ) -> tuple[Array, Array]:
        steps, *sizes = z.shape
        h, y = self._state(h_0, tuple(sizes), z.dtype), self.like(z)
        kernel, launch = self._launch("rnn_fwd", z.dtype, sizes)
        for t, before in _steps(steps, reverse):
            product = self._recurrent(h, w, h_0, before)
            kernel(*launch, z[t], product, bias, lengths, h, y[t], t, *sizes, relu)
        return y, h

    def rnn_bwd(
        self,
        y: Array,
        gy: Array | None,
        gh: Array | None,
        w: Array,
        lengths: Array | None,
        reverse: bool,
        relu: bool,
    ) -> tuple[Array, Array]:
        steps, *sizes = y.shape
        gz, state = self.like(y), self._state(gh, tuple(sizes), self._wide(y))
        kernel, launch = self._launch("rnn_bwd", y.dtype, sizes)
        product = None
        for t, _ in _steps(steps, not reverse):
            upstream = None if gy is None else gy[t]
            kernel(*launch, upstream, product, y[t], lengths, state, gz[t], t, *sizes, relu)
            product = self.backend.matmul(gz[t], w)
        return gz, self._sum(state, product, y.dtype)

    def lstm_fwd(
        self,
        z: Array,
        bias: Array | None,
        w: Array,
        w_hr: Array | None,
        h_0: Array | None,
        c_0: Array | None,
        lengths: Array | None,
        reverse: bool,
        keep: bool,
    ) -> tuple[Array, ...]:
        steps, batch, columns = z.shape
        units, width = columns // 4, w.shape[1]
        sizes = batch, units
        h, c = self._state(h_0, (batch, width), z.dtype), self._state(c_0, sizes, self._wide(z))
        y = self.empty((steps, batch, width), z.dtype)
        cells = self.empty((steps if keep else 0, *sizes), z.dtype)
        if w_hr is None and self._in_one_launch(batch, w):
            kernel = self.kernel("lstm_fwd_sequence", z.dtype)
            launch = block_per_row(self.limits, batch, units)
            arrays = z, self.backend.copy(w.T), bias, lengths, h, c, y, cells
            kernel(*launch, *arrays, steps, *sizes, reverse, keep)
            return y, h, c.astype(z.dtype, copy=False), z, cells
        unkept, m = self.empty(sizes, z.dtype), self._state(None, sizes, z.dtype)
        kernel, launch = self._launch("lstm_fwd", z.dtype, sizes)
        for t, before in _steps(steps, reverse):
            product = self._recurrent(h, w, h_0, before)
            states = (h, c, y[t]) if w_hr is None else (m, c, self.like(m))
            kept = cells[t] if keep else unkept
            kernel(*launch, z[t], product, bias, lengths, *states, kept, t, *sizes)
            if w_hr is not None:
                self._project(m, w_hr, lengths, t, h, y[t])
        return y, h, c.astype(z.dtype, copy=False), z, cells

    def lstm_bwd(
        self,
        gates: Array,
        gy: Array | None,
        gh: Array | None,
        gc: Array | None,
        cells: Array,
        c_0: Array | None,
        w: Array,
        w_hr: Array | None,
        lengths: Array | None,
        reverse: bool,
    ) -> tuple[Array, Array, Array, Array]:
        steps, batch, columns = gates.shape
        units, width, dtype = columns // 4, w.shape[1], gates.dtype
        sizes, wide = (batch, units), self._wide(gates)
        state, cell = self._state(gh, (batch, width), wide), self._state(gc, sizes, wide)
        gz = self.like(gates)
        gp = self.empty((0 if w_hr is None else steps, batch, width), dtype)
        if w_hr is None and self._in_one_launch(batch, w):
            kernel = self.kernel("lstm_bwd_sequence", dtype)
            launch = block_per_row(self.limits, batch, units)
            arrays = gy, w, gates, cells, c_0, lengths, state, cell, gz
            kernel(*launch, *arrays, steps, *sizes, reverse)
            return gz, state.astype(dtype, copy=False), cell.astype(dtype, copy=False), gp
        kernel, launch = self._launch("lstm_bwd", dtype, sizes)
        earlier = dict(_steps(steps, reverse))
        product = None
        for t, _ in _steps(steps, not reverse):
            before = c_0 if earlier[t] is None else cells[earlier[t]]
            upstream = None if gy is None else gy[t]
            flowing = upstream, product, state
            if w_hr is not None:
                state = self._project_bwd(*flowing, lengths, t, gp[t])
                flowing = None, None, self.backend.matmul(gp[t], w_hr).astype(wide)
            *new, g = flowing
            arrays = *new, gates[t], cells[t], before, lengths, g, cell, gz[t]
            kernel(*launch, *arrays, t, *sizes)
            product = self.backend.matmul(gz[t], w)
        return gz, self._sum(state, product, dtype), cell.astype(dtype, copy=False), gp

    def gru_fwd(
        self,
        z: Array,
        bias: Array | None,
        w: Array,
        h_0: Array | None,
        lengths: Array | None,
        reverse: bool,
    ) -> tuple[Array, Array, Array, Array]:
        steps, batch, columns = z.shape
        sizes = batch, columns // 3
        h = self._state(h_0, sizes, z.dtype)
        y, q = (self.empty((steps, *sizes), z.dtype) for _ in range(2))
        kernel, launch = self._launch("gru_fwd", z.dtype, sizes)
        for t, before in _steps(steps, reverse):
            product = self._recurrent(h, w, h_0, before)
            kernel(*launch, z[t], product, bias, lengths, h, y[t], q[t], t, *sizes)
        return y, h, z, q

    def gru_bwd(
        self,
        gates: Array,
        gy: Array | None,
        gh: Array | None,
        q: Array,
        y: Array,
        h_0: Array | None,
        w: Array,
        lengths: Array | None,
        reverse: bool,
    ) -> tuple[Array, Array]:
        steps, batch, units = y.shape
        sizes = batch, units
        gz, back = self.empty((steps, batch, 4 * units), y.dtype), self.like(gates[0])
        state = self._state(gh, sizes, self._wide(y))
        kernel, launch = self._launch("gru_bwd", y.dtype, sizes)
        earlier = dict(_steps(steps, reverse))
        product = None
        for t, _ in _steps(steps, not reverse):
            e = earlier[t]
            upstream, before = (None if gy is None else gy[t]), (None if e is None else y[e])
            arrays = upstream, product, gates[t], q[t], before, h_0, lengths, state, gz[t], back
            kernel(*launch, *arrays, t, -1 if e is None else e, *sizes)
            product = self.backend.matmul(back, w)
        return gz, self._sum(state, product, y.dtype)

    # --- what they share

    def _in_one_launch(self, batch: int, w: Array) -> bool:
        """Whether each sequence gets a block of its own, which goes through all steps."""
        fits = w.shape[1] <= BLOCK and batch <= self.limits.processors
        return fits and batch * w.nbytes <= READ

    def _launch(self, name: str, dtype: Any, sizes: Any) -> tuple[Any, Any]:
        batch, units = sizes
        return self.kernel(name, dtype), grid_stride(self.limits, batch * units)

    def _state(self, first: Array | None, shape: tuple[int, ...], dtype: Any) -> Array:
        """A copy of a first state, which moves on in place; zeros if None."""
        if first is None:
            return self.backend.full(shape, 0, dtype)
        return self.backend.cast(first, dtype)

    def _recurrent(self, h: Array, w: Array, h_0: Array | None, before: int | None) -> Array | None:
        """h·wᵀ; None where h is 0."""
        return None if before is None and h_0 is None else self.backend.matmul(h, w.T)

    def _sum(self, state: Array, product: Array, dtype: Any) -> Array:
        """The gradient of the first state: what stayed there, and what came through the product."""
        return (state + product.astype(state.dtype)).astype(dtype)

    @staticmethod
    def _wide(x: Array) -> str:
        """In what states are summed up over time."""
        return "float64" if x.dtype == "float64" else "float32"

    def _goes_on(self, lengths: Array | None, t: int) -> Any:
        return None if lengths is None else (lengths > t)[:, None]

    def _project(
        self, m: Array, w_hr: Array, lengths: Array | None, t: int, h: Array, y: Array
    ) -> None:
        """h = y = m·w_hrᵀ where a sequence goes on; elsewhere h stays, and y is 0."""
        projected, on = self.backend.matmul(m, w_hr.T), self._goes_on(lengths, t)
        y[...] = projected if on is None else self.gpu.xp.where(on, projected, 0)
        h[...] = projected if on is None else self.gpu.xp.where(on, projected, h)

    def _project_bwd(
        self,
        gy: Array | None,
        product: Array | None,
        state: Array,
        lengths: Array | None,
        t: int,
        gp: Array,
    ) -> Array:
        """Writes the whole gradient of a projected h; returns what stays for earlier steps."""
        everything = state if product is None else state + product.astype(state.dtype)
        on = self._goes_on(lengths, t)
        g = everything if gy is None else everything + gy.astype(state.dtype)
        where = self.gpu.xp.where
        gp[...] = (g if on is None else where(on, g, 0)).astype(gp.dtype)
        return everything * 0 if on is None else where(on, 0, everything)
