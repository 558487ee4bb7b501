"""Activation functions with weights, noise or a gate, as layers."""

from __future__ import annotations

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.nn.module import Module, Parameter


class GLU(Module):
    """a · σ(b), the halves of x along `dim`; see `functional.glu`."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x or weight·x with a weight that is learned; see `functional.prelu`.

    Args:
        num_parameters: 1, or one for each channel. init: what the weights start with.
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        self.num_parameters, self.init = num_parameters, init
        be = backend.resolve(device)[0]
        self.weight = Parameter(Tensor(be.empty((num_parameters,), dtype), be))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weights to `init`."""
        self.weight.array.fill(self.init)

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x or r·x, r drawn in training; see `functional.rrelu`."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False):
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(x, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + ", inplace=True" * self.inplace
