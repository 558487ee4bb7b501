"""Well-known networks, each in one file that reads from top to bottom; the paper is named there."""

from gpunet.models.cnn import CNN
from gpunet.models.lenet import LeNet5
from gpunet.models.resnet import ResNet, ResNet20
from gpunet.models.unet import UNet

__all__ = ["CNN", "LeNet5", "ResNet", "ResNet20", "UNet"]
