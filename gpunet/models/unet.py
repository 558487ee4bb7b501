"""U-Net: a class for every pixel, from what lies around it near and far."""

from __future__ import annotations

from collections.abc import Sequence

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd import Tensor
from gpunet.errors import ArgumentError, ShapeError


class UNet(nn.Module):
    """Down through ever smaller and more maps, up again, beside each level what came down there.

    What differs from the paper: convolutions keep height and width (the paper's lose a border of
    each map), so that every pixel has its score, and they are normalised, unless `batch_norm` is
    off.

    Shapes: input (N, in_channels, H, W), output (N, classes, H, W) unnormalised scores; H and W
    must be multiples of 2 to the power of len(channels) − 1.

    Args:
        classes: scores a pixel.
        channels: maps of each level, from the top down; the paper's are 64, 128, 256, 512, 1024.

    Raises:
        ArgumentError: no level.
        ShapeError: pictures that cannot be halved as often as there are levels below the first.

    Source: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image
    segmentation", arXiv:1505.04597, figure 1.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        channels: Sequence[int] = (16, 32, 64, 128),
        batch_norm: bool = True,
    ):
        if not channels:
            raise ArgumentError("UNet", "channels must have at least one level, got none")
        self.in_channels, self.halvings = in_channels, len(channels) - 1
        before = (in_channels, *channels)
        self.down = nn.ModuleList(
            self._convolutions(maps, more, batch_norm)
            for maps, more in zip(before, channels, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        upwards = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.widen = nn.ModuleList(nn.ConvTranspose2d(maps, less, 2, 2) for maps, less in upwards)
        self.up = nn.ModuleList(
            self._convolutions(2 * less, less, batch_norm) for _, less in upwards
        )
        self.scores = nn.Conv2d(channels[0], classes, 1)

    @staticmethod
    def _convolutions(maps: int, more: int, batch_norm: bool) -> nn.Sequential:
        layers: list[nn.Module] = []
        for before in (maps, more):
            layers.append(nn.Conv2d(before, more, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(more))
            layers.append(nn.ReLU())
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        beside = []
        for level, convolutions in enumerate(self.down):
            x = convolutions(self.pool(x) if level else x)
            beside.append(x)
        beside.pop()
        for widen, convolutions in zip(self.widen, self.up, strict=True):
            x = convolutions(F.cat([beside.pop(), widen(x)], 1))
        return self.scores(x)

    def _check(self, x: Tensor) -> None:
        multiple = 2**self.halvings
        if x.ndim != 4 or x.shape[1] != self.in_channels or any(n % multiple for n in x.shape[2:]):
            rule = (
                f"x must have shape (N, {self.in_channels}, H, W), H and W multiples of {multiple}"
            )
            raise ShapeError("UNet", f"{rule}, got {x.shape}")
