"""Averages of the weights along training: the run is then judged by them."""

from __future__ import annotations

from gpunet import nn
from gpunet.optim import swa_utils
from gpunet.train.config import AverageConfig


class Averaging:
    """An averaged copy of a model, kept up to date.

    Args:
        config: which average; None for none.

    Attributes:
        average: the copy and its count, None where there is no averaging.
    """

    def __init__(self, config: AverageConfig | None, model: nn.Module):
        self.config, self.average = config, None
        if config:
            ema = config.kind == "ema"
            rule = swa_utils.get_ema_avg_fn(config.decay) if ema else swa_utils.get_swa_avg_fn()
            self.average = swa_utils.AveragedModel(model, rule, use_buffers=True)

    def after_step(self, model: nn.Module, epoch: int) -> None:
        """Epochs count from 0."""
        if self.config and self.average and self.config.kind == "ema":
            if epoch >= self.config.start:
                self.average.update_parameters(model)

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        if self.config and self.average and self.config.kind == "swa":
            if epoch >= self.config.start:
                self.average.update_parameters(model)

    def best_of(self, model: nn.Module) -> nn.Module:
        """What to judge: the average once there is one, else `model` itself."""
        if self.average is None or not int(self.average.n_averaged.array):
            return model
        return self.average.module
