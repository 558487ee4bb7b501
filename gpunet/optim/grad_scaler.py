"""Dynamic loss scaling, for gradients in float16."""

from __future__ import annotations

from typing import Any, TypeVar

from gpunet.autograd.tensor import Tensor
from gpunet.backend import dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.optim.optimizer import Optimizer

Outputs = TypeVar("Outputs", Tensor, list[Tensor], tuple[Tensor, ...])

LARGEST = 2.0**127  # of float32: the scale grows no further


class GradScaler:
    """Multiplies the loss, so that small gradients do not become 0 in float16, and divides again.

    A step with a gradient that is not finite is left out, and the scale falls to `backoff_factor`
    of it; after `growth_interval` steps in a row without one it grows by `growth_factor`.

        with gpunet.autocast("float16"):
            loss = cross_entropy(model(x), t)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)  # only where gradients are to be clipped or looked at
        scaler.step(optimizer)
        scaler.update()

    Args:
        init_scale: the first scale, above 0.
        growth_factor: above 1. backoff_factor: in (0, 1).
        growth_interval: at least 1.
        enabled: False makes all of it do nothing, so that one loop serves for both.

    Differs from PyTorch: no `device`; the scale is kept on the host, and `finite` says what
    `unscale_` found.
    Source: Micikevicius et al., arXiv:1710.03740, section 3.2.
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        for name, value, holds, rule in (
            ("init_scale", init_scale, 0 < init_scale <= LARGEST, "above 0 and at most 2^127"),
            ("growth_factor", growth_factor, growth_factor > 1, "above 1"),
            ("backoff_factor", backoff_factor, 0 < backoff_factor < 1, "in (0, 1)"),
            ("growth_interval", growth_interval, growth_interval >= 1, "at least 1"),
        ):
            if not holds:
                raise ArgumentError("GradScaler", f"{name} must be {rule}, got {value}")
        self._scale, self._growth_tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._enabled = growth_interval, enabled
        self._finite: dict[int, bool] = {}  # by id of each optimizer since the last `update`
        self._stepped: set[int] = set()

    def scale(self, outputs: Outputs) -> Outputs:
        """A loss, or a list or tuple of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        return type(outputs)(self.scale(loss) for loss in outputs)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divides the gradients of an optimizer's parameters by the scale, in place.

        Raises:
            ArgumentError: they were divided before, since the last `update`.
            DTypeError: a gradient is of a half: parameters are to be kept in float32.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._finite:
            problem = "must be called once between two updates, got a second call"
            raise ArgumentError("unscale_", problem)
        gradients = [
            x.grad
            for group in optimizer.param_groups
            for x in group["params"]
            if x.grad is not None
        ]
        for g in gradients:
            if dtypes.half(g.dtype):
                raise DTypeError("unscale_", f"gradients must be float32 or wider, got {g.dtype}")
        self._finite[id(optimizer)] = all([_unscale(g, 1 / self._scale) for g in gradients])

    def finite(self, optimizer: Optimizer) -> bool:
        """Whether all gradients were finite in `unscale_`, which must have been called."""
        return not self._enabled or self._finite[id(optimizer)]

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Makes the optimizer's step, of gradients divided by the scale, unless one is not finite.

        Returns:
            What `optimizer.step` does, None where the step is left out.

        Raises:
            ArgumentError: a second step since the last `update`, or a closure, whose gradients
                would not be divided.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or kwargs:
            raise ArgumentError("GradScaler.step", "must not be given a closure, got one")
        if id(optimizer) in self._stepped:
            problem = "must be called once between two updates, got a second call"
            raise ArgumentError("GradScaler.step", problem)
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return optimizer.step() if self.finite(optimizer) else None

    def update(self, new_scale: float | None = None) -> None:
        """Ends a step: the scale falls, grows or is set to `new_scale`.

        Raises:
            ArgumentError: no gradient was looked at since the last one, or `new_scale` is not
                above 0.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            if not 0 < new_scale <= LARGEST:
                raise ArgumentError("update", f"new_scale must be above 0, got {new_scale}")
            self._scale = float(new_scale)
        elif not self._finite:
            raise ArgumentError("update", "must follow unscale_ or step, got neither")
        elif not all(self._finite.values()):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                grown = self._scale * self._growth_factor
                self._scale, self._growth_tracker = min(grown, LARGEST), 0
        self._finite, self._stepped = {}, set()

    def get_scale(self) -> float:
        """What losses are multiplied by; 1 if not enabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, JSON-compatible; {} if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken; nothing happens if not enabled.

        Raises:
            ArgumentError: it is of a scaler that was not enabled.
        """
        if not self._enabled:
            return
        if not state_dict:
            problem = "state_dict must be of a scaler that was enabled, got {}"
            raise ArgumentError("load_state_dict", problem)
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]


def _unscale(g: Tensor, factor: float) -> bool:
    """Multiplies a gradient in place; whether it was finite."""
    g.array *= factor
    return bool(g.backend.xp.isfinite(g.array).all())
