"""Turn a picture of any size into an input of the shape and the look that a data set has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import ArgumentError, DataError, MissingPackageError

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = NDArray[np.float32]

LARGEST = 512  # pixels of the longer side that are looked at: averages the grain of a photograph
SPECK = 0.03  # rows and columns with less of the ink of the fullest one do not belong to the glyph


@dataclass(frozen=True)
class Framing:
    """How the makers of a set of glyphs, white on black, placed each one in its frame.

    Args:
        box: (height, width) in pixels of the frame that a glyph is scaled to fit.
        stretch: how much more one side may be scaled than the other to fill the box; 1 keeps
            the proportions.
        centre: what lies in the middle of the frame, the glyph's box or its centre of mass.
        upright: whether slanted writing is straightened.
    """

    box: tuple[float, float]
    stretch: float = 1.0
    centre: Literal["box", "mass"] = "box"
    upright: bool = False


def read_image(
    path: str | os.PathLike[str], shape: tuple[int, ...], framing: Framing | None = None
) -> Floats:
    """Read a picture as an input of a network.

    Args:
        path: an image file of any size, grey or colour, in any format that Pillow reads.
        shape: (C, H, W) of the input; C is 1 (grey) or 3 (red, green, blue).
        framing: cut out the one glyph in the picture, dark on light or light on dark, and place
            it as the data set does; None scales the whole picture to H x W.

    Returns:
        (1, C, H, W) float32 in [0, 1].

    Raises:
        ArgumentError: C is neither 1 nor 3, or not 1 where a framing is given.
        DataError: the file is no readable image, or no glyph is seen in it.
        MissingPackageError: Pillow is not installed.
    """
    if len(shape) != 3 or shape[0] not in ((1, 3) if framing is None else (1,)):
        raise ArgumentError(
            "read_image", f"shape must be (1, H, W) or, without framing, (3, H, W), got {shape}"
        )
    channels, height, width = shape
    picture = _open(Path(path), "L" if channels == 1 else "RGB")
    if framing is None:
        whole = (0, 0, picture.width, picture.height)
        bands = [_scale(band, (height, width), whole) for band in picture.split()]
        return np.stack(bands)[np.newaxis] / np.float32(255)
    ink = _ink(np.asarray(picture, np.float32))
    if ink is None:
        raise DataError(
            "read_image",
            f"{path} must show a glyph in the middle of a plain background, "
            "got nothing that stands out",
        )
    return _place(ink, (height, width), framing)[np.newaxis, np.newaxis]


def picture_shape(path: Path) -> tuple[int, int, int]:
    """(C, H, W) of the picture in a file as it is looked at: C is 1 where it is grey, else 3."""
    picture = _open(path, "RGB")
    red, *others = np.moveaxis(np.asarray(picture), 2, 0)
    grey = all(np.array_equal(red, band) for band in others)
    return 1 if grey else 3, picture.height, picture.width


def _open(path: Path, mode: str) -> Image:
    """The first frame of an image file, upright, on white where it is transparent, in `mode`."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingPackageError(
            "read_image", "needs Pillow, which is not installed", "pip install 'gpunet[plot]'"
        ) from error
    try:
        with Image.open(path) as file:
            # A photograph says in its metadata which way the camera was held.
            picture = ImageOps.exif_transpose(file)
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise DataError("read_image", f"{path} must be a readable image, got: {error}") from error
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip instead of scale
        picture = Image.fromarray(np.clip(np.asarray(picture) / 257, 0, 255).astype(np.uint8))
    picture = picture.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(mode)
    picture.thumbnail((LARGEST, LARGEST))
    return picture


def _ink(grey: Floats) -> Floats | None:
    """How much ink each pixel holds, 0 (none) to 1; None where no ink can be told from the rest.

    The median of the border is the background. Ink is what differs from it as the most different
    pixel in the middle does, darker or lighter. What differs no more than the border itself does
    is grain of the paper or uneven light.
    """
    height, width = grey.shape
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    background = np.median(border)
    middle = grey[height // 4 : height - height // 4, width // 4 : width - width // 4]
    darker, lighter = background - middle.min(), middle.max() - background
    contrast = darker if darker > lighter else -lighter
    deviation = np.abs(border - background)
    grain = np.quantile(deviation, 0.98)
    if grain > abs(contrast) / 2:  # ink reaches the border: go by its paler half
        grain = 4 * np.median(deviation)
    if grain >= abs(contrast):
        return None
    threshold = grain / abs(contrast)
    ink = ((background - grey) / contrast - threshold) / (1 - threshold)
    return np.clip(ink, 0, 1, dtype=np.float32)


def _place(ink: Floats, size: tuple[int, int], framing: Framing) -> Floats:
    """The glyph in a frame of `size`, by scaling the rectangle of `ink` that the frame shows."""
    from PIL import Image

    glyph = _crop(ink)
    if framing.upright:
        glyph = _crop(_upright(glyph))
    # Pixels of the picture per pixel of the frame, down and across.
    scale = np.divide(glyph.shape, framing.box)
    scale = np.maximum(scale, scale.max() / framing.stretch)
    frame = size * scale
    if framing.centre == "box":
        corner = (frame - glyph.shape) / 2
    else:
        # In whole pixels, as MNIST was made: the mass comes to lie within pixel (H / 2, W / 2).
        corner = np.round(np.add(size, 1) / 2 - _centre_of_mass(glyph) / scale) * scale
    # Background all around, so that the frame lies inside the canvas wherever the mass is.
    margin = np.ceil(frame).astype(int)
    canvas = Image.fromarray(np.pad(glyph, [(m, m) for m in margin]))
    (top, left), (bottom, right) = margin - corner, margin - corner + frame
    placed = _scale(canvas, size, (left, top, right, bottom))
    return placed / placed.max()  # thin strokes pale as they shrink; the sets' glyphs reach 1


def _upright(ink: Floats) -> Floats:
    """Shift the rows sideways until the ink lies no farther right (or left) the lower it lies."""
    height, width = ink.shape
    middle = _centre_of_mass(ink)
    down, across = np.arange(height) + 0.5 - middle[0], np.arange(width) + 0.5 - middle[1]
    spread = ink.sum(1) @ down**2
    # Up to 45 degrees: a dash that leans more is no slanted writing.
    lean = np.clip(down @ ink @ across / spread, -1, 1) if spread > 0 else 0.0
    room = int(np.ceil(abs(lean) * height))
    columns = np.arange(-room, width + room)
    rows = [
        np.interp(columns + lean * offset, np.arange(width), row, left=0, right=0)
        for row, offset in zip(ink, down, strict=True)
    ]
    return np.array(rows, np.float32)


def _crop(ink: Floats) -> Floats:
    """From the first to the last row and column whose ink is more than a speck."""
    rows, columns = (np.flatnonzero(sums > SPECK * sums.max()) for sums in (ink.sum(1), ink.sum(0)))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centre_of_mass(ink: Floats) -> NDArray[np.float64]:
    down, across = (np.arange(n) + 0.5 for n in ink.shape)
    return np.array([ink.sum(1) @ down, ink.sum(0) @ across]) / ink.sum()


def _scale(picture: Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Floats:
    """The rectangle (left, top, right, bottom) of a picture, averaged into (H, W) pixels."""
    from PIL.Image import Resampling

    resized = picture.resize((size[1], size[0]), Resampling.HAMMING, box=box)
    return np.asarray(resized, np.float32)
