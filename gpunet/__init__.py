"""gpunet: neural networks you can read.

They run on a GPU through CuPy and CUDA kernels, on a CPU through NumPy and Numba.

>>> import gpunet
>>> x = gpunet.tensor([[1.0, -2.0]], requires_grad=True)
>>> gpunet.functional.relu(x).sum().backward()
>>> x.grad
tensor([[1., 0.]], dtype=float32)
"""

__version__ = "0.1.0"

from gpunet import functional, nn, optim
from gpunet.autograd import Tensor, enable_grad, gradcheck, is_grad_enabled, no_grad, tensor
from gpunet.backend import random as _random

__all__ = [
    "Tensor",
    "enable_grad",
    "functional",
    "gradcheck",
    "is_grad_enabled",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "tensor",
]


def manual_seed(seed: int) -> None:
    """Starts all randomness (initial weights, dropout) anew from `seed`.

    Same seed, same bits, on any device.
    """
    _random.seed(seed)
