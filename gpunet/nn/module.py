"""The base of layers and models.

Parameters are found by attribute, state is named arrays, errors come with the path of the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from gpunet import backend
from gpunet.autograd.hooks import Handle
from gpunet.autograd.memory import written
from gpunet.autograd.mode import mode
from gpunet.autograd.tensor import Tensor
from gpunet.backend import dtypes
from gpunet.errors import ArgumentError, DTypeError, GpunetError, ShapeError
from gpunet.nn.gradient_hooks import call_with_gradient_hooks

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A tensor that training changes.

    Assigned to an attribute of a `Module`, it is one of its parameters.
    """

    __slots__ = ()

    def __init__(self, tensor: Tensor, requires_grad: bool = True):
        super().__init__(tensor.array, tensor.backend, requires_grad)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not trained, such as a running average.

    `persistent=False` leaves it out of `state_dict`.
    """

    __slots__ = ("persistent",)

    def __init__(self, tensor: Tensor, persistent: bool = True):
        super().__init__(tensor.array, tensor.backend)
        self.persistent = persistent


class IncompatibleKeys(NamedTuple):
    """Names that `load_state_dict(strict=False)` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


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
    _forward_pre_hooks: tuple[Callable[..., Any], ...] = ()
    _backward_hooks: tuple[Callable[..., Any], ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output; called through the module itself."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watcher = mode.watcher
        if watcher is None:
            return self._call(args, kwargs)
        with watcher.span("layer", self):
            return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for pre_hook in self._forward_pre_hooks:
            changed = pre_hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        try:
            if self._backward_hooks:
                result = call_with_gradient_hooks(self, self._backward_hooks, args, kwargs)
            else:
                result = self.forward(*args, **kwargs)
        except GpunetError as error:
            self._locate(error)
            raise
        for hook in self._forward_hooks:
            changed = hook(self, args, result)
            result = result if changed is None else changed
        return result

    def _locate(self, error: GpunetError) -> None:
        """Writes this module's name for the layer below it in front of the error's path."""
        if error.layer is not None and error.layer is not self:
            for name, module in self.named_modules():
                if module is error.layer:
                    error.layer_path.insert(0, name)
                    break
        error.layer = self

    # --- hooks

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> Handle:
        """Calls `hook(module, inputs, output)` after each forward.

        If the hook returns something, it takes the output's place.

        Returns:
            A handle, whose `remove()` takes the hook away again.
        """
        return Handle(self, hook, "_forward_hooks")

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> Handle:
        """Calls `hook(module, inputs)` before each forward.

        If the hook returns something (one input, or a tuple of all), it takes the inputs' place.
        """
        return Handle(self, hook, "_forward_pre_hooks")

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> Handle:
        """Calls `hook(module, grad_input, grad_output)` when the backward pass has left the module.

        Both are tuples with a tensor, or None, for each input and output. If the hook returns a
        tuple, it takes the place of `grad_input`.
        """
        return Handle(self, hook, "_backward_hooks")

    # --- what it holds

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Sets the attribute `name` to a `Buffer`; the same as assigning one."""
        setattr(self, name, None if tensor is None else Buffer(tensor, persistent))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Sets the attribute `name` to a parameter; the same as assigning it."""
        if param is not None and not isinstance(param, Parameter):
            got = type(param).__name__
            raise DTypeError("register_parameter", f"param must be a Parameter or None, got {got}")
        setattr(self, name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """Sets the attribute `name` to a module; the same as assigning it."""
        if module is not None and not isinstance(module, Module):
            got = type(module).__name__
            raise DTypeError("add_module", f"module must be a Module or None, got {got}")
        setattr(self, name, module)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct submodules with their attribute names."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """Direct submodules."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (named `prefix`) and all below it, with dotted names.

        One that is used twice comes once, unless `remove_duplicate` is off.
        """
        seen: set[int] = set()

        def below(module: Module, path: str) -> Iterator[tuple[str, Module]]:
            if remove_duplicate:
                if id(module) in seen:
                    return
                seen.add(id(module))
            yield path, module
            for name, child in module.named_children():
                yield from below(child, f"{path}.{name}" if path else name)

        return below(self, prefix)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name.

        Raises:
            ArgumentError: there is none.
        """
        for name, module in self.named_modules(remove_duplicate=False):
            if name == target:
                return module
        raise ArgumentError("get_submodule", f"target must name a module below, got {target!r}")

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names, those of this module alone without `recurse`.

        One that is used twice comes once, unless `remove_duplicate` is off.
        """
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """All buffers with dotted names; see `named_parameters`."""
        return self._named(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(
        self, kind: Any, prefix: str = "", recurse: bool = True, once: bool = True
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules: Iterable[tuple[str, Module]] = [(prefix, self)]
        for path, module in self.named_modules(prefix, once) if recurse else modules:
            for name, value in vars(module).items():
                if isinstance(value, kind) and not (once and id(value) in seen):
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    # --- what it does

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Calls `function` on every module below and then on this one; returns the module."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Sets training mode here and below; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Sets evaluation mode: no dropout. Returns the module."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Lets all parameters be trained, or freezes them; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(
        self: Self, *target: Any, device: str | None = None, dtype: backend.DType | None = None
    ) -> Self:
        """Moves parameters and buffers to a device, or into a floating dtype; returns the module.

        `target` is either, or both. Integer buffers keep their dtype.
        """
        for wanted in target:
            if isinstance(wanted, str) and (wanted == "auto" or wanted.startswith(("cpu", "cuda"))):
                device = wanted
            else:
                dtype = wanted
        be = None if device is None else backend.resolve(device)[0]
        kind = None if dtype is None else backend.dtype(dtype)
        if kind is not None and not dtypes.floating(kind):
            raise DTypeError("to", f"a module's dtype must be floating, got {kind}")
        for tensor in [*self.parameters(), *self.buffers()]:
            if be is not None and tensor.backend is not be:
                tensor.array = be.asarray(tensor.backend.to_host(tensor.array))
                tensor.backend, tensor.grad = be, None
            if kind is not None and dtypes.floating(tensor.dtype) and tensor.dtype != kind:
                tensor.array, tensor.grad = tensor.backend.cast(tensor.array, kind), None
        return self

    def half(self: Self) -> Self:
        """`to("float16")`."""
        return self.to(dtype="float16")

    def bfloat16(self: Self) -> Self:
        """`to("bfloat16")`."""
        return self.to(dtype="bfloat16")

    def float(self: Self) -> Self:
        """`to("float32")`."""
        return self.to(dtype="float32")

    def double(self: Self) -> Self:
        """`to("float64")`."""
        return self.to(dtype="float64")

    def cpu(self: Self) -> Self:
        """`to("cpu")`."""
        return self.to(device="cpu")

    def cuda(self: Self, device: int = 0) -> Self:
        """`to` GPU number `device`."""
        return self.to(device=f"cuda:{device}")

    # --- its state

    def state_dict(self) -> dict[str, Any]:
        """Parameters and persistent buffers as host arrays by name, in PyTorch's order.

        On the CPU the arrays are the model's own memory. A tensor that is used twice is there under
        both names.
        """
        return {name: x.backend.to_host(x.array) for name, x in self._state()}

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self.named_modules(remove_duplicate=False):
            for kind in (Parameter, Buffer):
                for name, x in module._named(kind, path, recurse=False):
                    if getattr(x, "persistent", True):
                        yield name, x

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copies arrays by name into parameters and buffers, in place and in their dtype.

        Args:
            state: arrays or tensors by name: gpunet's, NumPy's, or those of a PyTorch model on the
                CPU.
            strict: whether names must be the model's exactly.

        Raises:
            ArgumentError: names are missing or unexpected; the message lists all of them.
            ShapeError: arrays have another shape; likewise. Nothing is changed then.
        """
        own = dict(self._state())
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        shapes = [
            f"{name} must have shape {x.shape}, got {tuple(state[name].shape)}"
            for name, x in own.items()
            if name in state and tuple(state[name].shape) != x.shape
        ]
        names = []
        if strict and missing:
            names.append(f"missing {missing}")
        if strict and unexpected:
            names.append(f"unexpected {unexpected}")
        if names:
            problem = f"names must be the model's, got {' and '.join(names)}"
            raise ArgumentError("load_state_dict", problem, "; ".join(shapes))
        if shapes:
            raise ShapeError("load_state_dict", "; ".join(shapes))
        for name, x in own.items():
            if name in state:
                value = state[name]
                array = value.backend.to_host(value.array) if isinstance(value, Tensor) else value
                if str(array.dtype) == "torch.bfloat16":  # which NumPy cannot read
                    array = array.float()
                x.array[...] = x.backend.asarray(array, x.dtype)
        written([x.array for x in own.values()])
        return IncompatibleKeys(missing, unexpected)

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
