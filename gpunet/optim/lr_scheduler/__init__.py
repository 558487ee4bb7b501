"""Schedules of the learning rate, with PyTorch's names, arguments and trajectories.

A schedule writes `lr` into the groups of its optimizer: once when it is made, and at every
`step()`, to be called after the optimizer's, once a batch or once an epoch as its numbers are
meant.

    optimizer = optim.SGD(model.parameters(), lr=0.1)
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=500)
    decay = lr_scheduler.CosineAnnealingLR(optimizer, T_max=9500)
    schedule = lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[500])

Most schedules multiply the rate they find, so that several may act on one optimizer in turn.
"""

from gpunet.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from gpunet.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from gpunet.optim.lr_scheduler.factor import (
    ConstantLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from gpunet.optim.lr_scheduler.function import LambdaLR, MultiplicativeLR
from gpunet.optim.lr_scheduler.one_cycle import OneCycleLR
from gpunet.optim.lr_scheduler.plateau import ReduceLROnPlateau
from gpunet.optim.lr_scheduler.scheduler import LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
