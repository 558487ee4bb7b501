"""Residual networks for small pictures: layers that learn what to add to their input."""

from __future__ import annotations

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd import Tensor
from gpunet.errors import ArgumentError


class BasicBlock(nn.Sequential):
    """relu(f(x) + x) with two 3 × 3 convolutions f; without `residual`, relu(f(x)).

    Shapes: input (N, in_channels, H, W), output (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, residual: bool):
        super().__init__(
            {
                "conv1": nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
                "bn1": nn.BatchNorm2d(out_channels),
                "relu": nn.ReLU(),
                "conv2": nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                "bn2": nn.BatchNorm2d(out_channels),
            }
        )
        self.stride, self.residual = stride, residual
        self.added = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return F.relu(y + self.shortcut(x) if self.residual else y)

    def shortcut(self, x: Tensor) -> Tensor:
        """x, where f halves it every other pixel, with empty maps around its own (option A)."""
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.added:
            before = self.added // 2
            x = F.pad(x, (0, 0, 0, 0, before, self.added - before))
        return x


class ResNet(nn.Module):
    """A residual network of `depth` = 6n + 2 layers for pictures of about 32 × 32 pixels.

    A convolution, three stages of n blocks with 16, 32 and 64 maps, of which the second and third
    halve height and width, the mean over each map, and a linear layer. Shortcuts have no weights,
    so that with and without them (`residual=False`, the plain network) there are equally many.

    Shapes: input (N, in_channels, H, W), output (N, classes) unnormalised scores.

    Args:
        depth: layers with weights: 20, 32, 44, 56, ...

    Raises:
        ArgumentError: the depth is not 6n + 2 with n of at least 1.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", arXiv:1512.03385,
    section 4.2 (Table 6 has 0.27 M parameters for 20 layers).

    >>> sum(p.numel() for p in ResNet(20).parameters())
    269722
    """

    def __init__(self, depth: int, in_channels: int = 3, classes: int = 10, residual: bool = True):
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ArgumentError("ResNet", f"depth must be 8, 14, 20, ... (6n + 2), got {depth}")
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(blocks, 16, 16, 1, residual)
        self.layer2 = self._stage(blocks, 16, 32, 2, residual)
        self.layer3 = self._stage(blocks, 32, 64, 2, residual)
        self.fc = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    @staticmethod
    def _stage(blocks: int, before: int, maps: int, stride: int, residual: bool) -> nn.Sequential:
        first = BasicBlock(before, maps, stride, residual)
        return nn.Sequential(
            first, *(BasicBlock(maps, maps, 1, residual) for _ in range(blocks - 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class ResNet20(ResNet):
    """`ResNet` of 20 layers, the paper's smallest: 0.27 M parameters."""

    def __init__(self, in_channels: int = 3, classes: int = 10, residual: bool = True):
        super().__init__(20, in_channels, classes, residual)
