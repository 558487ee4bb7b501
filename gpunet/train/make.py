"""Makes an object from a table that names its class, and explains what does not fit."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from gpunet.errors import ConfigError, GpunetError
from gpunet.train.config import Component
from gpunet.train.toml import nearest


def kinds_in(module: ModuleType, base: type) -> dict[str, Any]:
    """The public classes of a module that derive from `base`, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base
    }


def make(kinds: dict[str, Any], component: Component, where: str, *arguments: Any) -> Any:
    """The class of `kinds` that `component` names, called with `arguments` and its own.

    Raises:
        ConfigError: no such class or argument, one that is missing, or a value the class refuses;
            the message begins with `where`.
    """
    kind = kinds.get(component.kind)
    if kind is None:
        raise ConfigError(
            where, f'kind "{component.kind}" is not known', nearest(component.kind, kinds)
        )
    signature = inspect.signature(kind)
    known = list(signature.parameters)[len(arguments) :]
    for name in component.arguments:
        if name not in known:
            raise ConfigError(
                where, f"{component.kind} has no argument {name}", nearest(name, known)
            )
    missing = [
        name
        for name in known
        if signature.parameters[name].default is inspect.Parameter.empty
        and name not in component.arguments
    ]
    if missing:
        raise ConfigError(where, f"{component.kind} needs {', '.join(missing)}")
    try:
        return kind(*arguments, **component.arguments)
    except GpunetError as error:
        raise ConfigError(where, str(error)) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            where, f"{component.kind} refuses {component.arguments}: {error}"
        ) from error
