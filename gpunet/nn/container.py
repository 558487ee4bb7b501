"""Modules and parameters made of others: in a row, in lists, under names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, DTypeError
from gpunet.nn.activation import ActivationLayer
from gpunet.nn.conv import Conv1d, Conv2d, Conv3d
from gpunet.nn.linear import Linear
from gpunet.nn.module import Module, Parameter
from gpunet.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d

# Layers that take the activation after them along; none derived from them, which may do otherwise.
FUSING = (Linear, Conv1d, Conv2d, Conv3d, BatchNorm1d, BatchNorm2d, BatchNorm3d)


class _Numbered(Module):
    """Base of containers whose members are the attributes "0", "1", ..."""

    _of: type = Module

    def _members(self) -> list[Any]:
        return [value for value in vars(self).values() if isinstance(value, self._of)]

    def _set_members(self, members: Iterable[Any]) -> None:
        members = list(members)
        for name in [n for n, value in vars(self).items() if isinstance(value, self._of)]:
            delattr(self, name)
        for i, member in enumerate(members):
            setattr(self, str(i), self._checked(member))

    def _checked(self, member: Any) -> Any:
        if not isinstance(member, self._of):
            raise DTypeError(
                type(self).__name__,
                f"members must be {self._of.__name__}s, got {type(member).__name__}",
            )
        return member

    def append(self, member: Any) -> Any:
        """Adds a member at the end; returns the container."""
        self._set_members([*self._members(), member])
        return self

    def extend(self, members: Iterable[Any]) -> Any:
        """Adds several at the end; returns the container."""
        self._set_members([*self._members(), *members])
        return self

    def insert(self, index: int, member: Any) -> Any:
        """Adds a member in front of position `index`; returns the container."""
        members = self._members()
        members.insert(index, member)
        self._set_members(members)
        return self

    def pop(self, index: int = -1) -> Any:
        """Takes a member out and returns it."""
        members = self._members()
        member = members.pop(index)
        self._set_members(members)
        return member

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._members())

    def __getitem__(self, index: int | slice) -> Any:
        found = self._members()[index]
        return type(self)(*found) if isinstance(index, slice) else found

    def __setitem__(self, index: int, member: Any) -> None:
        members = self._members()
        members[index] = member
        self._set_members(members)

    def __delitem__(self, index: int | slice) -> None:
        members = self._members()
        del members[index]
        self._set_members(members)


class Sequential(_Numbered):
    """Layers one after another, named "0", "1", ... in `state_dict`, or as in the dict given.

    An activation that follows a `Linear` or a convolution is computed in the same sweep over memory
    as the bias, a ReLU that follows a `BatchNorm` in the sweep that scales.

    >>> from gpunet import nn
    >>> nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    Sequential(
      (0): Linear(4, 8, bias=True)
      (1): ReLU()
      (2): Linear(8, 2, bias=True)
    )
    """

    def __init__(self, *layers: Any):
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            for name, layer in layers[0].items():
                setattr(self, name, self._checked(layer))
        else:
            self._set_members(layers)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        vars(self).pop("_pairs", None)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        vars(self).pop("_pairs", None)

    def forward(self, x: Tensor) -> Tensor:
        pairs = vars(self).get("_pairs")
        if pairs is None:  # found once, until a layer is set
            pairs = vars(self)["_pairs"] = _pairs(self._members())
        for layer, after in pairs:
            if after is None:
                x = layer(x)
            elif listened(layer) or listened(after):  # who listens gets to see them alone
                x = after(layer(x))
            else:
                x = layer(x, activation=after.op())
        return x


def _pairs(layers: list[Any]) -> list[tuple[Any, ActivationLayer | None]]:
    """Each layer with the activation that it takes along, if there is one."""
    pairs: list[tuple[Any, ActivationLayer | None]] = []
    for layer in layers:
        if pairs and isinstance(layer, ActivationLayer):
            before, taken = pairs[-1]
            if type(before) in FUSING and taken is None:
                pairs[-1] = before, layer
                continue
        pairs.append((layer, None))
    return pairs


def listened(module: Module) -> bool:
    """Whether somebody has registered a hook of the module."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


class ModuleList(_Numbered):
    """A list of modules, whose parameters are found; it computes nothing itself."""

    def __init__(self, modules: Iterable[Module] = ()):
        self._set_members(modules)

    def __getitem__(self, index: int | slice) -> Any:
        found = self._members()[index]
        return ModuleList(found) if isinstance(index, slice) else found


class ParameterList(_Numbered):
    """A list of parameters, which are found."""

    _of = Parameter

    def __init__(self, values: Iterable[Parameter] = ()):
        self._set_members(values)

    def __getitem__(self, index: int | slice) -> Any:
        found = self._members()[index]
        return ParameterList(found) if isinstance(index, slice) else found


class _Named(Module):
    """Base of containers whose members are attributes of their own names."""

    _of: type = Module

    def __init__(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()):
        self.update(members)

    def update(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Adds members under their names."""
        for name, member in dict(members).items():
            self[name] = member

    def __getitem__(self, name: str) -> Any:
        return dict(self.items())[name]

    def __setitem__(self, name: str, member: Any) -> None:
        if not isinstance(member, self._of):
            raise DTypeError(
                type(self).__name__,
                f"members must be {self._of.__name__}s, got {type(member).__name__}",
            )
        if hasattr(type(self), name) or "." in name:
            raise ArgumentError(
                type(self).__name__, f"a name must be no method's and without dots, got {name!r}"
            )
        setattr(self, name, member)

    def __delitem__(self, name: str) -> None:
        delattr(self, name)

    def __len__(self) -> int:
        return len(dict(self.items()))

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.items()))

    def __contains__(self, name: str) -> bool:
        return name in dict(self.items())

    def keys(self) -> Iterable[str]:
        """The names."""
        return dict(self.items()).keys()

    def values(self) -> Iterable[Any]:
        """The members."""
        return dict(self.items()).values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and members, in the order they were added."""
        return [(n, value) for n, value in vars(self).items() if isinstance(value, self._of)]

    def pop(self, name: str) -> Any:
        """Takes a member out and returns it."""
        member = self[name]
        del self[name]
        return member


class ModuleDict(_Named):
    """Modules under names, whose parameters are found; it computes nothing itself."""


class ParameterDict(_Named):
    """Parameters under names, which are found."""

    _of = Parameter
