"""The dtypes the kernels are compiled for. NumPy has no bfloat16: it is kept as its 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class DType:
    """One of `DTYPES`: its name in CUDA, how NumPy stores it, and what sums of it are kept in."""

    name: str
    cuda: str
    storage: type[np.generic]
    accumulator: type[np.floating[Any]]
    epsilon: float

    def __str__(self) -> str:
        return self.name

    def encode(self, values: Any) -> Array:
        """`values` rounded to this dtype (to nearest, ties to even), as a kernel reads them."""
        if self.name != "bfloat16":
            return np.asarray(values, self.storage)
        bits = np.asarray(values, np.float32).view(np.uint32)
        rounded = (
            bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        ) >> np.uint32(16)
        return np.where(np.isnan(values), np.uint16(0x7FC0), rounded.astype(np.uint16))

    def decode(self, stored: Array) -> Array:
        """What a kernel wrote, as float64; exact."""
        if self.name == "bfloat16":
            stored = (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return stored.astype(np.float64)


FLOAT32 = DType("float32", "float", np.float32, np.float32, 2.0**-23)
FLOAT64 = DType("float64", "double", np.float64, np.float64, 2.0**-52)
FLOAT16 = DType("float16", "__half", np.float16, np.float32, 2.0**-10)
BFLOAT16 = DType("bfloat16", "__nv_bfloat16", np.uint16, np.float32, 2.0**-7)
DTYPES = (FLOAT32, FLOAT64, FLOAT16, BFLOAT16)
