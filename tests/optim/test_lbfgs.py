"""L-BFGS reaches the minimum, by its line search and without, and goes on where it stopped."""

import json

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn, optim
from gpunet.errors import ArgumentError, ShapeError
from gpunet.optim.line_search import C1, C2, Point, strong_wolfe

SEARCHES = pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])


def parameter(*values: float) -> gpunet.Tensor:
    return gpunet.tensor(np.array(values), requires_grad=True)


def minimize(optimizer, loss, steps: int) -> list[float]:
    """The losses that the steps report."""

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return [optimizer.step(closure).item() for _ in range(steps)]


def bowl(p, q):
    """A quadratic form over two parameters, of condition 1000, lowest at 1, 2, 3 and 4."""
    a, b = p - gpunet.tensor([1.0, 2.0], dtype=p.dtype), q - gpunet.tensor([[3.0], [4.0]], q.dtype)
    return (a * a).sum() * 500.0 + (b * b).sum() * 0.5 + (a.sum() * b.sum()) * 0.1


@SEARCHES
@pytest.mark.parametrize(("dtype", "off"), [("float64", 1e-6), ("float32", 1e-3)])
def test_quadratic(line_search_fn, dtype, off) -> None:
    p = gpunet.tensor([0.0, 0.0], dtype=dtype, requires_grad=True)
    q = gpunet.tensor([[0.0], [0.0]], dtype=dtype, requires_grad=True)
    optimizer = optim.LBFGS([p, q], line_search_fn=line_search_fn, tolerance_change=0.0)
    minimize(optimizer, lambda: bowl(p, q), 3)
    np.testing.assert_allclose(p.array, [1, 2], atol=off)
    np.testing.assert_allclose(q.array, [[3], [4]], atol=off)


def test_rosenbrock() -> None:
    """From the classic start, through the curved valley to (1, 1)."""
    p = parameter(-1.2, 1.0)
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe", max_iter=100, tolerance_change=0.0)
    x, y = gpunet.tensor([1.0, 0.0]), gpunet.tensor([0.0, 1.0])
    x, y = (gpunet.tensor(unit.array.astype("float64")) for unit in (x, y))

    def valley():
        a, b = (p * x).sum(), (p * y).sum()
        return (1.0 - a) * (1.0 - a) + (b - a * a) * (b - a * a) * 100.0

    minimize(optimizer, valley, 1)
    np.testing.assert_allclose(p.array, [1, 1], atol=1e-6)
    assert optimizer.state[p]["func_evals"] < 100


def regression() -> tuple[nn.Linear, gpunet.Tensor, gpunet.Tensor]:
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((60, 5)), rng.integers(0, 3, 60)
    return nn.Linear(5, 3, dtype="float64"), gpunet.tensor(x), gpunet.tensor(t)


def penalized(model, x, t):
    """A convex loss: its minimum is one point."""
    weights = sum((w * w).sum() for w in model.parameters())
    return F.cross_entropy(model(x), t) + weights * 0.01


@SEARCHES
def test_the_same_minimum_as_pytorch(line_search_fn) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    model, x, t = regression()
    theirs = torch.nn.Linear(5, 3).double()
    theirs.load_state_dict({k: torch.tensor(v.copy()) for k, v in model.state_dict().items()})
    options = {"line_search_fn": line_search_fn, "tolerance_change": 1e-12, "tolerance_grad": 1e-10}
    minimize(optim.LBFGS(model.parameters(), **options), lambda: penalized(model, x, t), 10)
    rule = torch.optim.LBFGS(theirs.parameters(), **options)

    def closure():
        rule.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            theirs(torch.tensor(x.array)), torch.tensor(t.array)
        )
        loss = loss + 0.01 * sum((w * w).sum() for w in theirs.parameters())
        loss.backward()
        return loss

    for _ in range(10):
        rule.step(closure)
    for name, weights in model.state_dict().items():
        np.testing.assert_allclose(weights, theirs.state_dict()[name].numpy(), atol=1e-7)


@SEARCHES
def test_gradient_vanishes_at_the_minimum(line_search_fn) -> None:
    model, x, t = regression()
    optimizer = optim.LBFGS(model.parameters(), line_search_fn=line_search_fn, history_size=5)
    losses = minimize(optimizer, lambda: penalized(model, x, t), 10)
    assert losses == sorted(losses, reverse=True)
    penalized(model, x, t).backward()
    for w in model.parameters():
        w.grad = None
    penalized(model, x, t).backward()
    assert max(np.abs(w.grad.array).max() for w in model.parameters()) < 1e-5


def test_a_parameter_without_gradient_stays() -> None:
    p, q = parameter(5.0), parameter(7.0)
    minimize(optim.LBFGS([p, q]), lambda: (p * p).sum(), 2)
    assert q.item() == 7.0
    assert abs(p.item()) < 1e-6


def test_it_stops_at_a_minimum() -> None:
    """One evaluation shows that there is nothing to do."""
    p = parameter(0.0)
    optimizer = optim.LBFGS([p])
    assert minimize(optimizer, lambda: (p * p).sum(), 1) == [0.0]
    assert (optimizer.state[p]["func_evals"], p.item()) == (1, 0.0)


def test_evaluations_are_limited() -> None:
    p, q = parameter(0.0, 0.0), gpunet.tensor(np.zeros((2, 1)), requires_grad=True)
    for limit in (1, 2, 5):
        optimizer = optim.LBFGS([p, q], max_iter=50, max_eval=limit, line_search_fn="strong_wolfe")
        minimize(optimizer, lambda: bowl(p, q), 1)
        assert optimizer.state[p]["func_evals"] <= max(limit, 2)  # an iteration needs one


@SEARCHES
def test_state_goes_on_exactly(line_search_fn) -> None:
    def problem():
        p = parameter(0.0, 0.0)
        return p, gpunet.tensor(np.zeros((2, 1)), requires_grad=True)

    options = {"max_iter": 3, "max_eval": 9, "line_search_fn": line_search_fn, "history_size": 2}
    (p, q), (r, s) = problem(), problem()
    one, two = optim.LBFGS([p, q], **options), optim.LBFGS([r, s], lr=0.5)
    two.load_state_dict(one.state_dict())
    minimize(one, lambda: bowl(p, q), 2)
    saved = one.state_dict()
    groups = json.loads(json.dumps(saved["param_groups"]))
    for x, y in ((p, r), (q, s)):
        y.array[...] = x.array
    two.load_state_dict({"state": saved["state"], "param_groups": groups})
    minimize(one, lambda: bowl(p, q), 2)
    minimize(two, lambda: bowl(r, s), 2)
    for x, y in ((p, r), (q, s)):
        assert x.array.tobytes() == y.array.tobytes()
    assert two.state[r]["n_iter"] == one.state[p]["n_iter"] > 6


# --- the line search alone

CURVES = {
    "a bowl": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    "far away": (lambda t: (t / 100 - 3) ** 2, lambda t: (t / 100 - 3) / 50),
    "steep behind": (lambda t: np.exp(3 * t) - 10 * t, lambda t: 3 * np.exp(3 * t) - 10),
    "waves": (lambda t: np.cos(t) + 0.01 * t * t - 0.1 * t, lambda t: 0.02 * t - np.sin(t) - 0.1),
    "a pole": (lambda t: -np.log(1 - t) - 3 * t, lambda t: np.divide(1, 1 - t) - 3),
}


@np.errstate(invalid="ignore", divide="ignore")  # the logarithm at the pole, and behind it
@pytest.mark.parametrize("first", [1e-3, 0.5, 1.0, 20.0])
@pytest.mark.parametrize("curve", CURVES)
def test_strong_wolfe(curve, first) -> None:
    f, slope = CURVES[curve]
    start = Point(0.0, float(f(0.0)), None, float(slope(0.0)))
    found = strong_wolfe(
        lambda t: Point(t, float(f(t)), None, float(slope(t))), start, first, 0, 50
    )
    assert found.f <= start.f + C1 * found.t * start.slope
    assert abs(found.slope) <= -C2 * start.slope


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: optim.LBFGS([p]).step(), "LBFGS: step must get a closure"),
        (lambda p: optim.LBFGS([p], lr=-1), "LBFGS: lr must be at least 0, got -1"),
        (lambda p: optim.LBFGS([p], max_iter=0), "LBFGS: max_iter must be at least 1, got 0"),
        (lambda p: optim.LBFGS([p], max_eval=0), "LBFGS: max_eval must be at least 1, got 0"),
        (lambda p: optim.LBFGS([p], history_size=0), "LBFGS: history_size must be at least 1"),
        (
            lambda p: optim.LBFGS([p], line_search_fn="armijo"),
            "LBFGS: line_search_fn must be 'strong_wolfe' or None, got 'armijo'",
        ),
        (
            lambda p: optim.LBFGS([{"params": [p]}, {"params": [parameter(1.0)]}]),
            "LBFGS: params must form one group, got another",
        ),
        (
            lambda p: optim.LBFGS([p, gpunet.tensor([1.0], "float32", requires_grad=True)]),
            r"LBFGS: params must be of one dtype, got \['float32', 'float64'\]",
        ),
    ],
)
def test_refused(call, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(parameter(1.0, 2.0))


def test_state_of_another_problem() -> None:
    p, q = parameter(1.0), parameter(1.0, 2.0)
    one, two = optim.LBFGS([p]), optim.LBFGS([q])
    minimize(one, lambda: (p * p).sum(), 1)
    with pytest.raises(ShapeError, match=r"must have 2 columns, got shape"):
        two.load_state_dict(one.state_dict())
    saved = {"state": {0: {"exp_avg": p.array}}, "param_groups": two.state_dict()["param_groups"]}
    with pytest.raises(ArgumentError, match="state must be LBFGS's"):
        two.load_state_dict(saved)
