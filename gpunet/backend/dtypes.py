"""Element types, and which one two operands meet in.

PyTorch's rules, which differ from NumPy's where integers meet floats: the kinds are ordered bool <
integer < floating, and an operand of a lower kind never widens one of a higher: int64 and float32
make float32, where NumPy says float64. Within one kind the wider type wins; float16 and bfloat16,
of which neither is wider, make float32. A plain number, and a tensor without axes, count only by
their kind: float32 times 2.0 is float32.

bfloat16 is no type of NumPy's own: the package ml_dtypes brings it, which nothing here imports
before somebody asks for it. Its kind is "V", as that of records, so ask `floating`, not `kind`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gpunet.errors import MissingPackageError

float16, float32, float64 = (np.dtype(name) for name in ("float16", "float32", "float64"))
int8, int16, int32, int64 = (np.dtype(name) for name in ("int8", "int16", "int32", "int64"))
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")
ALL = (float16, float32, float64, int8, int16, int32, int64, uint8, bool_)
HALVES = "eE"  # `dtype.char` of float16 and bfloat16: the quickest way to ask

_OF_KIND = {"b": bool_, "i": int64, "f": float32}  # what a plain number becomes


def bfloat16() -> Any:
    """The `numpy.dtype` of bfloat16.

    Raises:
        MissingPackageError: ml_dtypes is not installed.
    """
    try:
        import ml_dtypes
    except ImportError as error:
        rule = "needs ml_dtypes, which is missing: pip install 'gpunet[bfloat16]'"
        raise MissingPackageError("bfloat16", rule) from error
    return np.dtype(ml_dtypes.bfloat16)


def floating(dtype: Any) -> bool:
    """Whether it is one of real numbers."""
    return dtype.kind == "f" or dtype.char == "E"


def half(dtype: Any) -> bool:
    """Whether it is float16 or bfloat16, whose sums are kept in float32."""
    return dtype.char in HALVES


def numeric(dtype: Any) -> bool:
    """Whether it is one of numbers or booleans."""
    return dtype.kind in "fiub" or dtype.char == "E"


def kind(dtype: Any) -> str:
    """`"b"`, `"i"` (signed or not) or `"f"`."""
    return {"u": "i", "V": "f"}.get(dtype.kind, dtype.kind)


@functools.cache
def promote(*operands: tuple[Any, bool]) -> Any:
    """The dtype in which operands meet.

    Args:
        operands: a pair each, its dtype (or the type `bool`, `int` or `float` of a plain number)
            and whether it has axes.
    """
    best: Any = None
    rank = (-1, -1)  # kind first; among equal kinds tensors with axes, then without, then numbers
    for dtype, has_axes in operands:
        plain = isinstance(dtype, type)
        of = {bool: "b", int: "i", float: "f"}[dtype] if plain else kind(dtype)
        this = ("bif".index(of), 2 if has_axes else 0 if plain else 1)
        found = _OF_KIND[of] if plain else dtype
        if this > rank:
            best, rank = found, this
        elif this == rank and not plain:
            best = _wider(best, found)
    return best


def _wider(one: Any, other: Any) -> Any:
    """The shorter dtype of those that hold all values of both."""
    if half(one) and half(other) and one != other:
        return float32
    return np.promote_types(one, other)
