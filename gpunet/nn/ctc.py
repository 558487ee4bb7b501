"""The loss of sequences whose labels have no known places, as a module."""

from __future__ import annotations

from collections.abc import Sequence

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.nn.module import Module


class CTCLoss(Module):
    """See `functional.ctc_loss`."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        self.blank, self.reduction, self.zero_infinity = blank, reduction, zero_infinity

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor | Sequence[int],
        target_lengths: Tensor | Sequence[int],
    ) -> Tensor:
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )
