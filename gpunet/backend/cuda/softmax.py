"""Softmax, log-softmax and cross entropy over the last axis. Kernels: kernels/softmax.cu.

CPU twins: gpunet/backend/cpu/softmax.py.
"""

from __future__ import annotations

from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import BLOCK, Family, block_per_row, panel_per_row


class Softmax(Family):
    """See the CPU twins for what each function computes."""

    def softmax_fwd(self, x: Array) -> Array:
        return self._rows("softmax_fwd", x)

    def softmax_bwd(self, gy: Array, y: Array) -> Array:
        return self._rows("softmax_bwd", gy, y)

    def weights_fwd(self, x: Array, scale: float, first: int) -> Array:
        rows, columns = _shape(x)
        kernel = self.kernel("weights_fwd", x.dtype)
        launch = panel_per_row(self.limits, rows, columns)
        kernel(*launch, x, x, rows, columns, x.shape[-2], first, scale)
        return x

    def weights_bwd(self, gy: Array, y: Array, scale: float) -> Array:
        rows, columns = _shape(y)
        kernel = self.kernel("weights_bwd", y.dtype)
        kernel(*panel_per_row(self.limits, rows, columns), gy, y, gy, rows, columns, scale)
        return gy

    def log_softmax_fwd(self, x: Array) -> Array:
        return self._rows("log_softmax_fwd", x)

    def log_softmax_bwd(self, gy: Array, y: Array) -> Array:
        return self._rows("log_softmax_bwd", gy, y)

    def _rows(self, name: str, *arrays: Array) -> Array:
        x = arrays[0]
        out, rows, columns = self.like(x), *_shape(x)
        launch = panel_per_row(self.limits, rows, columns)
        self.kernel(name, x.dtype)(*launch, *arrays, out, rows, columns)
        return out

    def cross_entropy_fwd(
        self, x: Array, target: Array, weight: Array | None, ignore_index: int, smoothing: float
    ) -> tuple[Array, Array, Array]:
        """As the CPU twin, but a label outside [0, C) is reported later.

        A kernel cannot raise, and to wait for it would stop the device. The row's loss is NaN, and
        the error comes where a value is next read from the device (see `faults.py`).
        """
        rows, columns = x.shape
        losses, totals = self.empty((rows,), x.dtype), self.empty((3,), x.dtype)
        rule = f"target must be in [0, C) = [0, {columns})"
        context = f"ignore_index is {ignore_index}"
        p, watch = self.like(x), self.backend.faults.watch
        bad_row = watch("cross_entropy", rule, target, context)
        launch = panel_per_row(self.limits, rows, columns)
        arguments: tuple[Any, ...] = (x, target, weight, losses, p, bad_row)
        forward, finish = (self.kernel(f"cross_entropy_fwd{s}", x.dtype) for s in ("", "_finish"))
        forward(*launch, *arguments, rows, columns, ignore_index, smoothing)
        finish((1, 1), BLOCK, losses, target, weight, totals, rows, columns, ignore_index)
        return losses, totals, p

    def cross_entropy_bwd(
        self,
        gy: Array,
        p: Array,
        target: Array,
        weight: Array | None,
        ignore_index: int,
        smoothing: float,
    ) -> Array:
        gx, (rows, columns) = self.like(p), p.shape
        launch = block_per_row(self.limits, rows, columns)
        kernel = self.kernel("cross_entropy_bwd", p.dtype)
        gy_step = int(gy.size > 1)
        arguments = (gy, p, target, weight, gx, rows, columns, gy_step)
        kernel(*launch, *arguments, ignore_index, smoothing)
        return gx


def _shape(x: Array) -> tuple[int, int]:
    """Rows and columns of x, whose last axis are the columns."""
    columns = x.shape[-1]
    return x.size // columns if columns else 0, columns
