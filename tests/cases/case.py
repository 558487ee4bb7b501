"""What the rows of the case tables are made of: inputs that are drawn, and calls that are judged.

An input is drawn in float64 from a generator seeded by its case, rounded to float32 and only then
given the dtype of the test: every dtype sees the same numbers, so their results can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from gpunet.errors import GpunetError

Array = Any  # numpy.ndarray
SEED = 0x243F6A8885A308D3  # gpunet's, before each call of a case; fills both words of Philox's key


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
        return drawn.astype("float32").astype(dtype) if drawn.dtype.kind == "f" else drawn


def normal(*shape: int) -> Draw:
    """Standard normal."""
    return Draw(f"normal{_joined(shape)}", lambda rng: rng.standard_normal(shape))


def positive(*shape: int) -> Draw:
    """Uniform in [0.5, 2)."""
    return Draw(f"positive{_joined(shape)}", lambda rng: rng.uniform(0.5, 2.0, shape))


def unit(*shape: int) -> Draw:
    """Uniform in [0, 1)."""
    return Draw(f"unit{_joined(shape)}", lambda rng: rng.random(shape))


def away_from(kink: float, *shape: int) -> Draw:
    """Normal of width 2, but never nearer than 0.1 to `kink`, where no derivative exists."""

    def make(rng: np.random.Generator) -> Array:
        distance = rng.normal(0.0, 2.0, shape)
        return kink + np.copysign(np.maximum(np.abs(distance), 0.1), distance)

    return Draw(f"away_from({kink}){_joined(shape)}", make)


def shares(axis: int, *shape: int) -> Draw:
    """Positive, with sum 1 along `axis`: probabilities of classes."""

    def make(rng: np.random.Generator) -> Array:
        x = rng.uniform(0.1, 1.0, shape)
        return x / x.sum(axis, keepdims=True)

    return Draw(f"shares{_joined(shape)}", make)


def labels(classes: int, *shape: int) -> Draw:
    """Integers in [0, classes)."""
    return Draw(
        f"labels({classes}){_joined(shape)}", lambda rng: rng.integers(0, classes, shape), False
    )


def exactly(values: Any) -> Draw:
    """These values: floating, integers or booleans."""
    array = np.asarray(values)
    text = np.array2string(array, separator=",", threshold=8).replace("\n", "")
    return Draw(text, lambda _: array, array.dtype.kind == "f")


def constant(draw: Draw) -> Draw:
    """The same, but its gradient is not defined."""
    return Draw(draw.text, draw.make, False)


def _joined(shape: Sequence[int]) -> str:
    return f"({','.join(map(str, shape))})"


@dataclass(frozen=True)
class Case:
    """One call, and the formula it is held against.

    Args:
        oracle: the same call on NumPy arrays, in the precision of its input; simple, not fast, and
            independent of gpunet.
        inputs: positional arguments; each `Draw` (also inside a tuple) becomes a tensor.
        kwargs: keyword arguments, likewise.
    """

    oracle: Callable[..., Any]
    inputs: Sequence[Any]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([*map(repr, self.inputs), *(f"{k}={v!r}" for k, v in self.kwargs.items())])

    @property
    def draws(self) -> list[Draw]:
        """The array inputs, in order."""
        return list(_draws([*self.inputs, *self.kwargs.values()]))

    @property
    def differentiable(self) -> tuple[int, ...]:
        """Positions among the array inputs of those that have a gradient."""
        return tuple(i for i, draw in enumerate(self.draws) if draw.differentiable)

    def arrays(self, dtype: str) -> list[Array]:
        """The array inputs, the same at each call."""
        rng = np.random.default_rng(crc32(str(self).encode()))
        return [draw.array(rng, dtype) for draw in self.draws]

    def call(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """`function` with `values` in place of the array inputs."""
        rest = iter(values)
        args = [_filled(x, rest) for x in self.inputs]
        return function(*args, **{name: _filled(x, rest) for name, x in self.kwargs.items()})

    def expected(self, dtype: str) -> Array:
        """What the oracle says, computed in `dtype`."""
        with np.errstate(all="ignore"):
            return np.asarray(self.call(self.oracle, self.arrays(dtype)))


@dataclass(frozen=True)
class Edge(Case):
    """A call at the edge of its domain or of the floats, where NaN, Inf and kinks are met on purpose.

    NumPy may warn here. No difference quotient tells the gradient, so it is written down.

    Args:
        gradient: the gradient (a tuple for several inputs) if each element of the result has weight
            1, computed from the arguments like the oracle; None where nothing is promised.
    """

    gradient: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Invalid:
    """A call that must be refused: `error`, with a message that starts with the function's name and matches `message`."""

    inputs: Sequence[Any]
    kwargs: dict[str, Any]
    error: type[GpunetError]
    message: str

    __str__, draws, arrays, call = Case.__str__, Case.draws, Case.arrays, Case.call


def _draws(values: Any) -> Iterator[Draw]:
    for x in values:
        if isinstance(x, Draw):
            yield x
        elif isinstance(x, tuple):
            yield from _draws(x)


def _filled(x: Any, values: Iterator[Any]) -> Any:
    if isinstance(x, Draw):
        return next(values)
    return tuple(_filled(part, values) for part in x) if isinstance(x, tuple) else x
