"""Layers and models, with PyTorch's names, arguments and `state_dict` keys."""

from gpunet.nn import init, utils
from gpunet.nn.activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from gpunet.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from gpunet.nn.dropout import Dropout
from gpunet.nn.embedding import Embedding
from gpunet.nn.flatten import Flatten, Unflatten
from gpunet.nn.linear import Bilinear, Identity, Linear
from gpunet.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from gpunet.nn.module import Buffer, Module, Parameter

__all__ = [
    "ELU",
    "GELU",
    "BCEWithLogitsLoss",
    "Bilinear",
    "Buffer",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "init",
    "utils",
]
