"""Forecaster: its formulas by hand, where it begins, and its independence of units."""

import numpy as np
import pytest

import gpunet
from gpunet import models
from gpunet.errors import ArgumentError, ShapeError
from tests.tolerance import EPS

X = np.random.default_rng(0).standard_normal((3, 14, 1)).cumsum(1).astype(np.float32)


def said(net: models.Forecaster, x: np.ndarray) -> np.ndarray:
    with gpunet.no_grad():
        return net(gpunet.tensor(x)).numpy()


def drawn(**sizes) -> models.Forecaster:
    """Not at its beginning: the last layer draws, too."""
    gpunet.manual_seed(0)
    net = models.Forecaster(hidden=6, **sizes)
    gpunet.nn.init.normal_(net.answer.weight, std=0.5)
    gpunet.nn.init.normal_(net.answer.bias, std=0.5)
    return net


@pytest.mark.parametrize(("horizon", "season"), [(1, 1), (3, 1), (5, 3), (2, 4)])
def test_it_begins_with_the_naive_forecast(horizon, season) -> None:
    y = said(models.Forecaster(horizon, season), X)
    assert y.shape == (3, horizon, 2)
    expected = [[row[14 - season + h % season, 0] for h in range(horizon)] for row in X]
    np.testing.assert_array_equal(y[..., 0], expected)
    off = np.abs(X[:, season:, 0] - X[:, :-season, 0]).mean(1)
    deviation = off * (np.log(2) + 1e-3)
    np.testing.assert_allclose(np.sqrt(y[..., 1]), deviation[:, None].repeat(horizon, 1), rtol=1e-5)


@pytest.mark.parametrize("season", [1, 4])
def test_its_formulas(season) -> None:
    net = drawn(horizon=3, season=season)
    x = X.astype(np.float64)[:, :, 0]
    s = np.abs(x[:, season:] - x[:, :-season]).mean(1)[:, None]
    read = np.stack(
        [(x - x.mean(1, keepdims=True))[:, season:] / s, (x[:, season:] - x[:, :-season]) / s], 2
    )
    with gpunet.no_grad():
        _, state = net.gru(gpunet.tensor(read.astype(np.float32)))
    w = {name: value.astype(np.float64) for name, value in net.state_dict().items()}
    h = np.maximum(state.numpy()[0] @ w["dense.weight"].T + w["dense.bias"], 0)
    ab = (h @ w["answer.weight"].T + w["answer.bias"]).reshape(3, 3, 2)
    naive = np.stack([x[:, 14 - season + step % season] for step in range(3)], 1)
    got = said(net, X)
    tolerance = 2**6 * EPS["float32"] * np.abs(x).max()
    np.testing.assert_allclose(got[..., 0], naive + s * ab[..., 0], atol=tolerance)
    deviation = s * (np.log1p(np.exp(ab[..., 1])) + 1e-3)
    np.testing.assert_allclose(got[..., 1], deviation**2, rtol=2**6 * EPS["float32"])


def test_units_do_not_matter() -> None:
    net = drawn(horizon=4, season=2)
    here, there = said(net, X), said(net, 64 * X + 128)
    np.testing.assert_allclose(there[..., 0], 64 * here[..., 0] + 128, rtol=1e-4)
    np.testing.assert_allclose(there[..., 1], 64**2 * here[..., 1], rtol=1e-3)


def test_a_flat_series_has_a_finite_forecast_and_gradient() -> None:
    net = drawn(horizon=2)
    mean, variance = net(gpunet.tensor(np.full((1, 9, 1), 5.0, np.float32))).unbind(2)
    gpunet.nn.GaussianNLLLoss()(mean, gpunet.tensor([[5.0, 5.0]]), variance).backward()
    assert np.isfinite(variance.detach().numpy()).all()
    assert all(np.isfinite(p.grad.numpy()).all() for p in net.parameters())


def test_refused() -> None:
    with pytest.raises(ArgumentError, match=r"sizes must be at least 1, got \(0, 1, 32\)"):
        models.Forecaster(0)
    net = models.Forecaster(2, season=4)
    for shape in ((3, 14), (3, 14, 2), (3, 4, 1)):
        with pytest.raises(ShapeError, match=r"must have shape \(N, L, 1\) with L more than the"):
            net(gpunet.zeros(shape))
