"""The tensor: an array of one device, and its place in the backward graph.

Functions of `gpunet.functional` become methods and operators of `Tensor` by the `@method` mark at
their definition, so `x.sum()` and `functional.sum(x)` are one function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from gpunet import backend
from gpunet.autograd import engine
from gpunet.backend import Array, Backend, DType
from gpunet.errors import ArgumentError, DTypeError, GradError, ShapeError

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
    """

    __slots__ = ("__weakref__", "array", "backend", "grad", "origin", "requires_grad")
    __array_priority__ = 1000  # NumPy operators leave the operation to Tensor's reflected ones

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

    def numel(self) -> int:
        """Number of elements."""
        return int(self.array.size)

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
        """The values as a `numpy.ndarray` (the same memory on the CPU).

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

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

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
            DTypeError: it is no tensor, or of another dtype.

        >>> import gpunet
        >>> x = gpunet.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4., 6.], dtype=float32)
        """
        if not self.requires_grad:
            raise GradError("backward", "must require a gradient, got a tensor that does not")
        if gradient is None:
            if self.array.size != 1:
                raise ShapeError(
                    "backward",
                    f"must have one element unless a gradient is given, got shape {self.shape}",
                    "reduce it first, e.g. with .sum() or .mean()",
                )
            weights = self.backend.full(self.shape, 1.0, self.dtype)
        else:
            if not isinstance(gradient, Tensor) or gradient.dtype != self.dtype:
                got = gradient.dtype if isinstance(gradient, Tensor) else type(gradient).__name__
                raise DTypeError(
                    "backward", f"gradient must be a gpunet.Tensor of {self.dtype}, got {got}"
                )
            if gradient.shape != self.shape:
                raise ShapeError(
                    "backward", f"gradient must have shape {self.shape}, got {gradient.shape}"
                )
            weights = gradient.array
        engine.backward(self, weights, retain_graph=retain_graph)

    def accumulate(self, g: Array) -> None:
        """Adds an array to `.grad`; the engine calls it on leaves."""
        if self.grad is None:
            self.grad = Tensor(g, self.backend)
        else:
            self.grad.array = self.backend.xp.add(self.grad.array, g)

    def detach(self) -> Tensor:
        """The same values, cut off from the graph."""
        return Tensor(self.array, self.backend)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switches the gradient of a leaf on or off; returns the tensor itself."""
        if self.origin is not None:
            raise GradError(
                "requires_grad_", "must be a leaf, got the result of " + self.origin[0].name
            )
        if requires_grad:
            _check_differentiable(self.dtype)
        self.requires_grad = requires_grad
        return self


def _check_differentiable(dtype: Any) -> None:
    if dtype.kind != "f":
        raise ArgumentError("requires_grad", f"dtype must be floating, got {dtype}")


def tensor(
    values: Any, dtype: DType | None = None, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """A tensor of the given values, copied.

    Python floats become float32, integers int64, booleans bool; arrays keep their dtype.

    Args:
        values: number, nested lists, NumPy or CuPy array, or tensor.
        dtype: element type if another is wanted.
        device: `"cpu"`, `"cuda"`, `"cuda:N"` or `"auto"`.
        requires_grad: whether `backward` should leave a gradient in `.grad`.

    Raises:
        ArgumentError: values that are no numbers, or nested lists of unequal lengths.

    >>> import gpunet
    >>> gpunet.tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]], dtype=float32)
    """
    if isinstance(values, Tensor):
        values = values.array
    be = backend.resolve(device)[0]
    try:
        array = be.asarray(values, dtype)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            "tensor", f"values must be numbers, or nested lists of one shape, got: {error}"
        ) from None
    if dtype is None and not hasattr(values, "dtype") and array.dtype.kind == "f":
        array = array.astype("float32")
    if array.dtype.kind not in "fiub":
        raise ArgumentError("tensor", f"values must be numbers, got dtype {array.dtype}")
    if requires_grad:
        _check_differentiable(array.dtype)
    return Tensor(be.copy(array), be, requires_grad)


def method(*names: str) -> Callable[[F], F]:
    """Makes a function a method of `Tensor`, under its own name or the given ones (operators).

    @method()                 @method("sum")           @method("__add__", "add")
    def exp(x): ...           def sum_(x, ...): ...    def add(x, y): ...
    """

    def install(function: F) -> F:
        for name in names or (function.__name__,):
            setattr(Tensor, name, function)
        return function

    return install
