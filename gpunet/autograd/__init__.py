"""Define-by-run reverse-mode differentiation: tensors, operations, and the backward pass."""

from gpunet.autograd.capture import capture
from gpunet.autograd.creation import tensor
from gpunet.autograd.gradcheck import gradcheck
from gpunet.autograd.gradient import grad
from gpunet.autograd.memory import written
from gpunet.autograd.mode import (
    Watcher,
    autocast,
    enable_grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
    span,
    watched,
    watching,
)
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor

__all__ = [
    "Op",
    "Tensor",
    "Watcher",
    "apply",
    "autocast",
    "capture",
    "enable_grad",
    "grad",
    "gradcheck",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "span",
    "tensor",
    "watched",
    "watching",
    "written",
]
