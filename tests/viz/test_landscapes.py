"""Functions with derivatives, loss surfaces, spreads by layer, projections: each shows its data."""

import sys

import numpy as np
import pytest
from PIL import Image

from gpunet import functional as F
from gpunet.errors import ArgumentError, DTypeError, MissingPackageError, ShapeError
from gpunet.viz import activation_spread, function_curves, loss_surface, pca, projection, tsne
from gpunet.viz import functions as functions_module
from gpunet.viz.functions import curve
from gpunet.viz.projection import _draw as draw_projection
from gpunet.viz.spread import _draw as draw_spread
from gpunet.viz.surface import _draw as draw_surface

RNG = np.random.default_rng(3)
DIGITS = [str(i) for i in range(10)]


def assert_picture(path) -> None:
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20


# --- functions


def test_curves_are_the_function_and_its_slope() -> None:
    x, values, slopes = curve("tanh", F.tanh, 2.0)
    assert (x[0], x[-1]) == (-2, 2)
    np.testing.assert_allclose(values, np.tanh(x), rtol=1e-12)
    np.testing.assert_allclose(slopes, 1 - np.tanh(x) ** 2, rtol=1e-12)


def test_a_panel_a_function(assert_readable, tmp_path) -> None:
    names = ("relu", "sigmoid", "tanh", "elu", "gelu")
    curves = {name: curve(name, getattr(F, name), 4.0) for name in names}
    figure = functions_module._draw(curves, "Activation functions", ("function", "derivative"))
    assert_readable(figure)
    assert [axes.get_title("left") for axes in figure.axes] == list(names)
    for axes, (_, values, slopes) in zip(figure.axes, curves.values(), strict=True):
        drawn = [line.get_ydata() for line in axes.lines]
        np.testing.assert_array_equal(drawn, [slopes, values])
    assert_picture(function_curves({"relu": F.relu}, tmp_path / "f.png"))


def test_functions_refused(tmp_path) -> None:
    with pytest.raises(ArgumentError, match="function_curves: functions must be some"):
        function_curves({}, tmp_path / "f.png")
    with pytest.raises(ShapeError, match=r"mean must keep the shape \(801,\), got \(\)"):
        function_curves({"mean": lambda x: x.mean()}, tmp_path / "f.png")


# --- a loss of two parameters


def bowl(x, y):
    return (x - 1) ** 2 + 10 * y**2


def test_paths_and_the_lowest_point(assert_readable, tmp_path) -> None:
    way = np.array([[-3.0, 1.0], [0.0, -0.5], [1.0, 0.0]])
    at = np.linspace(-4, 4, 161), np.linspace(-2, 2, 81)
    figure = draw_surface(*at, bowl(*np.meshgrid(*at)), {"SGD": way, "Adam": way[:2]}, "Paths")
    assert_readable(figure)
    path, start, end, lowest = figure.axes[0].lines
    np.testing.assert_array_equal(path.get_xydata(), way)
    np.testing.assert_array_equal(start.get_xydata(), way[:1])
    np.testing.assert_array_equal(end.get_xydata(), way[-1:])
    np.testing.assert_allclose(lowest.get_xydata(), [[1, 0]], atol=1e-12)
    assert [axes.get_title("left") for axes in figure.axes] == ["SGD", "Adam"]
    assert_picture(loss_surface(bowl, {"SGD": way}, tmp_path / "s.png", span=(-4, 4, -2, 2)))


@pytest.mark.parametrize(
    ("loss", "paths", "span", "error", "message"),
    [
        (bowl, {}, (0, 1, 0, 1), ArgumentError, "paths must be some"),
        (bowl, {"a": [[0, 0]]}, (1, 0, 0, 1), ArgumentError, "span an area"),
        (bowl, {"a": [0, 0]}, (0, 1, 0, 1), ShapeError, r"a must be \(T, 2\), got \(2,\)"),
        (lambda x, y: x / 0 * y, {"a": [[0, 0]]}, (0, 1, 0, 1), ArgumentError, "must be finite"),
    ],
)
def test_surface_refused(loss, paths, span, error, message, tmp_path) -> None:
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        loss_surface(loss, paths, tmp_path / "s.png", span=span)


# --- the spread of activations


def test_bands_are_percentiles(assert_readable, tmp_path) -> None:
    outputs = {"Xavier": [np.arange(101.0), np.arange(101.0) * 2], "tiny": [np.ones((3, 2))] * 2}
    figure = draw_spread(outputs, "Spread", "Layer", "bands: 1–99 %")
    assert_readable(figure)
    axes = figure.axes[0]
    bounds = [
        sorted({float(y) for x, y in band.get_paths()[0].vertices if x == 2})
        for band in axes.collections
    ]
    assert bounds == [[2, 198], [20, 180], [50, 150]]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [50, 100])
    assert_picture(activation_spread(outputs, tmp_path / "a.png"))


@pytest.mark.parametrize("outputs", [{}, {"a": []}, {"a": [np.array([np.inf])]}, {"a": [[]]}])
def test_spread_refused(outputs, tmp_path) -> None:
    with pytest.raises(ArgumentError, match="activation_spread: outputs must"):
        activation_spread(outputs, tmp_path / "a.png")


# --- projections


def test_pca_is_the_eigenvectors_of_the_covariance() -> None:
    x = RNG.normal(size=(60, 5)) * [5, 1, 3, 0.2, 0.1] + 7
    flat = pca(x, 3)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    np.testing.assert_allclose(flat.var(axis=0, ddof=1), values[::-1][:3], rtol=1e-10)
    expected = (x - x.mean(0)) @ vectors[:, ::-1][:, :3]
    np.testing.assert_allclose(abs(flat), abs(expected), atol=1e-10)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(pca(x, 3), flat)


@pytest.mark.parametrize(
    ("shape", "dimensions"), [((4,), 2), ((4, 1), 2), ((1, 4), 2), ((4, 4), 0)]
)
def test_pca_refused(shape, dimensions) -> None:
    with pytest.raises(ShapeError, match=r"pca: x must be \(N, D\)"):
        pca(np.zeros(shape), dimensions)


def test_points_by_class(assert_readable, tmp_path) -> None:
    labels = RNG.integers(0, 10, 200)
    corners = 9.0 * np.stack([np.arange(10) % 4, np.arange(10) // 4], 1)
    flat = corners[labels] + RNG.normal(size=(200, 2))
    panels = {"Pixels": RNG.normal(size=(200, 6)), "Hidden": flat}
    figure = draw_projection(panels, labels, DIGITS, "Two principal components")
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == DIGITS
    for k, points in enumerate(figure.axes[1].collections):
        np.testing.assert_array_equal(points.get_offsets(), flat[labels == k])
    assert_readable(draw_projection({"Hidden": flat}, labels, DIGITS, "Two principal components"))
    assert_picture(projection(panels, labels, DIGITS, tmp_path / "p.png"))


@pytest.mark.parametrize(
    ("points", "labels", "error", "message"),
    [
        ({}, [0], ArgumentError, "points must be some"),
        ({"a": np.zeros((2, 3))}, [0, 10], ArgumentError, r"labels must be in 0\.\.9"),
        ({"a": np.zeros((2, 3))}, [0.0, 1.0], DTypeError, "labels must be integers"),
        ({"a": np.zeros((3, 3))}, [0, 1], ShapeError, r"a must be \(N, D\) for 2 labels"),
    ],
)
def test_projection_refused(points, labels, error, message, tmp_path) -> None:
    with pytest.raises(error, match=message):
        projection(points, labels, DIGITS, tmp_path / "p.png")


def test_neighbours_stay_neighbours() -> None:
    """Three groups in ten dimensions: whoever is nearest to a point is of its group."""
    pytest.importorskip("sklearn", reason="scikit-learn is missing, and t-SNE was NOT tried")
    labels = np.repeat([0, 1, 2], 20)
    x = np.random.default_rng(0).normal(size=(60, 10)) + 8 * np.eye(10)[labels]
    flat = tsne(x, perplexity=10)
    assert flat.shape == (60, 2)
    distances = np.linalg.norm(flat[:, None] - flat, axis=2) + np.diag([np.inf] * 60)
    np.testing.assert_array_equal(labels[distances.argmin(1)], labels)
    np.testing.assert_array_equal(tsne(x, perplexity=10), flat)


def test_t_sne_says_what_it_needs(monkeypatch) -> None:
    with pytest.raises(ShapeError, match=r"x must be \(N, D\), both at least 2, got \(5,\)"):
        tsne(np.ones(5))
    with pytest.raises(
        ArgumentError, match=r"perplexity must be in 0\.\.5, without its ends, got 5"
    ):
        tsne(np.ones((5, 3)), perplexity=5)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'gpunet\[sklearn\]'"):
        tsne(np.ones((5, 3)), perplexity=2)
