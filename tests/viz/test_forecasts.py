"""The picture of forecasts: which stretches, what stands where, and nothing covered."""

import os

import numpy as np
import pytest
from PIL import Image

from gpunet.errors import ShapeError
from gpunet.viz import choose_stretches, forecasts
from gpunet.viz.forecasts import _draw

RNG = np.random.default_rng(0)


def windows(n: int, length: int, horizon: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    series = np.random.default_rng(seed).standard_normal(n + length + horizon - 1)
    both = np.lib.stride_tricks.sliding_window_view(series, length + horizon)
    return both[:, :length], both[:, length:]


def test_stretches_lie_side_by_side() -> None:
    past, truth = windows(150, 6, 5)
    (first, *_), all_of_it = (choose_stretches(past, truth, k, seed=3) for k in (1, 9))
    assert all_of_it == [list(range(start, start + 55, 5)) for start in (0, 55)]
    assert first in all_of_it
    assert choose_stretches(past[:1], truth[:1], 4, seed=1) == [[0]]


def test_stretches_end_where_another_series_begins() -> None:
    one, other = windows(7, 4, 2), windows(7, 4, 2, seed=1)
    past, truth = (np.concatenate(pair) for pair in zip(one, other, strict=True))
    assert choose_stretches(past, truth, 5, seed=0) == [[0, 2, 4, 6], [7, 9, 11, 13]]
    order = RNG.permutation(14)
    shuffled = choose_stretches(past[order], truth[order], 3, seed=0)
    assert all(len(stretch) == 1 for stretch in shuffled)


@pytest.mark.parametrize(("panels", "season"), [(1, 12), (3, 1)])
def test_lines_are_where_the_values_are(panels, season, assert_readable) -> None:
    past, truth = windows(40, 9, 4)
    mean, side = truth + 0.1, np.full(truth.shape, 0.5)
    arrays = {"past": past, "truth": truth, "mean": mean, "side": side, "naive": 0 * truth}
    stretches = [[start, start + 4] for start in range(panels)]
    figure = _draw(arrays, stretches, "RMSE 1", ("with a band", "the last again"), "day")
    assert_readable(figure)
    assert len(figure.axes) == panels
    for start, axes in enumerate(figure.axes):
        _, naive, forecast, naive2, forecast2, known = axes.lines
        x, y = known.get_data()
        np.testing.assert_array_equal(x, np.arange(-9, 8))
        np.testing.assert_array_equal(y, [*past[start], *truth[start], *truth[start + 4]])
        np.testing.assert_array_equal(forecast.get_xdata(), [-1, 0, 1, 2, 3])
        np.testing.assert_array_equal(forecast.get_ydata(), [past[start, -1], *mean[start]])
        np.testing.assert_array_equal(forecast2.get_xdata(), [3, 4, 5, 6, 7])
        np.testing.assert_array_equal(forecast2.get_ydata()[1:], mean[start + 4])
        assert not naive.get_ydata()[1:].any()
        assert naive2.get_xdata()[0] == 3
        band = axes.collections[0].get_paths()[0].vertices
        assert band[:, 1].max() == pytest.approx((mean[start] + 0.5).max())
        assert band[:, 1].min() == pytest.approx(min(past[start, -1], (mean[start] - 0.5).min()))


def test_the_file(tmp_path) -> None:
    past, truth = windows(30, 9, 4)
    path = forecasts(
        past, truth, truth, truth * 0 + 1, truth, tmp_path / "a.png", stretches=[[0, 4]], title="a"
    )
    with Image.open(path) as image:
        assert image.size[0] == 9.5 * 150
    assert os.listdir(tmp_path) == ["a.png"]


def test_refused(tmp_path) -> None:
    past, truth = windows(5, 9, 4)
    path = tmp_path / "a.png"

    def draw(*arrays: np.ndarray) -> None:
        forecasts(*arrays, path, stretches=[[0]], title="a")

    with pytest.raises(ShapeError, match=r"past and truth must have shapes \(N, L\) and \(N, H\)"):
        draw(past[:4], truth, truth, truth, truth)
    for i, name in enumerate(("mean", "side", "naive")):
        arrays = [truth] * 3
        arrays[i] = truth[:, :3]
        with pytest.raises(ShapeError, match=rf"{name} must have shape \(N, H\) = \(5, 4\)"):
            draw(past, truth, *arrays)
    assert os.listdir(tmp_path) == []
