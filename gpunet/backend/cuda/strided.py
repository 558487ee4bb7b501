"""Launches of kernels that read and write views, whose strides they are told."""

from __future__ import annotations

from typing import Any

from gpunet.backend.cuda.launch import Kernel


class StridedKernel(Kernel):
    """As `Kernel`, but an array need only be contiguous along its last axis.

    What is written shares no element with other arrays: either it ends before they start, or both
    are columns of one matrix, as q, k and v are that were computed in one product.
    """

    layout = "contiguous along the last axis"

    def _reach(self, x: Any) -> tuple[int, int] | None:
        size = x.dtype.itemsize
        if x.ndim and x.strides[-1] != size and x.shape[-1] > 1:
            return None
        start = stop = self.device.address(x)
        if not x.size:
            return start, stop
        for n, stride in zip(x.shape, x.strides, strict=True):
            if stride < 0:
                start += (n - 1) * stride
            else:
                stop += (n - 1) * stride
        return start, stop + size

    def _interleaved(self, x: Any, y: Any) -> bool:
        """Whether x and y have rows equally far apart, and different places in what lies between.

        Each element of x is then some whole number of rows away from the first `x_bytes` of x.
        """
        row = x.strides[-2] if min(x.ndim, y.ndim) > 1 else 0
        if row <= 0 or y.strides[-2] != row:
            return False
        x_bytes, y_bytes = _bytes_of_a_row(x, row), _bytes_of_a_row(y, row)
        between = (self.device.address(y) - self.device.address(x)) % row
        return x_bytes <= between and between + y_bytes <= row


def _bytes_of_a_row(x: Any, row: int) -> int:
    """How far the axes reach that do not lead from row to row."""
    within = [
        (n - 1) * abs(stride) for n, stride in zip(x.shape, x.strides, strict=True) if stride % row
    ]
    return sum(within) + x.dtype.itemsize
