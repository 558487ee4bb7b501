"""Training: the rows F1 to F6 of docs/lectures.md."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gpunet
from gpunet import data, nn, optim
from gpunet.optim import lr_scheduler
from gpunet.recipes import optimizers, overfitting, schedules
from gpunet.train import regularization
from gpunet.train.config import RegularizationConfig
from tests.lectures.test_E import figure

RNG = np.random.default_rng(5)


# --- F1: full batch, single objects, mini-batches, and gradients added up


def test_F1_added_up_gradients_are_those_of_the_whole_set(demo, performance) -> None:
    results = demo("descent")
    whole, blocks = results["gradients"]
    np.testing.assert_allclose(blocks, whole, rtol=0, atol=1e-14 * np.abs(whole).max() * 10)
    losses = results["losses"]
    np.testing.assert_allclose(losses["accumulated"], losses["full"], rtol=1e-4)
    assert losses["single"][-1] < losses["mini"][-1] < losses["full"][-1]
    figure(performance, "descent", "descent.png")


# --- F2: epochs, shuffling, the parts of the data, overfitting


def test_F2_overfitting_is_visible(demo, performance) -> None:
    results = demo("overfitting")
    history, point = results["history"], results["point"]
    assert 1 < point < len(history)
    at, end = history[point - 1], history[-1]
    assert end["validation_loss"] > 1.1 * at["validation_loss"]
    assert end["train_loss"] < at["train_loss"]
    assert results["sizes"] == [300, 1000, 1797]
    figure(performance, "overfitting", "overfitting.png")


def test_F2_the_parts_have_no_picture_in_common_and_are_shuffled() -> None:
    sets = overfitting.parts()
    known = {picture.tobytes() for picture in sets["validation"].inputs}
    assert not known & {picture.tobytes() for picture in sets["train"].inputs}
    numbered = data.Dataset("n", np.zeros((50, 1), np.float32), np.arange(50), tuple("x" * 50))
    loader = data.DataLoader(numbered, batch_size=8, shuffle=True)
    first, second = (np.concatenate([targets for _, targets in loader]) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50))  # an epoch is all of it, once
    assert list(first) != list(second)


# --- F3: the optimizers


def gradient(w):
    return np.array([w[0] / 10, 2 * w[1]])


def paths_by_formula() -> dict[str, np.ndarray]:
    """The rules as the lectures write them."""

    def walk(step):
        w, state, places = np.array(optimizers.START), {}, [np.array(optimizers.START)]
        for t in range(1, optimizers.STEPS + 1):
            w = w - step(gradient(w), state, t)
            places.append(w)
        return np.array(places)

    def average(g, s, t):
        s["v"] = 0.9 * s["v"] + 0.1 * g if t > 1 else g
        return 0.2 * s["v"]

    def summed(g, s, t):
        s["v"] = 0.9 * s.get("v", 0) + 0.1 * g
        return s["v"]

    def adagrad(g, s, t):
        s["G"] = s.get("G", 0) + g**2
        return 1.5 * g / (np.sqrt(s["G"]) + 1e-10)

    def rmsprop(g, s, t):
        s["E"] = 0.9 * s.get("E", 0) + 0.1 * g**2
        return 0.3 * g / (np.sqrt(s["E"]) + 1e-8)

    def adam(g, s, t):
        s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
        s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
        m, v = s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.999**t)
        return 0.3 * m / (np.sqrt(v) + 1e-8)

    return {
        "SGD": walk(lambda g, s, t: 0.95 * g),
        "Momentum, average": walk(average),
        "Momentum, sum": walk(summed),
        "AdaGrad": walk(adagrad),
        "RMSProp (0.9)": walk(rmsprop),
        "Adam (0.9, 0.999)": walk(adam),
    }


def test_F3_trajectories_equal_the_formulas(demo, performance) -> None:
    paths = demo("optimizers")["paths"]
    expected = paths_by_formula()
    for name, path in expected.items():
        np.testing.assert_allclose(paths[name], path, rtol=1e-10, atol=1e-12, err_msg=name)
    assert paths.keys() - expected.keys() == {"L-BFGS"}
    np.testing.assert_allclose(paths["L-BFGS"][10], [0, 0], atol=1e-4)  # there after ten steps
    figure(performance, "optimizers", "paths.png")


def test_F3_trajectories_equal_pytorchs(demo) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    make = {
        "SGD": lambda p: torch.optim.SGD(p, lr=0.95),
        "Momentum, average": lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9, dampening=0.9),
        "Momentum, sum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "AdaGrad": lambda p: torch.optim.Adagrad(p, lr=1.5),
        "RMSProp (0.9)": lambda p: torch.optim.RMSprop(p, lr=0.3, alpha=0.9),
        "Adam (0.9, 0.999)": lambda p: torch.optim.Adam(p, lr=0.3),
    }
    for name, optimizer_of in make.items():
        w = torch.tensor(optimizers.START, dtype=torch.float64, requires_grad=True)
        optimizer = optimizer_of([w])
        for place in demo("optimizers")["paths"][name]:
            np.testing.assert_allclose(place, w.detach().numpy(), rtol=1e-10, atol=1e-12)
            optimizer.zero_grad()
            optimizers.ravine(w[0], w[1]).backward()
            optimizer.step()


# --- F4: learning rates


def test_F4_rates_and_the_explosion_explained(demo, performance) -> None:
    results = demo("learning_rates")
    last = {name: np.mean(losses[-20:]) for name, losses in results["losses"].items()}
    assert last["right"] < 0.3
    assert last["too small"] > 3 * last["right"]
    assert last["too large"] > 3 * last["right"]
    assert results["losses"]["too small"][-1] < results["losses"]["too small"][0]
    assert results["accuracy"]["far too large"] is None  # it was stopped
    error = results["error"]
    assert error.startswith("train: ")
    assert "must be finite" in error
    assert "at epoch 1, batch" in error  # when
    assert "Linear of 1" in error or "Linear of 3" in error  # where
    assert "a smaller learning rate often helps" in error  # and what to do
    figure(performance, "learning_rates", "learning_rates.png")


# --- F5: regularisation


WAYS = ("L1", "L2", "dropout", "BatchNorm", "early stopping", "norm", "value")


@pytest.mark.parametrize("way", WAYS)
def test_F5_the_gap_is_narrower(demo, way) -> None:
    gaps = demo("overfitting")["gaps"]
    assert gaps["none"] > 0.3
    assert gaps[way] < 0.8 * gaps["none"]


def parameter(values) -> nn.Parameter:
    return nn.Parameter(gpunet.tensor(values, dtype="float64"))


def test_F5_l2_adds_lambda_w() -> None:
    w, g = RNG.normal(size=(2, 3, 4))
    p = parameter(w)
    p.grad = gpunet.tensor(g)
    optim.SGD([p], lr=0.5, weight_decay=0.3).step()
    np.testing.assert_allclose(p.detach().numpy(), w - 0.5 * (g + 0.3 * w), rtol=1e-12)
    q = parameter(w)  # the same from the penalty λ/2·‖W‖² in the loss
    (0.15 * (q * q).sum()).backward()
    np.testing.assert_allclose(q.grad.numpy(), 0.3 * w, rtol=1e-12)


def changed(g, **config) -> list[np.ndarray]:
    """Gradients of two weights after what the trainer does to them."""
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 4, bias=False)).double()
    for p, each in zip(model.parameters(), g, strict=True):
        p.grad = gpunet.tensor(each)
    regularization.change_gradients(model, RegularizationConfig(**config), 1)
    weights = [p.detach().numpy() for p in model.parameters()]
    return [*(p.grad.numpy() for p in model.parameters()), *weights]


def test_F5_l1_and_clipping_by_their_formulas() -> None:
    g = [RNG.normal(size=(3, 4)), RNG.normal(size=(4, 3))]
    norm = math.sqrt(sum((each**2).sum() for each in g))
    *after, w, _ = changed(g, l1=0.2)
    np.testing.assert_allclose(after[0], g[0] + 0.2 * np.sign(w), rtol=1e-12)
    after = changed(g, clip_norm=0.5)[:2]
    np.testing.assert_allclose(after[1], g[1] * 0.5 / norm, rtol=1e-5)
    after = changed(g, clip_norm=100.0)[:2]
    np.testing.assert_array_equal(after[0], g[0])
    after = changed(g, clip_value=0.4)[:2]
    np.testing.assert_array_equal(after[0], np.clip(g[0], -0.4, 0.4))


def test_F5_dropout_is_inverted_and_the_identity_at_test_time() -> None:
    layer, x = nn.Dropout(0.3), gpunet.ones(400, 500)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())


def test_F5_batch_normalisation_has_two_ways() -> None:
    layer = nn.BatchNorm1d(3, momentum=0.1).double()
    x = RNG.normal(size=(50, 3)) * [1, 5, 0.2] + [0, 3, -1]
    mean, variance = x.mean(0), x.var(0)
    y = layer(gpunet.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * mean, rtol=1e-9)
    running = 0.9 + 0.1 * x.var(0, ddof=1)
    np.testing.assert_allclose(layer.running_var.numpy(), running, rtol=1e-9)
    y = layer.eval()(gpunet.tensor(x)).detach().numpy()
    expected = (x - 0.1 * mean) / np.sqrt(running + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)


def test_F5_early_stopping_ends_with_the_best_weights(monkeypatch) -> None:
    """It waits for its patience, and gives back the weights of the best epoch."""
    sets = overfitting.parts()
    measured = iter([0.9, 0.5, 0.7, 0.6, 0.8, 0.4])
    real, weights = overfitting.measure, []

    def measure(model, digits):
        if digits is sets["validation"]:
            weights.append(next(model.parameters()).detach().numpy().copy())
            return next(measured), 0.0
        return real(model, digits) if digits is sets["test"] else (0.0, 0.0)

    monkeypatch.setattr(overfitting, "measure", measure)
    history, _ = overfitting.train(sets, patience=3)
    assert [row["validation_loss"] for row in history] == [0.9, 0.5, 0.7, 0.6, 0.8]
    np.testing.assert_array_equal(weights[-1], weights[1])  # asked once more, at the end


# --- F6: schedules


def rates_by_formula() -> dict[str, np.ndarray]:
    s, n, rate = np.arange(schedules.STEPS), schedules.STEPS, schedules.RATE
    restarts = np.select([s < 29, s < 87], [s / 29, (s - 29) / 58], (s - 87) / 116)
    low, high, up = rate / 25, rate, 0.3 * n - 1
    end = low / 1e4
    rise = (1 - np.cos(np.pi * s / up)) / 2
    fall = (1 + np.cos(np.pi * (s - up) / (n - 1 - up))) / 2
    warm = rate * (0.02 + 0.98 * s / 20)
    return {
        "StepLR": rate * 0.5 ** (s // 50),
        "MultiStepLR": rate * 0.1 ** ((s >= 120).astype(int) + (s >= 170)),
        "ExponentialLR": rate * 0.98**s,
        "LinearLR": rate * (1 - s / n),
        "PolynomialLR": rate * (1 - s / n) ** 2,
        "LambdaLR": rate / (1 + s / 20),
        "Cosine": rate * (1 + np.cos(np.pi * s / n)) / 2,
        "WarmRestarts": rate * (1 + np.cos(np.pi * restarts)) / 2,
        "OneCycleLR": np.where(s <= up, low + (high - low) * rise, end + (high - end) * fall),
        "Warm-up, cosine": np.where(
            s < 20, warm, rate * (1 + np.cos(np.pi * (s - 20) / (n - 20))) / 2
        ),
    }


def test_F6_schedules_equal_their_formulas(demo, performance) -> None:
    results = demo("schedules")
    expected = rates_by_formula()
    for name, rates in expected.items():
        np.testing.assert_allclose(
            results["rates"][name], rates, rtol=1e-9, atol=1e-12, err_msg=name
        )
    assert results["rates"].keys() - expected.keys() == {"OnPlateau"}
    assert max(results["losses"].values()) < min(results["constant"].values())
    figure(performance, "schedules", "schedules.png")


def test_F6_a_plateau_is_waited_for() -> None:
    p = parameter([1.0])
    optimizer = optim.SGD([p], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
    rates = []
    for loss in (5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0):
        schedule.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [1, 1, 1, 1, 0.1, 0.1, 0.1])
