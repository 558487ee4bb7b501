"""The base of optimizers: parameter groups, state, and the call of one fused kernel a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

from gpunet.autograd.memory import written
from gpunet.autograd.mode import enable_grad, watched
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, DTypeError, ShapeError

Params = Iterable[Tensor] | Iterable[dict[str, Any]]

_AT_LEAST_0 = frozenset(
    "lr weight_decay eps momentum lr_decay initial_accumulator_value momentum_decay".split()
)
_FRACTIONS = frozenset(("alpha", "rho"))
_COUNTS = frozenset(("step", "mu_product"))  # state that is one float64, whatever the parameter
_kind = attrgetter("shape", "dtype")
_OF_SCHEDULES = frozenset(("initial_lr",))  # what a schedule notes in a group


class Optimizer:
    """Changes parameters by their gradients.

    Args:
        params: tensors, or dicts of a group's tensors (`"params"`) and its own options.
        defaults: options of the groups that do not name their own.

    Attributes:
        param_groups: a dict a group, with `"params"` and options such as `"lr"`; may be changed
            between steps.
        state: what the rule remembers of each parameter, as arrays by name.

    A subclass names what its kernel remembers (`state_names`, in the kernel's order), says with
    what a group needs it to start (`fresh`), and calls the kernel (`update`).
    """

    state_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Params, defaults: dict[str, Any]):
        given = list(params)
        if not given:
            raise ArgumentError(
                type(self).__name__, "params must hold at least one parameter, got none"
            )
        groups: list[Any] = given if isinstance(given[0], dict) else [{"params": given}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._rates: list[tuple[float, Any]] = []
        for group in groups:
            self.add_param_group(group)

    # --- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Takes a further group: a dict of its tensors (`"params"`) and its own options.

        Raises:
            ArgumentError: an option that the rule does not have, or a value out of range; a
                parameter that is no leaf, that another group has, or on another device.
        """
        name = type(self).__name__
        if "params" not in param_group:
            raise ArgumentError(name, f'a group must have "params", got {sorted(param_group)}')
        unknown = param_group.keys() - self.defaults.keys() - _OF_SCHEDULES - {"params"}
        if unknown:
            raise ArgumentError(
                name, f"group options must be among {sorted(self.defaults)}, got {sorted(unknown)}"
            )
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        self._check_parameters(params)
        group = {**self.defaults, **param_group, "params": params}
        self.check_options(group)
        for x in params:
            x.array = x.backend.contiguous(x.array)  # a rule writes into it as one flat array
            self.state[x] = {}
        self.param_groups.append(group)
        be = params[0].backend if params else None
        self._rates.append((group["lr"], be.full((1,), group["lr"], "float64") if be else None))

    def _check_parameters(self, params: list[Any]) -> None:
        name, seen = type(self).__name__, set(self.state)
        for x in params:
            if not isinstance(x, Tensor) or not x.requires_grad or not x.is_leaf:
                raise ArgumentError(
                    name, "params must be leaves that require a gradient, got another"
                )
            if x in seen:
                raise ArgumentError(
                    name, f"a parameter must stand once, got one of shape {x.shape} twice"
                )
            if x.backend is not params[0].backend:
                raise ArgumentError(
                    name,
                    f"params of a group must be on one device, got {params[0].device} and "
                    f"{x.device}",
                )
            seen.add(x)

    def check_options(self, group: dict[str, Any]) -> None:
        """Refuses options out of range; a rule adds what it alone asks for."""
        name = type(self).__name__
        for option, value in group.items():
            if option in _AT_LEAST_0 and not value >= 0:
                raise ArgumentError(name, f"{option} must be at least 0, got {value}")
            if option in _FRACTIONS and not 0 <= value <= 1:
                raise ArgumentError(name, f"{option} must be in [0, 1], got {value}")
            if option == "betas":
                group["betas"] = betas = tuple(value)
                if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
                    raise ArgumentError(name, f"betas must be two numbers in [0, 1), got {betas}")

    # --- steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients, or overwrites them with 0 if not `set_to_none`."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad.array.fill(0)

    @watched("optimizer")
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes every parameter that has a gradient.

        Args:
            closure: computes the gradients anew and returns the loss; called first.

        Returns:
            What `closure` returned, None without one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for index, group in enumerate(self.param_groups):
            changed = [x for x in group["params"] if x.grad is not None]
            if not changed:
                continue
            be = changed[0].backend
            arrays = [[x.array for x in changed], self._gradients(changed)]
            arrays += self._states(changed, self.fresh(group))
            be.each_time(partial(self._refresh_rate, index))
            self.update(be, group, arrays, self._rates[index][1])
            written(arrays[0])
        return loss

    def _gradients(self, changed: list[Tensor]) -> list[Any]:
        """Their gradients, C-contiguous."""
        contiguous = changed[0].backend.contiguous
        gradients = [contiguous(x.grad.array) for x in changed if x.grad is not None]
        if list(map(_kind, gradients)) != [_kind(x.array) for x in changed]:
            for g, x in zip(gradients, changed, strict=True):
                self._check_gradient(g, x.array)
        return gradients

    def _check_gradient(self, g: Any, p: Any) -> None:
        if g.shape != p.shape:
            raise ShapeError(
                "step", f"a gradient must have its parameter's shape {p.shape}, got {g.shape}"
            )
        if g.dtype != p.dtype:
            raise DTypeError(
                "step", f"a gradient must have its parameter's dtype {p.dtype}, got {g.dtype}"
            )

    def _states(self, changed: list[Tensor], fresh: dict[str, float]) -> list[list[Any]]:
        """What is remembered of each: a list for each of `state_names` and one of the steps.

        A list is empty if the options do not need it. What they do and is not there yet is made.
        """
        states = [self.state[x] for x in changed] if fresh else []
        names = (*self.state_names, "step")
        try:
            return [[state[name] for state in states] if name in fresh else [] for name in names]
        except KeyError:  # a first step, or options have come to need more
            for x, state in zip(changed, states, strict=True):
                self._start(x, state, fresh)
            return self._states(changed, fresh)

    def _start(self, x: Tensor, state: dict[str, Any], fresh: dict[str, float]) -> None:
        for name, value in fresh.items():
            if name not in state:
                state[name] = (
                    x.backend.full((1,), value, "float64")
                    if name in _COUNTS
                    else x.backend.full(x.shape, value, x.dtype)
                )

    def state_nbytes(self, group: dict[str, Any], x: Tensor) -> int:
        """Bytes of what is remembered of `x`, a parameter of `group`, from its first step on."""
        fresh = self.fresh(group)
        return sum(8 if name in _COUNTS else x.array.nbytes for name in fresh)

    def _refresh_rate(self, index: int) -> None:
        """Writes the learning rate of a group to the device, if it changed."""
        (known, array), lr = self._rates[index], self.param_groups[index]["lr"]
        if known != lr:
            array.fill(lr)
            self._rates[index] = lr, array

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        """What a group's options need to be remembered, and the first value of it, by name.

        `"step"` and `"mu_product"` are arrays of one float64, others like the parameter.
        """
        raise NotImplementedError

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        """Applies the rule in place.

        Args:
            arrays: parameters, gradients, each of `state_names`, steps; empty lists for what
                `fresh` does not name.
            lr: the learning rate, an array of one float64.
        """
        raise NotImplementedError

    # --- stop here, go on there

    def state_dict(self) -> dict[str, Any]:
        """`{"state": {0: {name: host array}, ...}, "param_groups": [{"params": [0, ...], ...}]}`.

        The parameters are numbered in order; those without state are not in `"state"`.
        """
        numbers = {x: i for i, x in enumerate(self._parameters())}
        return {
            "state": {i: self._pack(x) for x, i in numbers.items() if self.state[x]},
            "param_groups": [
                {**group, "params": [numbers[x] for x in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a `state_dict` of an optimizer over the same parameters.

        Raises:
            ArgumentError: other groups or parameters, or options or state of another rule.
            ShapeError: state of another shape.
        """
        saved_groups, saved_state = state_dict["param_groups"], state_dict["state"]
        self._check_groups(saved_groups)
        parameters = self._parameters()
        if not saved_state.keys() <= set(range(len(parameters))):
            raise ArgumentError(
                "load_state_dict",
                f"state must be of the parameters 0 to {len(parameters) - 1}, "
                f"got {sorted(saved_state)}",
            )
        for i, saved in saved_state.items():
            self._check_state(i, parameters[i], saved)
        loaded = [
            {**saved, "params": group["params"]}
            for group, saved in zip(self.param_groups, saved_groups, strict=True)
        ]
        for options in loaded:
            self.check_options(options)
        for group, options in zip(self.param_groups, loaded, strict=True):
            group.update(options)
        for i, x in enumerate(parameters):
            self.state[x] = self._unpack(x, saved_state.get(i, {}))

    def _pack(self, x: Tensor) -> dict[str, Any]:
        """The state of a parameter as host arrays."""
        return {name: x.backend.to_host(value) for name, value in self.state[x].items()}

    def _unpack(self, x: Tensor, saved: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter from host arrays."""
        return {
            name: x.backend.copy(
                x.backend.asarray(value, "float64" if name in _COUNTS else x.dtype)
            )
            for name, value in saved.items()
        }

    def _check_groups(self, saved_groups: list[dict[str, Any]]) -> None:
        own, got = (
            [len(group["params"]) for group in groups]
            for groups in (self.param_groups, saved_groups)
        )
        if own != got:
            raise ArgumentError(
                "load_state_dict",
                f"must hold {len(own)} groups and {sum(own)} parameters, "
                f"got {len(got)} and {sum(got)}",
                f"parameters of each group: {own}, got {got}",
            )
        options = self.defaults.keys()
        for saved in saved_groups:
            found = saved.keys() - _OF_SCHEDULES - {"params"}
            if found != options:
                raise ArgumentError(
                    "load_state_dict",
                    f"options must be {type(self).__name__}'s {sorted(options)}, "
                    f"got {sorted(found)}",
                )

    def _check_state(self, index: int, x: Tensor, saved: dict[str, Any]) -> None:
        names = ("step", *self.state_names)
        if not saved.keys() <= set(names):
            raise ArgumentError(
                "load_state_dict",
                f"state must be {type(self).__name__}'s {sorted(names)}, got {sorted(saved)}",
            )
        for name, value in saved.items():
            shape = (1,) if name in _COUNTS else x.shape
            if value.shape != shape:
                raise ShapeError(
                    "load_state_dict",
                    f"{name} of parameter {index} must have shape {shape}, got {value.shape}",
                )

    def _parameters(self) -> list[Tensor]:
        return [x for group in self.param_groups for x in group["params"]]
