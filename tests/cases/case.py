"""What the rows of the case tables are made of: inputs that are drawn, and calls that are judged.

An input is drawn in float64 by a generator seeded with its row, rounded to float32, and only then
given the dtype of the test: every dtype sees the same numbers, so results can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import ml_dtypes
import numpy as np

from gpunet.errors import GpunetError

Array = Any  # numpy.ndarray
SEED = 0x243F6A8885A308D3  # gpunet's, before each call of a row; fills both words of Philox's key


def is_real(x: Any) -> bool:
    """Whether an array or tensor holds real numbers; bfloat16 is no type of NumPy's own."""
    return x.dtype.kind == "f" or x.dtype == ml_dtypes.bfloat16


# --- inputs


@dataclass(frozen=True)
class Draw:
    """An array input: `text` describes it in the names of tests, `make` draws it."""

    text: str
    make: Callable[[np.random.Generator], Array]
    differentiable: bool = True

    def __repr__(self) -> str:
        return self.text

    def array(self, rng: np.random.Generator, dtype: str) -> Array:
        """Floating values in `dtype`, integers and booleans as they are."""
        drawn = np.asarray(self.make(rng))
        return drawn.astype("float32").astype(dtype) if is_real(drawn) else drawn


def normal(*shape: int) -> Draw:
    """Standard normal."""
    return Draw(f"normal{_text(shape)}", lambda rng: rng.standard_normal(shape))


def positive(*shape: int) -> Draw:
    """Uniform in [0.5, 2)."""
    return Draw(f"positive{_text(shape)}", lambda rng: rng.uniform(0.5, 2.0, shape))


def unit(*shape: int) -> Draw:
    """Uniform in [0, 1)."""
    return Draw(f"unit{_text(shape)}", lambda rng: rng.random(shape))


def away_from_zero(*shape: int) -> Draw:
    """Normal of width 2 with no value nearer than 0.1 to 0, where a pole or a kink is."""

    def make(rng: np.random.Generator) -> Array:
        x = rng.normal(0.0, 2.0, shape)
        return np.copysign(np.maximum(np.abs(x), 0.1), x)

    return Draw(f"away_from_zero{_text(shape)}", make)


def shares(axis: int, *shape: int) -> Draw:
    """Positive, with sum 1 along `axis`: probabilities of classes."""

    def make(rng: np.random.Generator) -> Array:
        x = rng.uniform(0.1, 1.0, shape)
        return x / x.sum(axis, keepdims=True)

    return Draw(f"shares{_text(shape)}", make)


def labels(classes: int, *shape: int) -> Draw:
    """Integers in [0, classes)."""
    text = f"labels({classes}){_text(shape)}"
    return Draw(text, lambda rng: rng.integers(0, classes, shape), False)


def exactly(values: Any) -> Draw:
    """These values: floating, integers or booleans."""
    array = np.asarray(values)
    text = str(array.tolist()) if array.size <= 8 else f"exactly{_text(array.shape)}"
    return Draw(text, lambda _: array, is_real(array))


def constant(draw: Draw) -> Draw:
    """The same values, but no gradient is asked for."""
    return Draw(draw.text, draw.make, False)


def _text(shape: Sequence[int]) -> str:
    return f"({','.join(map(str, shape))})"


# --- rows


class Row:
    """A call: `inputs` by position and `kwargs` by name; a `Draw` among them is an array."""

    inputs: Sequence[Any]
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        # Functions by name: where they lie in memory would draw other values in every process.
        values = {k: getattr(v, "__qualname__", None) or repr(v) for k, v in self.kwargs.items()}
        named = [f"{name}={value}" for name, value in values.items()]
        return ", ".join([*map(repr, self.inputs), *named])

    @property
    def draws(self) -> list[Draw]:
        """The array inputs in order, also those inside tuples."""
        return draws_in((*self.inputs, *self.kwargs.values()))

    def arrays(self, dtype: str) -> list[Array]:
        """Their values, the same at each call."""
        rng = np.random.default_rng(crc32(str(self).encode()))
        return [draw.array(rng, dtype) for draw in self.draws]

    def call(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """`function` with `values` in place of the array inputs."""
        rest = iter(values)
        args = [_filled(x, rest) for x in self.inputs]
        return function(*args, **{name: _filled(x, rest) for name, x in self.kwargs.items()})


def draws_in(value: Any) -> list[Draw]:
    """The array inputs in what may be one, or a tuple of such things."""
    if isinstance(value, tuple):
        return [draw for part in value for draw in draws_in(part)]
    return [value] if isinstance(value, Draw) else []


def _filled(x: Any, values: Iterator[Any]) -> Any:
    if isinstance(x, Draw):
        return next(values)
    return tuple(_filled(part, values) for part in x) if isinstance(x, tuple) else x


@dataclass(frozen=True)
class Case(Row):
    """A call, and the formula it is held against.

    Args:
        oracle: takes the same call on NumPy arrays and answers in their precision, with a tuple
            where there are several results; simple, not fast, and independent of gpunet.
        always: dtype of the real results, whatever that of the inputs.
        unlike_torch: why the row is not compared with PyTorch: what it refuses, or does otherwise.
    """

    oracle: Callable[..., Any]
    inputs: Sequence[Any]
    kwargs: dict[str, Any] = field(default_factory=dict)
    always: str = field(default="", kw_only=True)
    unlike_torch: str = field(default="", kw_only=True)

    @property
    def differentiable(self) -> tuple[int, ...]:
        """Positions, among the array inputs, of those that have a gradient."""
        return tuple(i for i, draw in enumerate(self.draws) if draw.differentiable)

    def answer(self, values: Sequence[Array]) -> tuple[Array, ...]:
        """What the oracle says with `values` in place of the array inputs, an array a result."""
        with np.errstate(all="ignore"):
            results = self.call(self.oracle, values)
        return tuple(map(np.asarray, results if isinstance(results, tuple) else (results,)))

    def expected(self, dtype: str, computed: str) -> tuple[Array, ...]:
        """What the oracle says of the inputs in `dtype`, computed in another one."""
        inputs = self.arrays(dtype)
        return self.answer([x.astype(computed) if is_real(x) else x for x in inputs])


@dataclass(frozen=True)
class Edge(Case):
    """A call at the edge of its domain or of the floats, where NaN, Inf and kinks are met.

    Each element of the result is judged by itself, and NumPy may warn.

    Args:
        gradient: takes the same call and answers with the gradient (a tuple for several inputs)
            when every element of the result has weight 1, since no difference quotient tells it
            here; None where nothing is promised.
    """

    gradient: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Invalid(Row):
    """A call that must be refused.

    Args:
        error: the class of the error.
        message: stands in its text, which starts with the name of the function.
    """

    inputs: Sequence[Any]
    error: type[GpunetError]
    message: str
    kwargs: dict[str, Any] = field(default_factory=dict)
