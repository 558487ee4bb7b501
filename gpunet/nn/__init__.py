"""Layers and models, with PyTorch's names, arguments and `state_dict` keys."""

from gpunet.nn import init, utils
from gpunet.nn.activation import (
    CELU,
    ELU,
    GELU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softplus,
    Softshrink,
    Softsign,
    Step,
    Tanh,
    Tanhshrink,
    Threshold,
)
from gpunet.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from gpunet.nn.dropout import Dropout
from gpunet.nn.embedding import Embedding
from gpunet.nn.flatten import Flatten, Unflatten
from gpunet.nn.gating import GLU, PReLU, RReLU
from gpunet.nn.linear import Bilinear, Identity, Linear
from gpunet.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from gpunet.nn.module import Buffer, Module, Parameter
from gpunet.nn.softmax import LogSoftmax, Softmax, Softmax2d, Softmin

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "BCEWithLogitsLoss",
    "Bilinear",
    "Buffer",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "PReLU",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Step",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Unflatten",
    "init",
    "utils",
]
