"""New tensors: from values, filled, counted, or drawn.

Everything takes `dtype` (a name, a NumPy dtype, or one of `gpunet.float32`, ...; float32 for real
numbers unless said otherwise), `device` and `requires_grad`. Random values are drawn on the host by
NumPy's Philox generator, so they are the same on every device.
"""

from __future__ import annotations

from typing import Any

from gpunet import backend
from gpunet.autograd.tensor import Tensor, check_differentiable
from gpunet.backend import Array, Backend, DType, dtypes, random
from gpunet.errors import ArgumentError, DTypeError, ShapeError

__all__ = [
    "arange",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "tensor",
    "zeros",
    "zeros_like",
]

Size = Any  # lengths of the axes: separate integers, or one tuple or list


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
    be = backend.resolve(device)[0]
    if isinstance(values, Tensor):
        values = values.array if values.backend is be else values.backend.to_host(values.array)
    typed = hasattr(values, "dtype")
    if isinstance(values, (list, tuple)):
        values = _plain(values)
    try:
        array = be.asarray(values, None if dtype is None else backend.dtype(dtype))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            "tensor", f"values must be numbers, or nested lists of one shape, got: {error}"
        ) from None
    if dtype is None and not typed and (array.dtype.kind == "f" or not array.size):
        array = array.astype("float32")
    if not dtypes.numeric(array.dtype):
        raise ArgumentError("tensor", f"values must be numbers, got dtype {array.dtype}")
    return _made(be.copy(array), be, requires_grad)


def _plain(values: Any) -> Any:
    """Nested lists with tensors of one element as numbers."""
    if isinstance(values, (list, tuple)):
        return [_plain(v) for v in values]
    return values.item() if isinstance(values, Tensor) else values


def _made(array: Array, be: Backend, requires_grad: bool) -> Tensor:
    if requires_grad:
        check_differentiable(array.dtype)
    return Tensor(array, be, requires_grad)


def _shape(operation: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    lengths = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    try:
        shape = tuple(n.__index__() for n in lengths)
    except (AttributeError, TypeError):
        raise DTypeError(operation, f"size must be integers, got {lengths!r}") from None
    if min(shape, default=0) < 0:
        raise ShapeError(operation, f"size must not be negative, got {shape}")
    return shape


def from_numpy(array: Any) -> Tensor:
    """A tensor on the CPU over the memory of a NumPy array: a write into one shows in the other.

    Raises:
        DTypeError: no NumPy array, or of a dtype that is no number.
    """
    if not backend.cpu.owns(array) or not dtypes.numeric(array.dtype):
        got = getattr(array, "dtype", type(array).__name__)
        raise DTypeError("from_numpy", f"array must be a NumPy array of numbers, got {got}")
    return Tensor(array, backend.cpu)


def from_dlpack(values: Any) -> Tensor:
    """A tensor over the memory of another library's tensor (PyTorch's, JAX's, CuPy's, ...).

    Raises:
        DeviceError: it lies on a device that gpunet cannot use here.
        DTypeError: it speaks no DLPack, or is of bfloat16, which NumPy does not take from others.
    """
    if not hasattr(values, "__dlpack__"):
        got = type(values).__name__
        raise DTypeError("from_dlpack", f"values must have __dlpack__, got {got}")
    try:
        array = backend.from_dlpack(values)
    except (BufferError, RuntimeError) as error:
        rule = f"values must be of a dtype that arrays are shared in, got: {error}"
        raise DTypeError("from_dlpack", rule) from None
    return Tensor(array, backend.of(array))


def empty(
    *size: Size, dtype: DType = "float32", device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Uninitialised values. Shapes: `size`, as separate lengths or one tuple."""
    be = backend.resolve(device)[0]
    return _made(be.empty(_shape("empty", size), backend.dtype(dtype)), be, requires_grad)


def zeros(
    *size: Size, dtype: DType = "float32", device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Zeros. Shapes: `size`, as separate lengths or one tuple."""
    return full(_shape("zeros", size), 0, dtype, device, requires_grad)


def ones(
    *size: Size, dtype: DType = "float32", device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Ones. Shapes: `size`, as separate lengths or one tuple."""
    return full(_shape("ones", size), 1, dtype, device, requires_grad)


def full(
    size: Size,
    fill_value: float,
    dtype: DType | None = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """`fill_value` everywhere. Shapes: `size`. The dtype is that of `tensor(fill_value)`."""
    be = backend.resolve(device)[0]
    kind = tensor(fill_value).dtype if dtype is None else backend.dtype(dtype)
    shape = _shape("full", (size,))
    return _made(be.full(shape, fill_value, kind), be, requires_grad)


def empty_like(x: Tensor, **options: Any) -> Tensor:
    """`empty` of x's shape and, unless `options` say otherwise, dtype and device."""
    return empty(x.shape, **_like(x, options))


def zeros_like(x: Tensor, **options: Any) -> Tensor:
    """Zeros of x's shape and, unless `options` say otherwise, dtype and device."""
    return zeros(x.shape, **_like(x, options))


def ones_like(x: Tensor, **options: Any) -> Tensor:
    """Ones of x's shape and, unless `options` say otherwise, dtype and device."""
    return ones(x.shape, **_like(x, options))


def full_like(x: Tensor, fill_value: float, **options: Any) -> Tensor:
    """`fill_value` in x's shape and, unless `options` say otherwise, dtype and device."""
    return full(x.shape, fill_value, **_like(x, options))


def rand_like(x: Tensor, **options: Any) -> Tensor:
    """`rand` of x's shape and, unless `options` say otherwise, dtype and device."""
    return rand(x.shape, **_like(x, options))


def randn_like(x: Tensor, **options: Any) -> Tensor:
    """`randn` of x's shape and, unless `options` say otherwise, dtype and device."""
    return randn(x.shape, **_like(x, options))


def _like(x: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    return {"dtype": x.dtype, "device": x.device, **options}


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    dtype: DType | None = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below `end`; with one argument 0, 1, ... below it.

    Integers give int64, real numbers float32.
    """
    if end is None:
        start, end = 0, start
    if not step or (end - start) / step < 0:
        raise ArgumentError("arange", f"step must lead from {start} to {end}, got {step}")
    be = backend.resolve(device)[0]
    whole = all(isinstance(n, int) for n in (start, end, step))
    values = be.xp.arange(start, end, step, "int64" if whole else "float64")
    kind = ("int64" if whole else "float32") if dtype is None else dtype
    return _made(values.astype(backend.dtype(kind)), be, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    dtype: DType = "float32",
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """`steps` values at equal distances from `start` to `end`, both included. Shapes: (steps,)."""
    if steps < 0:
        raise ArgumentError("linspace", f"steps must be at least 0, got {steps}")
    be = backend.resolve(device)[0]
    values = be.xp.linspace(start, end, steps, dtype="float64")
    return _made(values.astype(backend.dtype(dtype)), be, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    dtype: DType = "float32",
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere. Shapes: (n, m), m being n if None."""
    shape = _shape("eye", (n, n if m is None else m))
    be = backend.resolve(device)[0]
    return _made(be.xp.eye(*shape, dtype=backend.dtype(dtype)), be, requires_grad)


def rand(
    *size: Size, dtype: DType = "float32", device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Uniform in [0, 1). Shapes: `size`, as separate lengths or one tuple."""
    draw = random.host.random(_shape("rand", size))
    kind = backend.dtype(dtype)
    # Rounding may not reach 1.
    below_one = draw.clip(None, 1 - 2.0 ** -{"E": 8, "e": 11, "f": 24}.get(kind.char, 53))
    return tensor(below_one, kind, device, requires_grad)


def randn(
    *size: Size, dtype: DType = "float32", device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Standard normal. Shapes: `size`, as separate lengths or one tuple."""
    draw = random.host.standard_normal(_shape("randn", size))
    return tensor(draw, dtype, device, requires_grad)


def randint(
    low: int,
    high: int | tuple[int, ...],
    size: Size = None,
    dtype: DType = "int64",
    device: str = "cpu",
) -> Tensor:
    """Integers, uniform in [low, high). Shapes: `size`. `randint(high, size)` starts at 0.

    Raises:
        ArgumentError: no integer lies in [low, high).
    """
    if size is None:
        low, high, size = 0, low, high
    if not isinstance(high, int) or high <= low:
        raise ArgumentError("randint", f"high must be an integer above {low}, got {high}")
    return tensor(random.host.integers(low, high, _shape("randint", (size,))), dtype, device)


def randperm(n: int, dtype: DType = "int64", device: str = "cpu") -> Tensor:
    """The integers below n in random order. Shapes: (n,)."""
    return tensor(random.host.permutation(_shape("randperm", (n,))[0]), dtype, device)
