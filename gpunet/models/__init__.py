"""Whole models, each a plain `nn.Module` that reads from top to bottom, with its paper named.

`kind = "NAME"` in the `[model]` of a configuration takes a class of this room. `universal.build`
makes a network for a given function, without training.
"""

from gpunet.models import universal
from gpunet.models.charlm import CharLM
from gpunet.models.cnn import CNN
from gpunet.models.forecaster import Forecaster
from gpunet.models.gpt import GPT
from gpunet.models.lenet import LeNet5
from gpunet.models.resnet import ResNet, ResNet20
from gpunet.models.seq2seq import Seq2Seq
from gpunet.models.textcnn import TextCNN
from gpunet.models.unet import UNet

__all__ = [
    "CNN",
    "GPT",
    "CharLM",
    "Forecaster",
    "LeNet5",
    "ResNet",
    "ResNet20",
    "Seq2Seq",
    "TextCNN",
    "UNet",
    "universal",
]
