"""Pictures become inputs that look as if they came from the set."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from gpunet import data
from gpunet.data.catalogue import Description
from gpunet.data.image import Framing, read_image
from gpunet.errors import ArgumentError, DataError, MissingPackageError

SIZE = (200, 300)
MNIST, DIGITS = data.describe("mnist"), data.describe("digits")


def draw(text: str, at: tuple[int, int] = (100, 150), size: int = 150) -> Image.Image:
    """Black on white, with the middle of the text at `at`."""
    picture = Image.new("L", SIZE, "white")
    font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text(at, text, fill="black", font=font, anchor="mm")
    return picture


def on_paper(glyph: np.ndarray, scale: int, margins: tuple[int, int, int, int]) -> Image.Image:
    """A glyph of a set, enlarged, as black ink on white paper."""
    top, bottom, left, right = margins
    large = np.kron(np.rint(255 * glyph), np.ones((scale, scale))).astype(np.uint8)
    return Image.fromarray(255 - np.pad(large, ((top, bottom), (left, right))))


def extent(pixels: np.ndarray, axis: int) -> int:
    """Over how many rows (axis 1) or columns (axis 0) the clearly visible ink reaches."""
    inked = np.flatnonzero(pixels.max(axis) > 0.25)
    return int(inked[-1] - inked[0]) + 1


@pytest.fixture
def read(tmp_path: Path):
    """Write a picture to a file and read it as an input of a set."""

    def read(picture: Image.Image, of: Description = MNIST, **options) -> np.ndarray:
        picture.save(tmp_path / "picture.png", **options)
        return read_image(tmp_path / "picture.png", of.shape, of.framing)

    return read


@pytest.mark.parametrize("digit", "0123456789")
def test_mnist_frames_fill_20_of_28_pixels_around_the_mass(digit: str, read) -> None:
    framed = read(draw(digit))
    assert (framed.shape, framed.dtype) == ((1, 1, 28, 28), np.float32)
    assert framed.min() == 0
    assert framed.max() == 1
    pixels = framed[0, 0]
    assert max(extent(pixels, 0), extent(pixels, 1)) == 20
    # MNIST counts in whole pixels: the centre of mass is somewhere within pixel (14, 14), give or
    # take what the edges lose when a drawing is scaled.
    for axis in (0, 1):
        mass = pixels.sum(1 - axis)
        assert abs(mass @ np.arange(28) / mass.sum() - 14) < 0.55


@pytest.mark.parametrize("digit", "0123456789")
def test_frames_of_the_digits_are_filled_from_top_to_bottom(digit: str, read) -> None:
    framed = read(draw(digit), DIGITS)
    assert (framed.shape, framed.dtype) == ((1, 1, 8, 8), np.float32)
    pixels = framed[0, 0]
    assert extent(pixels, 1) == 8
    assert extent(pixels, 0) <= 6  # 5.5 columns, which begin and end within a pixel
    assert pixels[:, [0, 7]].max() < 0.1


def test_the_frame_does_not_depend_on_where_the_glyph_is(read) -> None:
    for of in (MNIST, DIGITS):
        np.testing.assert_array_equal(
            read(draw("5", (70, 110)), of), read(draw("5", (120, 180)), of)
        )


def test_light_on_dark_and_dark_on_light_are_alike(read) -> None:
    black = draw("4")
    for of in (MNIST, DIGITS):
        white = read(Image.eval(black, lambda value: 255 - value), of)
        np.testing.assert_array_equal(read(black, of), white)


def test_a_pale_pen_and_coloured_paper_make_no_difference(read) -> None:
    grey = Image.eval(draw("7"), lambda value: 90 + value // 255 * 75)  # 90 on 165
    black = Image.eval(draw("7"), lambda value: value // 255 * 255)
    np.testing.assert_allclose(read(grey), read(black), atol=1e-6)
    ink = Image.eval(black, lambda value: 255 - value)
    coloured = Image.new("RGB", SIZE, (230, 220, 120))
    coloured.paste((20, 20, 140), mask=ink)
    np.testing.assert_allclose(read(coloured), read(black), atol=1e-6)


def test_uneven_light_and_grain_are_not_ink(read) -> None:
    """Paper that is a third darker in one corner, with noise, gives nearly the clean frame."""
    clean = np.asarray(draw("3"), np.float64) / 255
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    light = 220 - 70 * (rows / SIZE[1]) * (columns / SIZE[0])
    noise = np.random.default_rng(0).normal(0, 3, clean.shape)
    photo = np.clip(light * clean + 40 * (1 - clean) + noise, 0, 255).astype(np.uint8)
    difference = np.abs(read(Image.fromarray(photo)) - read(draw("3")))
    # The glyph may move by a part of a pixel at its edges; a shadow taken for ink would shrink it,
    # and differ as much as an empty frame does.
    assert difference.mean() < 0.25 * read(draw("3")).mean()


def test_specks_do_not_move_the_frame(read) -> None:
    dirty = draw("8")
    dirty.putpixel((10, 20), 0)
    dirty.putpixel((190, 280), 0)
    np.testing.assert_array_equal(read(dirty), read(draw("8")))


def test_a_slanted_bar_is_straightened_for_the_digits(read) -> None:
    picture = Image.new("L", SIZE, "white")
    ImageDraw.Draw(picture).line([(130, 60), (70, 240)], fill="black", width=14)
    upright, slanted = read(picture, DIGITS)[0, 0], read(picture, MNIST)[0, 0]
    columns = np.arange(8)
    middle = upright @ columns / upright.sum(1)
    assert np.ptp(middle[1:-1]) < 0.25  # the ends of the bar are cut at an angle
    assert slanted[5].argmax() - slanted[22].argmax() >= 5


def test_mnist_digits_come_back_as_they_were(read) -> None:
    """A 20-pixel glyph, placed as MNIST does, needs no scaling: the frame is the glyph itself."""
    glyph = np.zeros((28, 28))
    glyph[4:24, 10:14] = 1 - np.abs(np.linspace(-0.6, 0.6, 20))[:, None]
    glyph[4:8, 10:20] = 0.8
    glyph[12, 12] = 1
    mass = glyph.sum(1) @ np.arange(28) / glyph.sum(), glyph.sum(0) @ np.arange(28) / glyph.sum()
    placed = np.roll(glyph, (14 - round(mass[0]), 14 - round(mass[1])), (0, 1))
    framed = read(on_paper(placed, 1, (7, 2, 30, 11)))
    np.testing.assert_allclose(framed[0, 0], placed, atol=0.5 / 255 + 1e-6)


def test_pictures_of_the_digits_are_still_recognised(read) -> None:
    """Test digits on paper, 20 times as large, keep their class for a 1-nearest-neighbour rule."""
    train, test = data.load("digits", "train"), data.load("digits", "test")
    known = train.inputs.reshape(len(train), -1)
    right = 0
    for image, label in zip(test.inputs[:100, 0], test.targets[:100], strict=True):
        framed = read(on_paper(image, 20, (60, 30, 90, 40)), DIGITS)
        right += train.targets[((known - framed.reshape(-1)) ** 2).sum(1).argmin()] == label
    assert right >= 90  # as they are in the set, these 100 give 96


def test_without_framing_a_picture_is_scaled_as_it_is(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), (255, 0, 51))
    picture.paste((0, 102, 255), (20, 0, 40, 20))
    picture.save(tmp_path / "halves.png")
    colours = read_image(tmp_path / "halves.png", (3, 5, 10))
    assert (colours.shape, colours.dtype) == ((1, 3, 5, 10), np.float32)
    np.testing.assert_allclose(colours[0, :, :, 0], [[1.0] * 5, [0.0] * 5, [0.2] * 5])
    np.testing.assert_allclose(colours[0, :, :, 9], [[0.0] * 5, [0.4] * 5, [1.0] * 5])
    grey = read_image(tmp_path / "halves.png", (1, 5, 10))
    luma = (0.299 * 255 + 0.114 * 51) / 255  # ITU-R 601, rounded to one of 256 greys
    assert grey[0, 0, 2, 0] == pytest.approx(luma, abs=1 / 255)


def test_a_transparent_background_is_paper(read) -> None:
    ink = Image.eval(draw("6"), lambda value: 255 - value)
    transparent = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    transparent.paste((0, 0, 0, 255), mask=ink)
    np.testing.assert_allclose(read(transparent), read(draw("6")), atol=0.01)


def test_sixteen_bits_of_grey_are_scaled(tmp_path: Path) -> None:
    levels = np.repeat(np.array([[0, 257 * 100, 65535]], np.uint16), 3, axis=0)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    grey = read_image(tmp_path / "deep.png", (1, 3, 3))
    np.testing.assert_allclose(grey[0, 0], np.tile(np.float32([0, 100 / 255, 1]), (3, 1)))


def test_a_photograph_is_turned_the_way_the_camera_was(read) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn clockwise
    sideways = draw("2").transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(read(sideways, exif=exif), read(draw("2")))


def test_a_large_picture_gives_the_frame_of_a_small_one(read) -> None:
    large = draw("9").resize((2000, 3000), Image.Resampling.BICUBIC)
    difference = np.abs(read(large) - read(draw("9")))
    assert difference.mean() < 0.02


@pytest.mark.parametrize("of", [MNIST, DIGITS], ids=["mnist", "digits"])
@pytest.mark.parametrize("box", [(90, 150, 110, 150), (100, 60, 100, 240), (100, 150, 100, 150)])
def test_a_line_and_a_dot_are_glyphs_too(box, of, read) -> None:
    """One pixel high, wide or both: nothing divides by zero, and the ink is in the frame."""
    picture = Image.new("L", SIZE, "white")
    ImageDraw.Draw(picture).rectangle(box, fill="black")
    framed = read(picture, of)
    assert np.isfinite(framed).all()
    assert framed.max() == 1


@pytest.mark.parametrize("size", [(200, 300), (1, 1)])
def test_a_blank_picture_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "blank.png"
    Image.new("L", size, 128).save(path)
    with pytest.raises(DataError) as caught:
        read_image(path, (1, 8, 8), DIGITS.framing)
    assert f"{path} must show a glyph in the middle of a plain background" in str(caught.value)
    assert read_image(path, (1, 8, 8))[0, 0, 4, 4] == np.float32(128 / 255)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_an_unreadable_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(path, (1, 8, 8))
    assert f"{path} must be a readable image" in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_picture_is_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    draw("1").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="must be a readable image"):
        read_image(str(path), (1, 8, 8))


def test_channels_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"got \(2, 8, 8\)"):
        read_image(tmp_path / "any.png", (2, 8, 8))
    with pytest.raises(ArgumentError, match=r"got \(3, 8, 8\)"):
        read_image(tmp_path / "any.png", (3, 8, 8), Framing((8, 8)))


def test_without_pillow_the_line_that_installs_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingPackageError) as caught:
        read_image(tmp_path / "any.png", (1, 8, 8))
    assert str(caught.value).endswith("pip install 'gpunet[plot]'")
