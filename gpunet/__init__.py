"""gpunet: neural networks you can read.

Every function of `gpunet.functional` is also here, as in PyTorch: `gpunet.exp`, `gpunet.cat`, ...

They run on a GPU through CuPy and CUDA kernels, on a CPU through NumPy and Numba.

>>> import gpunet
>>> x = gpunet.tensor([[1.0, -2.0]], requires_grad=True)
>>> gpunet.functional.relu(x).sum().backward()
>>> x.grad
tensor([[1., 0.]], dtype=float32)
"""

__version__ = "0.1.0"

from gpunet import functional, nn, optim
from gpunet.autograd import (
    Tensor,
    autocast,
    capture,
    enable_grad,
    grad,
    gradcheck,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from gpunet.autograd import creation as _creation
from gpunet.autograd.creation import *
from gpunet.backend import dtypes as _dtypes
from gpunet.backend import random as _random
from gpunet.backend.dtypes import bool_ as bool
from gpunet.backend.dtypes import float16, float32, float64, int8, int16, int32, int64, uint8
from gpunet.functional import *
from gpunet.optim import GradScaler
from gpunet.profiling import profile

half, float, double, int, long = float16, float32, float64, int32, int64

__all__ = [
    *functional.__all__,
    *_creation.__all__,
    "GradScaler",
    "Tensor",
    "autocast",
    "bool",
    "capture",
    "double",
    "enable_grad",
    "float",
    "float16",
    "float32",
    "float64",
    "functional",
    "grad",
    "gradcheck",
    "half",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_grad_enabled",
    "long",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "profile",
    "set_grad_enabled",
    "uint8",
]


def __getattr__(name: str) -> object:
    if name == "bfloat16":  # needs a package, which is not imported before
        return _dtypes.bfloat16()
    raise AttributeError(f"module 'gpunet' has no attribute {name!r}")


def manual_seed(seed) -> None:
    """Starts all randomness (initial weights, dropout) anew from `seed`.

    Same seed, same bits, on any device.
    """
    _random.seed(seed)
