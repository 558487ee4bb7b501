"""Each transform against its definition, pixel by pixel, and the labels of pixels with them."""

import numpy as np
import pytest

from gpunet.data import DataLoader, Dataset
from gpunet.data.draws import Draws
from gpunet.data.transforms import (
    Affine,
    Compose,
    Cutout,
    MixUp,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
)
from gpunet.errors import ArgumentError, DTypeError, ShapeError

N, H, W = 40, 6, 5


def pictures(channels: int = 1) -> np.ndarray:
    """No two values are alike, so that a pixel says where it comes from."""
    return np.arange(1, N * channels * H * W + 1, dtype=np.float32).reshape(N, channels, H, W)


def masks() -> np.ndarray:
    """The label of a pixel is its value in `pictures()`."""
    return pictures()[:, 0].astype(np.int64)


def draws(epoch: int = 0) -> Draws:
    return Draws(3, epoch, range(N))


EVERY = [
    Compose([RandomCrop(5, padding=1), RandomHorizontalFlip()]),
    Normalize([0.5], [0.25]),
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    RandomCrop(4, padding=2),
    Cutout(3),
    Affine(shift=2, rotate=20, zoom=0.2, shear=0.2),
]
each = pytest.mark.parametrize("transform", EVERY, ids=[type(t).__name__ for t in EVERY])
MOVING = [t for t in EVERY if not isinstance(t, Normalize | Cutout)]


@each
def test_inputs_and_targets_are_left_as_they_were(transform) -> None:
    inputs, targets = pictures(), masks()
    changed, moved = transform(inputs, targets, draws())
    assert (changed.dtype, moved.dtype) == (np.float32, np.int64)
    assert not np.array_equal(changed, inputs)
    np.testing.assert_array_equal(inputs, pictures())
    np.testing.assert_array_equal(targets, masks())


@each
def test_a_picture_is_changed_alike_in_any_batch_and_otherwise_in_another_epoch(transform) -> None:
    whole, _ = transform(pictures(), np.zeros(N, np.int64), draws())
    for part in (range(7), range(7, N), [11]):
        some, _ = transform(pictures()[part], np.zeros(len(part), np.int64), Draws(3, 0, part))
        np.testing.assert_array_equal(some, whole[part])
    later, _ = transform(pictures(), np.zeros(N, np.int64), draws(epoch=1))
    assert isinstance(transform, Normalize) == np.array_equal(later, whole)


@pytest.mark.parametrize("transform", MOVING, ids=[type(t).__name__ for t in MOVING])
def test_the_label_of_a_pixel_moves_with_it(transform) -> None:
    if isinstance(transform, Affine):  # without interpolation, where values say where they are from
        transform = Affine()
    changed, moved = transform(pictures(), masks(), draws())
    np.testing.assert_array_equal(changed[:, 0], moved)


def test_flips_turn_about_half_of_the_pictures_around() -> None:
    x = pictures(2)
    for flip, turned in (
        (RandomHorizontalFlip, x[..., ::-1]),
        (RandomVerticalFlip, x[:, :, ::-1]),
    ):
        y, _ = flip()(x, np.zeros(N, np.int64), draws())
        around = np.array([np.array_equal(a, b) for a, b in zip(y, turned, strict=True)])
        np.testing.assert_array_equal(y[~around], x[~around])
        assert N / 4 < around.sum() < 3 * N / 4
        for p, expected in ((0, x), (1, turned)):
            np.testing.assert_array_equal(flip(p)(x, np.zeros(N, np.int64), draws())[0], expected)


def test_a_crop_is_a_window_of_the_padded_picture() -> None:
    x = pictures(2)
    y, _ = RandomCrop(4, padding=2)(x, np.zeros(N, np.int64), draws())
    corners = set()
    for picture, cut in zip(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), y, strict=True):
        places = [
            (i, j)
            for i in range(H + 1)
            for j in range(W + 1)
            if np.array_equal(picture[:, i : i + 4, j : j + 4], cut)
        ]
        assert len(places) == 1
        corners.add(places[0])
    rows, columns = zip(*corners, strict=True)
    assert (set(rows), set(columns)) == (set(range(H + 1)), set(range(W + 1)))


def test_a_cutout_is_a_square_around_a_pixel() -> None:
    x = pictures(2)
    y, _ = Cutout(3)(x, np.zeros(N, np.int64), draws())
    middles = set()
    for picture, cut in zip(x, y, strict=True):
        hole = (cut == 0).all(0)
        np.testing.assert_array_equal(cut, np.where(hole, 0, picture))
        fits = [
            (i, j)
            for i in range(H)
            for j in range(W)
            if np.array_equal(hole, np.outer(abs(np.arange(H) - i) < 2, abs(np.arange(W) - j) < 2))
        ]
        assert len(fits) == 1
        middles.update(fits)
    assert {i for i, _ in middles} == set(range(H))
    assert {j for _, j in middles} == set(range(W))


def test_normalize_takes_each_channel_by_itself() -> None:
    x = pictures(3)
    y, targets = Normalize([1, 2, 3], [2, 4, 8])(x, masks(), draws())
    for c, (mean, std) in enumerate(((1, 2), (2, 4), (3, 8))):
        np.testing.assert_allclose(y[:, c], (x[:, c].astype(np.float64) - mean) / std, rtol=1e-6)
    np.testing.assert_array_equal(targets, masks())


def test_mixup_mixes_pictures_and_labels_in_the_same_share() -> None:
    inputs = np.eye(N, dtype=np.float32)[:, None, None]  # picture i is 1 at i
    labels = np.arange(N) % 3
    data = Dataset("unit", inputs, labels, ("a", "b", "c"))
    mixed, targets = MixUp(data, alpha=1.0)(inputs, labels, draws())
    assert (targets.shape, targets.dtype) == ((N, 3), np.float32)
    shares = []
    for i, (row, target) in enumerate(zip(mixed[:, 0, 0], targets, strict=True)):
        others = np.flatnonzero(row[np.arange(N) != i])
        assert len(others) <= 1
        expected = np.zeros(3)
        np.add.at(expected, labels, row)
        np.testing.assert_allclose(target, expected, atol=1e-6)
        shares.append(row[i])
    assert 0.3 < np.mean(shares) < 0.7
    assert np.ptp(shares) > 0.8


def test_mixup_refuses_what_is_no_label_a_picture() -> None:
    data = Dataset("two", pictures(), np.zeros(N, np.int64), ("a",))
    with pytest.raises(ShapeError, match=r"targets must have shape \(N,\), got \(40, 6, 5\)"):
        MixUp(data)(pictures(), masks(), draws())
    with pytest.raises(DTypeError, match="targets must be integers, got float32"):
        MixUp(data)(pictures(), np.zeros(N, np.float32), draws())


def test_affine_turns_pictures_by_ninety_degrees_exactly(monkeypatch) -> None:
    square = pictures()[:, :, :5]
    monkeypatch.setattr(Draws, "uniform", lambda self, low, high: np.full(N, high, np.float32))
    turned, labels = Affine(rotate=90)(square, square[:, 0].astype(np.int64), draws())
    np.testing.assert_allclose(turned, np.rot90(square, -1, (2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(labels, np.rot90(square[:, 0], -1, (1, 2)))
    shifted, _ = Affine(shift=2)(square, np.zeros(N, np.int64), draws())
    np.testing.assert_array_equal(shifted[:, :, :3, :3], square[:, :, 2:, 2:])
    assert not shifted[:, :, 3:].any()
    assert not shifted[:, :, :, 3:].any()


def test_draws_are_evenly_spread_and_one_row_an_example() -> None:
    source = Draws(1, 0, range(2000))
    uniform = source.uniform(-1, 3, (4,))
    assert uniform.shape == (2000, 4)
    assert (-1 <= uniform).all()
    assert (uniform < 3).all()
    np.testing.assert_allclose(np.histogram(uniform, 8, (-1, 3))[0], 1000, atol=150)
    np.testing.assert_allclose(np.bincount(source.integers(2, 6)), [0, 0, *[500] * 4], atol=100)
    beta = source.beta(2, 2)
    assert abs(beta.mean() - 0.5) < 0.02
    assert abs(beta.var() - 1 / 20) < 0.005
    # Neighbours, epochs and seeds have nothing in common.
    again = Draws(1, 0, range(1, 2001)).uniform(-1, 3, (4,))
    np.testing.assert_array_equal(again[:-1], uniform[1:])
    for other in (Draws(1, 1, range(2000)), Draws(2, 0, range(2000))):
        assert abs(np.corrcoef(other.uniform(0, 1), uniform[:, 0])[0, 1]) < 0.1


@pytest.mark.parametrize("transform", [t for t in EVERY if not isinstance(t, Compose)])
def test_what_is_no_picture_is_refused(transform) -> None:
    name = type(transform).__name__
    with pytest.raises(ShapeError, match=rf"{name}: inputs must have shape \(N, C, H, W\), got"):
        transform(np.zeros((N, 12), np.float32), np.zeros(N, np.int64), draws())
    rule = rf"{name}: targets must have shape \(N, H, W\) with \(H, W\) = \(6, 5\) as inputs"
    with pytest.raises(ShapeError, match=rule + r", got \(40, 5, 6\)"):
        transform(pictures(), np.zeros((N, 5, 6), np.int64), draws())


@pytest.mark.parametrize(
    ("size", "padding", "problem"),
    [
        (8, 0, "must be at least 8 × 8 pixels to be cut out of, got 6 × 5; padding may help"),
        (8, 1, "must be at least 8 × 8 pixels to be cut out of, got 8 × 7; with a border of 1"),
    ],
)
def test_a_picture_smaller_than_the_crop_is_refused(size, padding, problem) -> None:
    with pytest.raises(ShapeError) as caught:
        RandomCrop(size, padding)(pictures(), masks(), draws())
    assert problem in str(caught.value)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"with C = 1, got \(40, 3, 6, 5\); as many as there are"):
        Normalize([0.5], [0.5])(pictures(3), masks(), draws())


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda: Normalize([0.5], [0.0]),
            "std must be positive, one for each of 1 means, got (0.0",
        ),
        (lambda: Normalize([0.5], [0.1, 0.2]), "one for each of 1 means, got (0.1, 0.2)"),
        (lambda: Normalize([], []), "std must be positive"),
        (lambda: RandomHorizontalFlip(1.5), "RandomHorizontalFlip: p must be in 0..1, got 1.5"),
        (lambda: RandomVerticalFlip(-1), "RandomVerticalFlip: p must be in 0..1, got -1"),
        (lambda: RandomCrop(0), "size must be at least 1 and padding at least 0, got 0 and 0"),
        (lambda: RandomCrop(4, -1), "size must be at least 1 and padding at least 0, got 4 and -1"),
        (lambda: Cutout(0), "size must be at least 1, got 0"),
        (lambda: MixUp(None, 0.0), "alpha must be more than 0, got 0.0"),
        (lambda: Affine(shift=-1), "shift must be at least 0, got -1"),
        (lambda: Affine(zoom=1), "zoom must be less than 1, got 1"),
    ],
)
def test_impossible_arguments_are_refused(make, problem) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    assert problem in str(caught.value)


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_an_epoch_is_the_same_for_any_batch_size_and_number_of_threads(batch_size, workers) -> None:
    data = Dataset("all", pictures(), masks() % 2, ("no", "yes"))
    change = Compose([RandomCrop(4, 1), Affine(rotate=30), Cutout(2)])

    def epoch(batch_size: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
        loader = DataLoader(data, batch_size, shuffle=True, transform=change, workers=workers)
        next(iter(loader))
        loader.epoch = 2
        inputs, targets = zip(*loader, strict=True)
        return np.concatenate(inputs), np.concatenate(targets)

    for got, expected in zip(epoch(batch_size, workers), epoch(5, 0), strict=True):
        np.testing.assert_array_equal(got, expected)
