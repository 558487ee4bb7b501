"""Optimizers and schedules, with PyTorch's names, arguments and trajectories."""

from gpunet.optim import lr_scheduler, swa_utils
from gpunet.optim.adadelta import Adadelta
from gpunet.optim.adagrad import Adagrad
from gpunet.optim.adam import Adam, AdamW
from gpunet.optim.adamax import Adamax
from gpunet.optim.grad_scaler import GradScaler
from gpunet.optim.lbfgs import LBFGS
from gpunet.optim.nadam import NAdam
from gpunet.optim.optimizer import Optimizer
from gpunet.optim.radam import RAdam
from gpunet.optim.rmsprop import RMSprop
from gpunet.optim.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "GradScaler",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
    "swa_utils",
]
