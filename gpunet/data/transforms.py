"""Changes of pictures on their way into a batch, so that a network sees no picture twice.

A transform is called with the inputs of a batch, their targets and a source of random numbers, and
returns inputs and targets. Where there is a target for every pixel, it moves with its pixel.

>>> import numpy as np
>>> from gpunet.data import DataLoader, load, transforms
>>> change = transforms.Compose(
...     [transforms.RandomCrop(8, padding=1), transforms.RandomHorizontalFlip()]
... )
>>> inputs, targets = next(iter(DataLoader(load("digits", "train"), 32, transform=change)))
>>> inputs.shape
(32, 1, 8, 8)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gpunet.data.dataset import Dataset
from gpunet.data.draws import Draws
from gpunet.errors import ArgumentError, DTypeError, ShapeError

Floats = NDArray[np.float32]
Targets = NDArray[Any]  # (N,) labels, (N, H, W) labels of pixels, or (N, K) float32 probabilities
Transform = Callable[[Floats, Targets, Draws], tuple[Floats, Targets]]


@dataclass(frozen=True)
class Compose:
    """One transform after another."""

    transforms: Sequence[Transform]

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        for transform in self.transforms:
            inputs, targets = transform(inputs, targets, draws)
        return inputs, targets


@dataclass(frozen=True)
class Normalize:
    """(x − mean) / std, with a mean and a standard deviation for each channel.

    Raises:
        ArgumentError: not as many means as deviations, or a deviation that is not positive.
        ShapeError: on pictures of another number of channels.
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.std or not min(self.std) > 0:
            problem = f"std must be positive, one for each of {len(self.mean)} means"
            raise ArgumentError("Normalize", f"{problem}, got {tuple(self.std)}")

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        _has_maps("Normalize", inputs, targets)
        if inputs.shape[1] != len(self.mean):
            rule = f"inputs must have shape (N, C, H, W) with C = {len(self.mean)}"
            raise ShapeError(
                "Normalize", f"{rule}, got {inputs.shape}", "as many as there are means"
            )
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.mean, self.std))
        return (inputs - mean) / std, targets


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Left and right exchanged, in a share `p` of the pictures."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_share("RandomHorizontalFlip", "p", self.p)

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        return _flipped("RandomHorizontalFlip", inputs, targets, draws, self.p, -1)


@dataclass(frozen=True)
class RandomVerticalFlip:
    """Top and bottom exchanged, in a share `p` of the pictures."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_share("RandomVerticalFlip", "p", self.p)

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        return _flipped("RandomVerticalFlip", inputs, targets, draws, self.p, -2)


def _flipped(
    name: str, inputs: Floats, targets: Targets, draws: Draws, p: float, axis: int
) -> tuple[Floats, Targets]:
    chosen = draws.uniform(0, 1) < p
    maps = _has_maps(name, inputs, targets)
    inputs = inputs.copy()
    inputs[chosen] = np.flip(inputs[chosen], axis)
    if maps:
        targets = targets.copy()
        targets[chosen] = np.flip(targets[chosen], axis)
    return inputs, targets


@dataclass(frozen=True)
class RandomCrop:
    """A part of the picture and its border, anywhere in them.

    Args:
        size: (height, width) of the part in pixels; one number for a square.
        padding: pixels of zeros put around the picture first (label 0, where each pixel has one).

    Raises:
        ArgumentError: size is less than 1, or padding negative.
        ShapeError: on pictures that, with their border, are smaller than `size`.
    """

    size: int | tuple[int, int]
    padding: int = 0

    def __post_init__(self) -> None:
        if min(self._sides) < 1 or self.padding < 0:
            rule = "size must be at least 1 and padding at least 0"
            raise ArgumentError("RandomCrop", f"{rule}, got {self.size} and {self.padding}")

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        maps = _has_maps("RandomCrop", inputs, targets)
        height, width = (side + 2 * self.padding for side in inputs.shape[2:])
        rows, columns = self._sides
        if height < rows or width < columns:
            rule = f"pictures must be at least {rows} × {columns} pixels to be cut out of"
            border = f"with a border of {self.padding}" if self.padding else "padding may help"
            raise ShapeError("RandomCrop", f"{rule}, got {height} × {width}", border)
        top = draws.integers(0, height - rows + 1)
        left = draws.integers(0, width - columns + 1)
        inputs = self._cut(inputs, top, left)
        return inputs, self._cut(targets[:, None], top, left)[:, 0] if maps else targets

    @property
    def _sides(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def _cut(self, x: NDArray[Any], top: NDArray[Any], left: NDArray[Any]) -> NDArray[Any]:
        around = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), around, around)) if self.padding else x
        windows = sliding_window_view(padded, self._sides, (2, 3))
        return windows[np.arange(len(x)), :, top, left]


@dataclass(frozen=True)
class Cutout:
    """A square of `size` pixels set to 0, its middle anywhere in the picture.

    What of it lies outside is cut off. Targets stay.

    Source: DeVries, Taylor, arXiv:1708.04552.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ArgumentError("Cutout", f"size must be at least 1, got {self.size}")

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        _has_maps("Cutout", inputs, targets)
        inside = []
        for side in inputs.shape[2:]:
            first = draws.integers(0, side)[:, None] - self.size // 2
            place = np.arange(side)
            inside.append((place >= first) & (place < first + self.size))
        hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return np.where(hole, np.float32(0), inputs), targets


@dataclass(frozen=True)
class MixUp:
    """λ of a picture and 1 − λ of another one, drawn from the whole set; targets are mixed alike.

    The other one is taken as it is in the set, so this transform comes first.

    Args:
        dataset: where the others come from: labelled pictures.
        alpha: λ is drawn from Beta(alpha, alpha): the larger, the more is mixed.

    Returns (when called): inputs, and (N, K) float32 targets, the share of each class.

    Raises:
        ArgumentError: alpha is not positive.
        ShapeError: on targets that are not one label a picture.

    Source: Zhang, Cissé, Dauphin, Lopez-Paz, arXiv:1710.09412, eq. 1.
    """

    dataset: Dataset
    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ArgumentError("MixUp", f"alpha must be more than 0, got {self.alpha}")

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        if targets.ndim != 1:
            raise ShapeError("MixUp", f"targets must have shape (N,), got {targets.shape}")
        if targets.dtype.kind not in "iu":
            raise DTypeError("MixUp", f"targets must be integers, got {targets.dtype}")
        share = draws.beta(self.alpha, self.alpha)
        other = draws.integers(0, len(self.dataset))
        each = share.reshape(-1, *[1] * (inputs.ndim - 1))
        mixed = each * inputs + (1 - each) * self.dataset.inputs[other]
        one = np.eye(len(self.dataset.classes), dtype=np.float32)
        both = one[targets], one[self.dataset.targets[other]]
        return mixed, share[:, None] * both[0] + (1 - share[:, None]) * both[1]


@dataclass(frozen=True)
class Affine:
    """Random shift, rotation, zoom and shear of each picture around its middle.

    Pixels are interpolated bilinearly, their labels taken from the nearest one.
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

    def __call__(self, inputs: Floats, targets: Targets, draws: Draws) -> tuple[Floats, Targets]:
        maps = _has_maps("Affine", inputs, targets)
        height, width = inputs.shape[2:]
        row, column = self._sources(height, width, draws)
        # A border of zeros stands for everything outside: one pixel, and its neighbour.
        padded = np.pad(inputs, ((0, 0), (0, 0), (1, 2), (1, 2)))
        row, column = np.clip(row + 1, 0, height + 1), np.clip(column + 1, 0, width + 1)
        top, left = row.astype(np.intp), column.astype(np.intp)
        down, right = (row - top)[:, None], (column - left)[:, None]
        picture = np.arange(len(inputs))[:, None, None]

        def at(r: NDArray[np.intp], c: NDArray[np.intp]) -> Floats:
            return padded[picture, :, r, c].transpose(0, 3, 1, 2)

        upper = at(top, left) * (1 - right) + at(top, left + 1) * right
        lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
        if maps:
            near_row, near_column = np.rint(row).astype(np.intp), np.rint(column).astype(np.intp)
            padded = np.pad(targets, ((0, 0), (1, 2), (1, 2)))
            targets = padded[picture, near_row, near_column]
        return (upper * (1 - down) + lower * down).astype(np.float32), targets

    def _sources(self, height: int, width: int, draws: Draws) -> tuple[Floats, Floats]:
        """For each pixel of each result, the row and column it comes from.

        Shapes: two arrays (N, height, width).
        """

        def draw(amount: float) -> Floats:
            return draws.uniform(-amount, amount)[:, None, None]

        angle = draw(np.deg2rad(self.rotate))
        zoom_y, zoom_x = 1 + draw(self.zoom), 1 + draw(self.zoom)
        shear, shift_y, shift_x = draw(self.shear), draw(self.shift), draw(self.shift)
        y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
        x = np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2
        row = (np.cos(angle) * y - np.sin(angle) * x) * zoom_y + shift_y
        column = (np.sin(angle) * y + np.cos(angle) * x + shear * y) * zoom_x + shift_x
        return row + (height - 1) / 2, column + (width - 1) / 2


def _has_maps(name: str, inputs: NDArray[Any], targets: NDArray[Any]) -> bool:
    """Whether there is a target for every pixel, once both are known to be pictures and fit.

    Raises:
        ShapeError: inputs are no pictures, or targets of pixels those of other pictures.
    """
    if inputs.ndim != 4:
        raise ShapeError(name, f"inputs must have shape (N, C, H, W), got {inputs.shape}")
    if targets.ndim != 3:
        return False
    if targets.shape[1:] != inputs.shape[2:]:
        rule = f"targets must have shape (N, H, W) with (H, W) = {inputs.shape[2:]} as inputs"
        raise ShapeError(name, f"{rule}, got {targets.shape}")
    return True


def _check_share(name: str, argument: str, value: float) -> None:
    """Refuses what is no share of 1."""
    if not 0 <= value <= 1:
        raise ArgumentError(name, f"{argument} must be in 0..1, got {value}")
