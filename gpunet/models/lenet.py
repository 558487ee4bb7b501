"""LeNet-5: the convolutional network that read the digits on bank cheques."""

from __future__ import annotations

from gpunet import nn


class LeNet5(nn.Sequential):
    """Two convolutions and three dense layers for pictures of 28 × 28 pixels.

    Layers have the paper's names. What has changed since 1998: C3 looks at all maps of S2, S2 and
    S4 take the maximum and have no weights, ReLU stands for tanh, and the output is linear.

    Shapes: input (N, in_channels, 28, 28), output (N, classes) unnormalised scores.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", Proc. IEEE 86(11), 1998, section II.B.

    >>> sum(p.numel() for p in LeNet5().parameters())
    61706
    """

    def __init__(self, in_channels: int = 1, classes: int = 10):
        super().__init__(
            {
                # The paper's pictures of 32 × 32 are those of 28 × 28 with a border.
                "c1": nn.Conv2d(in_channels, 6, 5, padding=2),
                "relu1": nn.ReLU(),
                "s2": nn.MaxPool2d(2),
                "c3": nn.Conv2d(6, 16, 5),
                "relu3": nn.ReLU(),
                "s4": nn.MaxPool2d(2),
                "flatten": nn.Flatten(),
                "c5": nn.Linear(16 * 5 * 5, 120),
                "relu5": nn.ReLU(),
                "f6": nn.Linear(120, 84),
                "relu6": nn.ReLU(),
                "output": nn.Linear(84, classes),
            }
        )
