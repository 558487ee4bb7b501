"""Dropout of channels, and dropout that keeps mean and variance, as layers."""

from __future__ import annotations

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.nn.dropout import Dropout


class Dropout1d(Dropout):
    """Zeroes channels in training; see `functional.dropout1d`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout1d(x, self.p, self.training, self.inplace)


class Dropout2d(Dropout):
    """Zeroes channels in training; see `functional.dropout2d`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.p, self.training, self.inplace)


class Dropout3d(Dropout):
    """Zeroes channels in training; see `functional.dropout3d`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout3d(x, self.p, self.training, self.inplace)


class AlphaDropout(Dropout):
    """Keeps mean 0 and variance 1 of what it drops from; see `functional.alpha_dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.alpha_dropout(x, self.p, self.training, self.inplace)


class FeatureAlphaDropout(Dropout):
    """`AlphaDropout` of whole channels; see `functional.feature_alpha_dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.feature_alpha_dropout(x, self.p, self.training, self.inplace)
