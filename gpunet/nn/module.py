"""The base of layers and models.

Parameters are found by attribute, state is named arrays, errors come with the path of the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gpunet import backend
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, GpunetError, ShapeError


class Parameter(Tensor):
    """A tensor that training changes.

    Assigned to an attribute of a `Module`, it is one of its parameters.
    """

    __slots__ = ()

    def __init__(self, tensor: Tensor, requires_grad: bool = True):
        super().__init__(tensor.array, tensor.backend, requires_grad)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not trained, such as a running average."""

    __slots__ = ()

    def __init__(self, tensor: Tensor):
        super().__init__(tensor.array, tensor.backend)


class Module:
    """A layer or model.

    A subclass makes its parameters and sublayers in `__init__` and computes in `forward`.

        class Net(nn.Module):
            def __init__(self):
                self.hidden = nn.Linear(64, 128)
                self.out = nn.Linear(128, 10)

            def forward(self, x):
                return self.out(self.hidden(x).relu())

    There is nothing to register: attributes that are a `Parameter`, `Buffer` or `Module` are found
    by type, in the order they were set. Names in `state_dict` are PyTorch's: `hidden.weight`,
    `hidden.bias`, ...

    Attributes:
        training: whether layers that differ in training (dropout) behave so; set by `train()` and
            `eval()`.
    """

    training = True
    _forward_hooks: tuple[Callable[..., Any], ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output; called through the module itself."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = self.forward(*args, **kwargs)
        except GpunetError as error:
            self._locate(error)
            raise
        for hook in self._forward_hooks:
            hook(self, args, result)
        return result

    def _locate(self, error: GpunetError) -> None:
        """Writes this module's name for the layer below it in front of the error's path."""
        if error.layer is not None and error.layer is not self:
            for name, module in self.named_modules():
                if module is error.layer:
                    error.layer_path.insert(0, name)
                    break
        error.layer = self

    def register_forward_hook(
        self, hook: Callable[[Module, tuple[Any, ...], Any], None]
    ) -> Callable[[], None]:
        """Calls `hook(module, inputs, output)` after each forward.

        Returns a function that removes it again.
        """
        self._forward_hooks = (*self._forward_hooks, hook)

        def remove() -> None:
            self._forward_hooks = tuple(h for h in self._forward_hooks if h is not hook)

        return remove

    # --- what it holds

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct submodules with their attribute names."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (named `prefix`) and all below it, with dotted names."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names; one used twice comes once."""
        return self._named(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """All buffers with dotted names."""
        return self._named(Buffer)

    def _named(self, kind: type[Any]) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    # --- what it does

    def train(self, mode: bool = True) -> Module:
        """Sets training mode here and below; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Sets evaluation mode: no dropout. Returns the module."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, device: str) -> Module:
        """Moves parameters and buffers to a device; returns the module."""
        be = backend.resolve(device)[0]
        for tensor in [*self.parameters(), *(b for _, b in self.named_buffers())]:
            if tensor.backend is not be:
                tensor.array = be.asarray(tensor.backend.to_host(tensor.array))
                tensor.backend, tensor.grad = be, None
        return self

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers as host arrays by name, in the model's own memory on the CPU."""
        named = [*self.named_parameters(), *self.named_buffers()]
        return {name: tensor.backend.to_host(tensor.array) for name, tensor in named}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copies arrays by name into parameters and buffers.

        Raises:
            ArgumentError: names are missing or unknown. ShapeError: an array has another shape.
            Nothing is changed then.
        """
        own: dict[str, Tensor] = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise ArgumentError(
                "load_state_dict",
                f"names must be the model's, got missing {missing} and unknown {unknown}",
            )
        for name, tensor in own.items():
            if tuple(state[name].shape) != tensor.shape:
                raise ShapeError(
                    "load_state_dict",
                    f"{name} must have shape {tensor.shape}, got {tuple(state[name].shape)}",
                )
        for name, tensor in own.items():
            values = state[name].array if isinstance(state[name], Tensor) else state[name]
            tensor.array = tensor.backend.copy(tensor.backend.asarray(values, tensor.dtype))

    # --- how it looks

    def extra_repr(self) -> str:
        """What stands between the brackets of its `repr`."""
        return ""

    def __repr__(self) -> str:
        children = list(self.named_children())
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in children]
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)"
