"""The typical convolutional network: maps that become smaller and more, then dense layers."""

from __future__ import annotations

from collections.abc import Sequence

from gpunet import nn
from gpunet.errors import ArgumentError


class CNN(nn.Sequential):
    """[Conv → ReLU → (BatchNorm) → Pool] × N → Flatten → [Linear → ReLU → (Dropout)] × M → Linear.

    Shapes: input (N, C, H, W), output (N, classes) unnormalised scores.

    Args:
        shape: (C, H, W) of an input; each stage halves H and W, rounded down.
        classes: how many scores.
        channels: maps of each convolution (3 × 3, which keeps H and W).
        hidden: units of each dense layer before the last.
        batch_norm: whether each convolution is followed by a `BatchNorm2d`.
        dropout: share of the hidden units dropped in training; with 0 there is no such layer.

    Raises:
        ArgumentError: a shape that is not of three sizes, or pictures too small to be halved as
            often as there are convolutions.

    >>> CNN((1, 4, 4), classes=3, channels=(2,), hidden=(5,))
    CNN(
      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (1): ReLU()
      (2): BatchNorm2d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (3): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
      (4): Flatten(start_dim=1, end_dim=-1)
      (5): Linear(8, 5, bias=True)
      (6): ReLU()
      (7): Dropout(p=0.5)
      (8): Linear(5, 3, bias=True)
    )
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int = 10,
        channels: Sequence[int] = (32, 64),
        hidden: Sequence[int] = (128,),
        batch_norm: bool = True,
        dropout: float = 0.5,
    ):
        if len(shape) != 3:
            raise ArgumentError("CNN", f"shape must be (C, H, W), got {tuple(shape)}")
        maps, height, width = shape
        if min(height, width) >> len(channels) < 1:
            rule = f"shape must have H and W of at least {1 << len(channels)}"
            context = f"{len(channels)} convolutions, each followed by a pooling that halves them"
            raise ArgumentError("CNN", f"{rule}, got {height} × {width}", context)
        layers: list[nn.Module] = []
        for more in channels:
            layers += [nn.Conv2d(maps, more, 3, padding=1), nn.ReLU()]
            if batch_norm:
                layers.append(nn.BatchNorm2d(more))
            layers.append(nn.MaxPool2d(2))
            maps, height, width = more, height // 2, width // 2
        layers.append(nn.Flatten())
        units = maps * height * width
        for more in hidden:
            layers += [nn.Linear(units, more), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            units = more
        super().__init__(*layers, nn.Linear(units, classes))
