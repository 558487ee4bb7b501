"""The forward and backward sums of CTC over all alignments. Kernels: kernels/ctc.cu.

CPU twins: gpunet/backend/cpu/ctc.py.
"""

from __future__ import annotations

from gpunet.backend.base import WIDE, Array
from gpunet.backend.cuda.launch import Family, block_per_row


class Ctc(Family):
    """See the CPU twins for what each function computes."""

    def ctc_loss_fwd(
        self, x: Array, classes: Array, times: Array, counts: Array
    ) -> tuple[Array, Array]:
        (steps, batch, channels), width = x.shape, classes.shape[1]
        wide = WIDE.get(x.dtype.char, x.dtype)
        alpha, loss = self.empty((batch, steps, 2, width), wide), self.empty((batch,), wide)
        launch = block_per_row(self.limits, batch, width)
        kernel = self.kernel("ctc_loss_fwd", x.dtype)
        arrays = x, classes, times, counts, alpha, loss
        kernel(*launch, *arrays, steps, batch, channels, width)
        return loss, alpha

    def ctc_loss_bwd(
        self,
        gy: Array,
        x: Array,
        classes: Array,
        times: Array,
        counts: Array,
        alpha: Array,
        loss: Array,
        zero_infinity: bool,
    ) -> Array:
        """As the CPU twin. The steps, which wait for each other, only leave log β of all states."""
        (steps, batch, channels), width = x.shape, classes.shape[1]
        gx, beta, path = self.like(x), self.like(alpha), (classes, times, counts)
        sizes = steps, batch, channels, width
        backward, finish = (self.kernel(f"ctc_loss_bwd{s}", x.dtype) for s in ("", "_finish"))
        backward(*block_per_row(self.limits, batch, width), x, *path, beta, *sizes)
        launch = block_per_row(self.limits, steps * batch, channels)
        finish(*launch, gy, *path, alpha, beta, loss, gx, *sizes, zero_infinity)
        return gx
