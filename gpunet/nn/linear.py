"""Dense layers."""

from __future__ import annotations

import math
from typing import Any

from gpunet import backend
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.activation import Activation
from gpunet.functional.einsum import bilinear
from gpunet.functional.linear import linear
from gpunet.nn import init
from gpunet.nn.module import Module, Parameter


class Identity(Module):
    """Its input, whatever arguments it was made with: stands where a layer was taken out."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x


class Linear(Module):
    """y = x·Wᵀ + b.

    Shapes: input (..., in_features), output (..., out_features); weight (out_features,
    in_features), bias (out_features,).

    Weights and bias start uniform in ±1/√in_features, as PyTorch's do.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        if in_features < 1 or out_features < 1:
            raise ArgumentError(
                "Linear",
                "in_features and out_features must be at least 1, "
                f"got {in_features} and {out_features}",
            )
        self.in_features, self.out_features = in_features, out_features
        be = backend.resolve(device)[0]
        self.weight = Parameter(Tensor(be.empty((out_features, in_features), dtype), be))
        self.bias = Parameter(Tensor(be.empty((out_features,), dtype), be)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weights and bias anew."""
        bound = 1.0 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        """`activation` is fused onto the result; `Sequential` passes that of the next layer."""
        return linear(x, self.weight, self.bias, activation=activation)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y_o = Σ_ij x1_i · W_oij · x2_j + b_o.

    Shapes: inputs (..., in1_features) and (..., in2_features), output (..., out_features); weight
    (out_features, in1_features, in2_features), bias (out_features,).

    Weights and bias start uniform in ±1/√in1_features, as PyTorch's do.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        sizes = in1_features, in2_features, out_features
        if min(sizes) < 1:
            rule = "in1_features, in2_features and out_features must be at least 1"
            raise ArgumentError("Bilinear", f"{rule}, got {sizes}")
        self.in1_features, self.in2_features, self.out_features = sizes
        be = backend.resolve(device)[0]
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(Tensor(be.empty(shape, dtype), be))
        self.bias = Parameter(Tensor(be.empty((out_features,), dtype), be)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weights and bias anew."""
        bound = 1.0 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}"
        return f"{sizes}, out_features={self.out_features}, bias={self.bias is not None}"
