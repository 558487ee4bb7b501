"""What a step does to gradients before the optimizer, and to weights after it."""

from __future__ import annotations

from collections.abc import Iterable

from gpunet import nn
from gpunet.autograd import Tensor, written
from gpunet.backend import random
from gpunet.nn import utils
from gpunet.train.config import RegularizationConfig

_NOISE_DECAY = 0.55  # γ of the paper


def change_gradients(model: nn.Module, config: RegularizationConfig, step: int) -> None:
    """In this order: the gradient of the L1 penalty is added, noise is added, both are clipped.

    - l1: g ← g + l1·sign(w), for weights of two axes or more: the gradient of l1·Σ|w|.
    - noise: g ← g + N(0, noise / (1 + step)^0.55), by variance, drawn on the host.
    - clip_value, then clip_norm: see `nn.utils`.

    Source: Neelakantan et al., arXiv:1511.06807, eq. 1, for the noise; η is `noise`.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    if config.l1:
        for w in _weights(parameters):
            assert w.grad is not None
            w.grad.array += config.l1 * w.backend.xp.sign(w.array)
    if config.noise:
        deviation = (config.noise / (1 + step) ** _NOISE_DECAY) ** 0.5
        for p in parameters:
            assert p.grad is not None
            drawn = random.host.standard_normal(p.shape) * deviation
            p.grad.array += p.backend.asarray(drawn.astype(p.dtype))
    if config.l1 or config.noise:
        written(p.grad.array for p in parameters if p.grad is not None)
    if config.clip_value:
        utils.clip_grad_value_(parameters, config.clip_value)
    if config.clip_norm:
        utils.clip_grad_norm_(parameters, config.clip_norm)


def change_weights(model: nn.Module, config: RegularizationConfig) -> None:
    """Scales the incoming weights of each unit, a row of a weight, to a norm of at most `max_norm`.

    Source: Srivastava et al., JMLR 15 (2014), section 5.1.
    """
    if not config.max_norm:
        return
    weights = list(_weights(model.parameters()))
    for w in weights:
        xp, rows = w.backend.xp, w.array.reshape(len(w), -1)
        norms = xp.sqrt((rows * rows).sum(axis=1, keepdims=True))
        # Not above 1, and 1 for a row of zeros.
        rows *= xp.minimum(config.max_norm / xp.maximum(norms, config.max_norm), 1).astype(w.dtype)
    written(w.array for w in weights)


def _weights(parameters: Iterable[Tensor]) -> Iterable[Tensor]:
    """Those that multiply: biases and scales have one axis."""
    return (p for p in parameters if p.ndim >= 2)
