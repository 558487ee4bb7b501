"""Element types, and which one two operands meet in.

PyTorch's rules, which differ from NumPy's where integers meet floats: the kinds are ordered bool <
integer < floating, and an operand of a lower kind never widens one of a higher: int64 and float32
make float32, where NumPy says float64. Within one kind the wider type wins. A plain number, and a
tensor without axes, count only by their kind: float32 times 2.0 is float32.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

float16, float32, float64 = (np.dtype(name) for name in ("float16", "float32", "float64"))
int8, int16, int32, int64 = (np.dtype(name) for name in ("int8", "int16", "int32", "int64"))
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")
ALL = (float16, float32, float64, int8, int16, int32, int64, uint8, bool_)

_OF_KIND = {"b": bool_, "i": int64, "f": float32}  # what a plain number becomes


def kind(dtype: Any) -> str:
    """`"b"`, `"i"` (signed or not) or `"f"`."""
    return "i" if dtype.kind == "u" else dtype.kind


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
            best = np.promote_types(best, found)
    return best
