"""Define-by-run reverse-mode differentiation: tensors, operations, and the backward pass."""

from gpunet.autograd.gradcheck import gradcheck
from gpunet.autograd.mode import enable_grad, is_grad_enabled, no_grad
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, tensor

__all__ = [
    "Op",
    "Tensor",
    "apply",
    "enable_grad",
    "gradcheck",
    "is_grad_enabled",
    "no_grad",
    "tensor",
]
