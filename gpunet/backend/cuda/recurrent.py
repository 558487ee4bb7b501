"""Recurrent layers over whole sequences, one direction. Kernels: kernels/recurrent*.cu.

CPU twins: gpunet/backend/cpu/recurrent.py. Here a step is a product of cuBLAS and one launch. An
LSTM or GRU goes through all steps in one launch where it fits: an LSTM of few weights with a block
a sequence, others with the weights shared out over the blocks of a whole grid.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cuda.device import Limits
from gpunet.backend.cuda.launch import BLOCK, Family, Grid, block_per_row, grid_stride

# Bytes of recurrent weights that a block may read at every step of its sequence. Measured on an
# H200: one block gets 14 GB/s from the L2 cache, so that these take 9 µs and 1 MB takes 75, while a
# step of a whole grid takes 8 to 11 µs. It implies at most 128 units, of the 256 that fit a block.
READ = 1 << 17
# Multiplications of a block at a step of a whole grid: at one a lane and clock they take 9 µs.
# Measured on an H200: a step by cuBLAS and a launch, of a GRU of 512 units for 32 sequences, takes
# 75 µs, most of them in Python.
WORK = 1 << 21


@dataclass(frozen=True)
class WholeGrid:
    """How a layer is shared out over a grid whose blocks keep the recurrent weights.

    Attributes:
        width, height: units and sequences of a block, multiples of 4.
        grid: blocks, along units and along sequences. shared: bytes of weights that each keeps.
    """

    width: int
    height: int
    grid: Grid
    shared: int


@functools.lru_cache(64)
def whole_grid(
    limits: Limits, batch: int, units: int, gates: int, itemsize: int
) -> WholeGrid | None:
    """The grid for a layer; None if the blocks that run at once cannot keep its weights.

    Of the grids that can it is the one whose blocks have least to do at a step, and of these the
    one with most blocks along the sequences: a block reads what its sequences left, and no more.
    """
    best = None
    for down in range(min(-(-batch // 4), limits.processors), 0, -1):
        height, width = _fours(batch, down), _fours(units, limits.processors // down)
        weights = gates * units * width
        if weights * itemsize > limits.shared or weights * height > WORK:
            continue
        if best is None or width * height < best.width * best.height:
            grid = -(-units // width), -(-batch // height)
            best = WholeGrid(width, height, grid, weights * itemsize)
    return best


def _fours(count: int, parts: int) -> int:
    """The least multiple of 4 of which `parts` cover `count`."""
    return 4 * -(-count // (4 * parts))


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
            return y, h, self.backend.asarray(c, z.dtype), z, cells
        if w_hr is None and (whole := self._whole_grid(steps, batch, w)):
            arrays = z, w, bias, lengths, h, c, y, cells
            self._persistent("lstm_fwd_persistent", whole, y, units, arrays, reverse, keep)
            return y, h, self.backend.asarray(c, z.dtype), z, cells
        unkept = self.empty(sizes, z.dtype)
        m = None if w_hr is None else self._state(None, sizes, z.dtype)
        kernel, launch = self._launch("lstm_fwd", z.dtype, sizes)
        for t, before in _steps(steps, reverse):
            product = self._recurrent(h, w, h_0, before)
            states = (h, c, y[t]) if w_hr is None else (m, c, self.like(m))
            kept = cells[t] if keep else unkept
            kernel(*launch, z[t], product, bias, lengths, *states, kept, t, *sizes)
            if w_hr is not None:
                self._project(m, w_hr, lengths, t, h, y[t])
        return y, h, self.backend.asarray(c, z.dtype), z, cells

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
            return gz, self.backend.asarray(state, dtype), self.backend.asarray(cell, dtype), gp
        if w_hr is None and (whole := self._whole_grid(steps, batch, w)):
            given = gy, w, gates, cells, c_0, lengths, state, cell, gz
            self._persistent("lstm_bwd_persistent", whole, cells, columns, given, reverse)
            return gz, self.backend.asarray(state, dtype), self.backend.asarray(cell, dtype), gp
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
        return gz, self._sum(state, product, dtype), self.backend.asarray(cell, dtype), gp

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
        units = columns // 3
        sizes = batch, units
        h = self._state(h_0, sizes, z.dtype)
        y, q = (self.empty((steps, *sizes), z.dtype) for _ in range(2))
        if whole := self._whole_grid(steps, batch, w):
            arrays = z, w, bias, lengths, h, y, q
            self._persistent("gru_fwd_persistent", whole, y, units, arrays, reverse)
            return y, h, z, q
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
        gz = self.empty((steps, batch, 4 * units), y.dtype)
        state = self._state(gh, sizes, self._wide(y))
        if whole := self._whole_grid(steps, batch, w):
            given = gy, w, gates, q, y, h_0, lengths, state, gz
            self._persistent("gru_bwd_persistent", whole, y, 3 * units, given, reverse)
            return gz, self.backend.asarray(state, y.dtype)
        back = self.like(gates[0])
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
        return batch <= self.limits.processors and w.nbytes <= READ

    def _whole_grid(self, steps: int, batch: int, w: Array) -> WholeGrid | None:
        """The grid for all steps at once; None where it does not fit, and for a single step, which
        reads the weights but once and waits for no other."""
        rows, units = w.shape
        if steps == 1:
            return None
        return whole_grid(self.limits, batch, units, rows // units, w.dtype.itemsize)

    def _persistent(
        self, name: str, whole: WholeGrid, y: Array, moved: int, arrays: Any, *flags: bool
    ) -> None:
        """Starts all steps at once. y: an array (steps, batch, units); moved: the elements of a
        sequence that go from step to step."""
        panels = whole.grid[1] * whole.height // 4
        moving = self.backend.full((2, panels, moved, 4), 0, y.dtype)
        barrier = self.backend.full((whole.grid[1],), 0, "uint64")
        numbers = *y.shape, whole.width, whole.height, *flags
        kernel = self.kernel(name, y.dtype)
        kernel(whole.grid, BLOCK, *arrays, moving, barrier, *numbers, shared=whole.shared)

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
        return "float64" if x.dtype.char == "d" else "float32"

    def _goes_on(self, lengths: Array | None, t: int) -> Any:
        return None if lengths is None else (lengths > t)[:, None]

    def _project(
        self, m: Array, w_hr: Array, lengths: Array | None, t: int, h: Array, y: Array
    ) -> None:
        """h = y = m·w_hrᵀ where a sequence goes on; elsewhere h stays, and y is 0."""
        projected, on = self.backend.matmul(m, w_hr.T), self._goes_on(lengths, t)
        if on is None:
            y[...] = h[...] = projected
            return
        # CuPy's `where` knows no bfloat16.
        wide, before = (self.backend.asarray(a, self._wide(a)) for a in (projected, h))
        y[...] = self.gpu.xp.where(on, wide, 0)
        h[...] = self.gpu.xp.where(on, wide, before)

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
