"""The tensor: an array of one device, and its place in the backward graph.

Functions of `gpunet.functional` become methods and operators of `Tensor` by the `@method` mark at
their definition, so `x.sum()` and `functional.sum(x)` are one function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from gpunet.autograd import engine
from gpunet.autograd.hooks import Handle, at_output, on_gradient
from gpunet.autograd.memory import check_writable, owner, written
from gpunet.autograd.mode import mode
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DeviceError, DTypeError, GradError, ShapeError

F = TypeVar("F", bound=Callable[..., Any])


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    Make one with `gpunet.tensor(...)`; operations make the rest.

    Attributes:
        array: the values, a `numpy.ndarray` or `cupy.ndarray`.
        backend: the backend of its device.
        requires_grad: whether a backward pass reaches this tensor.
        grad: the gradient as a tensor, after `backward()`; only leaves (which no operation made)
            keep theirs.
        origin: (operation, output index) that made it, None for a leaf.
        hooks: of a leaf, functions of the gradients that arrive; see `register_hook`.
    """

    __slots__ = ("__weakref__", "array", "backend", "grad", "hooks", "origin", "requires_grad")
    __array_priority__ = 1000  # NumPy operators leave the operation to Tensor's reflected ones
    __hash__ = object.__hash__  # `==` compares elements; as a key a tensor is itself

    def __init__(
        self,
        array: Array,
        backend: Backend,
        requires_grad: bool = False,
        origin: tuple[Any, int] | None = None,
    ):
        self.array = array
        self.backend = backend
        self.requires_grad = requires_grad
        self.origin = origin
        self.grad: Tensor | None = None
        self.hooks: tuple[Callable[[Array], Array], ...] = ()

    if TYPE_CHECKING:  # made by @method; __getattr__ stands for the ones that are not operators
        __add__: Callable[[Any, Any], Tensor]
        __radd__: Callable[[Any, Any], Tensor]
        __sub__: Callable[[Any, Any], Tensor]
        __rsub__: Callable[[Any, Any], Tensor]
        __mul__: Callable[[Any, Any], Tensor]
        __rmul__: Callable[[Any, Any], Tensor]
        __truediv__: Callable[[Any, Any], Tensor]
        __rtruediv__: Callable[[Any, Any], Tensor]
        __pow__: Callable[[Any, Any], Tensor]
        __neg__: Callable[[Any], Tensor]
        __matmul__: Callable[[Any, Any], Tensor]
        __getitem__: Callable[[Any, Any], Tensor]
        T: Tensor
        mT: Tensor

        def __getattr__(self, method: str) -> Callable[..., Tensor]: ...

    # --- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    @property
    def dtype(self) -> Any:
        """Type of the elements, a `numpy.dtype`."""
        return self.array.dtype

    @property
    def device(self) -> str:
        """`"cpu"` or `"cuda:N"`."""
        return self.backend.device

    @property
    def is_leaf(self) -> bool:
        """True if no recorded operation made it."""
        return self.origin is None

    @property
    def grad_fn(self) -> Any:
        """The operation that made it, None for a leaf."""
        return None if self.origin is None else self.origin[0]

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    def numel(self) -> int:
        """Number of elements."""
        return int(self.array.size)

    def is_floating_point(self) -> bool:
        """True for float16, bfloat16, float32 and float64."""
        return self.array.dtype.kind in "fV"

    def is_contiguous(self) -> bool:
        """True if the elements lie in memory in C order without gaps."""
        return bool(self.array.flags.c_contiguous)

    def __len__(self) -> int:
        if not self.array.ndim:
            raise ShapeError("len", "must have at least one axis, got a tensor of shape ()")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        body = repr(self.backend.to_host(self.array)).replace("array(", "tensor(", 1)
        extra = "" if self.device == "cpu" else f", device={self.device!r}"
        if self.origin is not None:
            extra += f", grad_fn={self.origin[0].name}"
        elif self.requires_grad:
            extra += ", requires_grad=True"
        return body[:-1].replace("\n      ", "\n       ") + extra + ")"

    # --- to the host

    def numpy(self) -> Any:
        """The values as a `numpy.ndarray` (the same memory on the CPU); bfloat16 is ml_dtypes'.

        Raises:
            GradError: the tensor takes part in differentiation; use `x.detach().numpy()`.
        """
        if self.requires_grad:
            raise GradError(
                "numpy",
                "must not require a gradient, got a tensor that does",
                "use x.detach().numpy()",
            )
        return self.backend.to_host(self.array)

    def item(self) -> Any:
        """The single element as a Python number."""
        if self.array.size != 1:
            raise ShapeError("item", f"must have one element, got shape {self.shape}")
        return self.backend.to_host(self.array).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.backend.to_host(self.array).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iu" or self.array.size != 1:
            raise DTypeError("index", f"must be one integer, got shape {self.shape} {self.dtype}")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        return bool(self.eq(value).any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        host = self.numpy()
        converted = host if dtype is None else host.astype(dtype, copy=False)
        return converted.copy() if copy and converted is host else converted

    def __dlpack__(self, **options: Any) -> Any:
        if self.requires_grad:
            raise GradError(
                "dlpack",
                "must not require a gradient, got a tensor that does",
                "use x.detach()",
            )
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    # --- differentiation

    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False) -> None:
        """Adds d(self)/d(leaf) to `.grad` of every leaf that requires a gradient.

        Args:
            gradient: weights of the elements, of this tensor's shape; may be left out for one
                element.
            retain_graph: keep what the graph holds, for a second pass.

        Raises:
            GradError: nothing here requires a gradient, or the graph was already freed.
            ShapeError: `gradient` is missing or has another shape.
            DTypeError: it is no tensor, or of another dtype. DeviceError: it is elsewhere.

        >>> import gpunet
        >>> x = gpunet.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4., 6.], dtype=float32)
        """
        weights = weights_of("backward", self, gradient)
        engine.backward((self.origin or self,), [weights], retain_graph)

    def accumulate(self, g: Array) -> None:
        """Adds an array to `.grad`; the engine calls it on leaves."""
        if self.hooks:
            g = self.hooked(g)
        if self.grad is None:
            self.grad = Tensor(g, self.backend)
        else:
            self.grad.array = self.backend.xp.add(self.grad.array, g)

    def hooked(self, g: Array) -> Array:
        """What the hooks of a leaf make of a gradient that arrives."""
        for hook in self.hooks:
            g = hook(g)
        return g

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Calls `hook` with the gradient of this tensor whenever a backward pass computes it.

        If the hook returns a tensor (of the same shape and dtype), it takes the gradient's place.
        Of a leaf that is used several times, the hook sees each contribution.

        Returns:
            A handle, whose `remove()` takes the hook away again.

        Raises:
            GradError: the tensor requires no gradient.

        >>> import gpunet
        >>> x = gpunet.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([20., 40.], dtype=float32)
        """
        if not self.requires_grad:
            raise GradError("register_hook", "must require a gradient, got a tensor that does not")
        call = on_gradient(hook, self)
        if self.origin is None:
            return Handle(self, call)
        op, index = self.origin
        return Handle(op, at_output(index, call))

    def retain_grad(self) -> None:
        """Lets this result of an operation keep its gradient in `.grad`, as leaves do anyway."""
        if self.origin is None and self.requires_grad:
            return

        def keep(g: Tensor) -> None:
            self.grad = Tensor(self.backend.copy(g.array), self.backend)

        self.register_hook(keep)

    def detach(self) -> Tensor:
        """The same values (and memory), cut off from the graph."""
        return Tensor(self.array, self.backend)

    @property
    def data(self) -> Tensor:
        """`detach()`; assigning to it replaces the values, which no graph notices."""
        return self.detach()

    @data.setter
    def data(self, values: Tensor) -> None:
        self.array, self.backend = values.array, values.backend

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switches the gradient of a leaf on or off; returns the tensor itself."""
        if self.origin is not None:
            raise GradError(
                "requires_grad_", "must be a leaf, got the result of " + self.origin[0].name
            )
        if requires_grad:
            check_differentiable(self.dtype)
        self.requires_grad = requires_grad
        return self

    # --- in place

    def assign(self, operation: str, result: Tensor) -> Tensor:
        """Takes the values, and the place in the graph, of `result`, in the memory it has.

        Every in-place operation is its ordinary counterpart followed by this. While operations are
        recorded, a leaf that requires a gradient is not written to, nor is a view of anything
        recorded: other tensors that share the memory would keep the graph of the old values.
        """
        if result.shape != self.shape:
            raise ShapeError(
                operation, f"result must have the tensor's shape {self.shape}, got {result.shape}"
            )
        check_writable(operation, self.array)
        dtype = self.array.dtype
        if "bif".index(dtypes.kind(result.dtype)) > "bif".index(dtypes.kind(dtype)):
            raise DTypeError(
                operation, f"result must fit into the tensor's dtype {dtype}, got {result.dtype}"
            )
        if mode.recording and (self.requires_grad or result.requires_grad):
            if self.origin is None and self.requires_grad:
                raise GradError(
                    operation,
                    "must not write into a leaf that requires a gradient",
                    "do it inside `with gpunet.no_grad():`, or compute a new tensor",
                )
            if owner(self.array) is not self.array:
                raise GradError(
                    operation,
                    "must not write into a view while operations are recorded",
                    "write into the tensor that it shows a part of, or compute a new tensor",
                )
            self.origin, self.requires_grad = result.origin, result.requires_grad
        self.array[...] = result.array
        written((self.array,))
        return self

    # --- copies

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.origin is not None:
            raise GradError(
                "deepcopy",
                "must be a leaf, got the result of " + self.origin[0].name,
                "use x.detach()",
            )
        twin = type(self).__new__(type(self))
        Tensor.__init__(twin, self.backend.copy(self.array), self.backend, self.requires_grad)
        memo[id(self)] = twin
        if self.grad is not None:
            twin.grad = Tensor(self.backend.copy(self.grad.array), self.backend)
        return twin

    def __reduce__(self) -> Any:
        if self.origin is not None:
            raise GradError(
                "pickle",
                "must be a leaf, got the result of " + self.origin[0].name,
                "use x.detach()",
            )
        host = self.backend.to_host(self.array)
        return _unpickled, (type(self), host, self.backend, self.requires_grad)


def _unpickled(kind: type[Tensor], host: Any, be: Backend, requires_grad: bool) -> Tensor:
    x = kind.__new__(kind)
    Tensor.__init__(x, be.copy(be.asarray(host)), be, requires_grad)
    return x


def weights_of(operation: str, y: Tensor, gradient: Tensor | None) -> Array:
    """Weights of the elements of `y` for a backward pass from it: `gradient`, or 1 of one element.

    It raises what `Tensor.backward` says.
    """
    if not y.requires_grad:
        raise GradError(operation, "must require a gradient, got a tensor that does not")
    if gradient is None:
        if y.array.size != 1:
            raise ShapeError(
                operation,
                f"must have one element unless a gradient is given, got shape {y.shape}",
                "reduce it first, e.g. with .sum() or .mean()",
            )
        return y.backend.full(y.shape, 1.0, y.dtype)
    if not isinstance(gradient, Tensor) or gradient.array.dtype != y.array.dtype:
        got = gradient.dtype if isinstance(gradient, Tensor) else type(gradient).__name__
        raise DTypeError(operation, f"gradient must be a gpunet.Tensor of {y.dtype}, got {got}")
    if gradient.backend is not y.backend:
        raise DeviceError(operation, f"gradient must be on {y.device}, got {gradient.device}")
    if gradient.array.shape != y.array.shape:
        raise ShapeError(operation, f"gradient must have shape {y.shape}, got {gradient.shape}")
    return gradient.array


def check_differentiable(dtype: Any) -> None:
    """Only floating tensors have gradients."""
    if not dtypes.floating(dtype):
        raise ArgumentError("requires_grad", f"dtype must be floating, got {dtype}")


def method(*names: str) -> Callable[[F], F]:
    """Makes a function a method of `Tensor`, under its own name or the given ones (operators).

    A name that ends in `_`, or the operator of an augmented assignment, is the in-place form.

    @method()                 @method("sum")           @method("__add__", "add", "add_", "__iadd__")
    def exp(x): ...           def sum_(x, ...): ...    def add(x, y): ...
    """

    def install(function: F) -> F:
        for name in names or (function.__name__,):
            setattr(Tensor, name, _in_place(function, name) if _writes(name) else function)
        return function

    return install


def _writes(name: str) -> bool:
    if name.startswith("__"):
        return name in _AUGMENTED
    return name.endswith("_")


_AUGMENTED = {
    f"__i{name}__"
    for name in (
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"),
        *("and", "or", "xor", "lshift", "rshift"),
    )
}


def _in_place(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def write(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        before = x
        if mode.recording and any(isinstance(a, Tensor) and a.requires_grad for a in (x, *args)):
            # The operation may keep the values that are about to be overwritten.
            before = Tensor(x.backend.copy(x.array), x.backend, x.requires_grad, x.origin)
        return x.assign(name, function(before, *args, **kwargs))

    write.__name__ = name
    write.__doc__ = f"`{function.__name__}`, written into the tensor itself, which is returned."
    return write
