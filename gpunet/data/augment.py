"""Changes pictures a little, so that a network sees no picture twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import ArgumentError


@dataclass(frozen=True)
class Affine:
    """Random shift, rotation, zoom and shear of each picture around its middle.

    Pixels are interpolated bilinearly.
    Each amount is the largest change, drawn uniformly from ± that; what comes in from outside is 0.

    Args:
        shift: pixels, along each axis. rotate: degrees. zoom: share of the size, along each axis.
        shear: pixels sideways a pixel of height.

    Raises:
        ArgumentError: a negative amount, or a zoom of 1 or more.
    """

    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shift", "rotate", "zoom", "shear"):
            if not getattr(self, name) >= 0:
                raise ArgumentError(
                    "Affine", f"{name} must be at least 0, got {getattr(self, name)}"
                )
        if self.zoom >= 1:
            raise ArgumentError("Affine", f"zoom must be less than 1, got {self.zoom}")

    def __call__(
        self, images: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Changed copies of `images`.

        Shapes: images (N, C, H, W); result the same, float32.
        """
        n, _, height, width = images.shape
        row, column = self._sources(n, height, width, rng)
        # A border of zeros one pixel wide stands for everything outside.
        padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        row = np.clip(row + 1, 0, height + 0.999)
        column = np.clip(column + 1, 0, width + 0.999)
        top, left = row.astype(np.intp), column.astype(np.intp)
        down, right = (row - top)[:, None], (column - left)[:, None]
        picture = np.arange(n)[:, None, None]

        def at(r: NDArray[np.intp], c: NDArray[np.intp]) -> NDArray[np.float32]:
            return padded[picture, :, r, c].transpose(0, 3, 1, 2)

        upper = at(top, left) * (1 - right) + at(top, left + 1) * right
        lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
        return (upper * (1 - down) + lower * down).astype(np.float32)

    def _sources(
        self, n: int, height: int, width: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """For each pixel of each result, the row and column it comes from.

        Shapes: two arrays (n, height, width).
        """

        def draw(amount: float) -> NDArray[np.float32]:
            return rng.uniform(-amount, amount, (n, 1, 1)).astype(np.float32)

        angle = draw(np.deg2rad(self.rotate))
        zoom_y, zoom_x = 1 + draw(self.zoom), 1 + draw(self.zoom)
        shear, shift_y, shift_x = draw(self.shear), draw(self.shift), draw(self.shift)
        y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
        x = np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2
        row = (np.cos(angle) * y - np.sin(angle) * x) * zoom_y + shift_y
        column = (np.sin(angle) * y + np.cos(angle) * x + shear * y) * zoom_x + shift_x
        return row + (height - 1) / 2, column + (width - 1) / 2
