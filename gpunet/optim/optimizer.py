"""The base of optimizers: parameter groups, state, and the call of one fused kernel a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpunet.autograd.memory import written
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, ShapeError


class Optimizer:
    """Changes parameters by their gradients.

    Args:
        params: tensors, or dicts of a group's tensors (`"params"`) and its own options.
        defaults: options of the groups that do not name their own.

    Attributes:
        param_groups: a dict a group, with `"params"` and options such as `"lr"`; may be changed
            between steps.
        state: what the rule remembers of each parameter, as arrays by name.

    A subclass says what it remembers (`fresh`) and applies its rule to a group (`update`).
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], **defaults: Any):
        given = list(params)
        if not given:
            raise ArgumentError(
                type(self).__name__, "params must hold at least one parameter, got none"
            )
        groups: list[Any] = given if isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._rates: dict[tuple[int, Any], tuple[float, Any]] = {}
        for group in groups:
            unknown = group.keys() - defaults.keys() - {"params"}
            if unknown:
                raise ArgumentError(
                    type(self).__name__,
                    f"group options must be among {sorted(defaults)}, got {sorted(unknown)}",
                )
            options = {**defaults, **group, "params": list(group["params"])}
            self._check_group(options)
            self.param_groups.append(options)

    def _check_group(self, group: dict[str, Any]) -> None:
        name = type(self).__name__
        for x in group["params"]:
            if not isinstance(x, Tensor) or not x.requires_grad or not x.is_leaf:
                raise ArgumentError(
                    name, "params must be leaves that require a gradient, got another"
                )
            if x in self.state:
                raise ArgumentError(
                    name, f"a parameter must stand once, got one of shape {x.shape} twice"
                )
            self.state[x] = {}
            x.array = x.backend.contiguous(x.array)  # a rule writes into it as one flat array
        for option, value in group.items():
            if option in ("lr", "weight_decay", "eps", "momentum") and not value >= 0:
                raise ArgumentError(name, f"{option} must be at least 0, got {value}")

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self) -> None:
        """Changes every parameter that has a gradient."""
        for index, group in enumerate(self.param_groups):
            parameters, gradients, states = [], [], []
            for x in group["params"]:
                if x.grad is None:
                    continue
                state = self.state[x]
                if not state:
                    state.update(self.fresh(x, group))
                if x.grad.array.shape != x.array.shape:
                    raise ShapeError(
                        "step",
                        f"a gradient must have its parameter's shape {x.shape}, got {x.grad.shape}",
                    )
                parameters.append(x.array)
                gradients.append(x.backend.contiguous(x.grad.array))
                states.append(state)
            if parameters:
                be = group["params"][0].backend
                self.update(
                    be, group, self._rate(be, index, group["lr"]), parameters, gradients, states
                )
                written(parameters)

    def _rate(self, be: Any, index: int, lr: float) -> Any:
        """The learning rate as a device array, written anew only when it changed."""
        known = self._rates.get((index, be))
        if known is None:
            known = self._rates[index, be] = lr, be.full((1,), lr, "float64")
        elif known[0] != lr:
            known[1].fill(lr)
            self._rates[index, be] = lr, known[1]
        return known[1]

    def fresh(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The first state of a parameter: arrays by name, with `"step"` an array of one float64."""
        raise NotImplementedError

    def update(
        self,
        be: Any,
        group: dict[str, Any],
        lr: Any,
        parameters: list[Any],
        gradients: list[Any],
        states: list[Any],
    ) -> None:
        """Applies the rule to raw arrays, in place."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """`{"groups": options of each group, "state": {"0": {name: host array}, ...}}`.

        The parameters are numbered in order.
        """
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        state = {
            str(i): {name: x.backend.to_host(value) for name, value in self.state[x].items()}
            for i, x in enumerate(self._parameters())
        }
        return {"groups": groups, "state": state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continues from a `state_dict` of an optimizer over the same parameters.

        Raises:
            ArgumentError: another number of groups or parameters, or options of another rule.
            ShapeError: state of another shape.
        """
        parameters = self._parameters()
        if len(saved["groups"]) != len(self.param_groups) or len(saved["state"]) != len(parameters):
            raise ArgumentError(
                "load_state_dict",
                f"must hold {len(self.param_groups)} groups and {len(parameters)} parameters, "
                f"got {len(saved['groups'])} and {len(saved['state'])}",
            )
        for group, options in zip(self.param_groups, saved["groups"], strict=True):
            own = group.keys() - {"params"}
            if options.keys() != own:
                raise ArgumentError(
                    "load_state_dict",
                    f"options must be {type(self).__name__}'s {sorted(own)}, got {sorted(options)}",
                )
        for i, x in enumerate(parameters):
            for name, value in saved["state"][str(i)].items():
                if name != "step" and value.size and value.shape != x.shape:
                    raise ShapeError(
                        "load_state_dict",
                        f"{name} of parameter {i} must have shape {x.shape}, got {value.shape}",
                    )
        for group, options in zip(self.param_groups, saved["groups"], strict=True):
            group.update(options)
        for i, x in enumerate(parameters):
            loaded = saved["state"][str(i)]
            self.state[x] = {
                name: x.backend.copy(x.backend.asarray(value)) for name, value in loaded.items()
            }

    def _parameters(self) -> list[Tensor]:
        return [x for group in self.param_groups for x in group["params"]]
