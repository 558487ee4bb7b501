"""Each optimizer walks the path that its paper describes."""

import numpy as np
import pytest

import gpunet
from gpunet import optim
from tests.optim.rules import OPTIONS, RULES
from tests.tolerance import EPS, bound

STEPS = 8
SHAPES = [(), (5,), (3, 4), (0, 3), (130, 127)]
every_rule = pytest.mark.parametrize(
    ("rule", "options"), OPTIONS, ids=[f"{rule} {options}" for rule, options in OPTIONS]
)


def drawn(shape, count) -> list[np.ndarray]:
    """Rounded to float32, so that both dtypes start from the same numbers."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype("float32").astype("float64") for _ in range(count)]


def walked(rule, options, starts, gradients, rates, dtype) -> list[list[np.ndarray]]:
    """The parameters after each step."""
    parameters = [gpunet.tensor(p, dtype=dtype, requires_grad=True) for p in starts]
    optimizer = getattr(optim, rule)(parameters, lr=rates[0], **options)
    path = []
    for step, lr in enumerate(rates):
        optimizer.param_groups[0]["lr"] = lr
        for parameter, its in zip(parameters, gradients, strict=True):
            parameter.grad = gpunet.tensor(its[step], dtype=dtype)
        optimizer.step()
        path.append([parameter.array.copy() for parameter in parameters])
    return path


@every_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_path(rule, options, dtype) -> None:
    """No further off than the rule itself in that precision, by the measure of tests/tolerance."""
    starts = [drawn(shape, 1)[0] for shape in SHAPES]
    gradients = [drawn(shape, STEPS + 1)[1:] for shape in SHAPES]
    rates = [0.1, 0.1, 0.05, 0.2, 0.2, 0.0, 0.1, 0.01]
    path = walked(rule, options, starts, gradients, rates, dtype)
    exact = [
        paths(rule, options, start, its, rates)
        for start, its in zip(starts, gradients, strict=True)
    ]
    rounded = [
        paths(rule, options, start.astype("float32"), np.float32(its), rates)
        for start, its in zip(starts, gradients, strict=True)
    ]
    for step in range(STEPS):
        off = [np.abs(r[step] - e[step]) for r, e in zip(rounded, exact, strict=True)]
        amplified = max(o.max(initial=0) for o in off) / EPS["float32"]
        for got, expected in zip(path[step], exact, strict=True):
            position = expected[step]
            assert (got.shape, got.dtype) == (position.shape, dtype)
            allowed = bound(amplified, 1 + np.abs(position).max(initial=0), dtype)
            assert np.abs(got - position).max(initial=0) <= allowed, f"step {step + 1}"


def paths(rule, options, start, gradients, rates) -> list[np.ndarray]:
    return RULES[rule](start, list(gradients), rates, **options)


@every_rule
def test_long_path(rule, options) -> None:
    """200 steps in float64, with learning rates that rise and fall."""
    start, *gradients = drawn((40,), 201)
    rates = [0.01 * (1.5 + np.sin(step / 10)) for step in range(200)]
    path = walked(rule, options, [start], [gradients], rates, "float64")
    for got, expected in zip(path, paths(rule, options, start, gradients, rates), strict=True):
        np.testing.assert_allclose(got[0], expected, rtol=1e-10, atol=1e-11)


@every_rule
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(rule, options, dtype) -> None:
    """Computed in float32; only what is stored is rounded: after one step, the position."""
    kind = gpunet.zeros(0, dtype=dtype).dtype
    start, gradient = (x.astype(kind) for x in drawn((40, 3), 2))
    (half,), (single,) = (
        walked(rule, options, [start], [[gradient]], [0.1], each)[0] for each in (dtype, "float32")
    )
    assert half.dtype == kind
    np.testing.assert_array_equal(half, single.astype(kind))


@every_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cut_into_pieces(rule, options, dtype, monkeypatch) -> None:
    """Wherever the cuts fall, the same bits: the elements do not know each other."""
    shapes = [(3, 5), (1000,), (0,), (7,), (33, 101)]
    starts = [drawn(shape, 1)[0] for shape in shapes]
    gradients = [drawn(shape, 4)[1:] for shape in shapes]
    whole = walked(rule, options, starts, gradients, [0.1] * 3, dtype)
    monkeypatch.setattr("gpunet.backend.cpu.rule.SHARED_BYTES", 0)
    for pieces in (1, 7):
        monkeypatch.setattr("gpunet.backend.cpu.rule.PIECES", pieces)
        cut = walked(rule, options, starts, gradients, [0.1] * 3, dtype)
        for expected, got in zip(whole, cut, strict=True):
            for p, q in zip(expected, got, strict=True):
                np.testing.assert_array_equal(p, q)


@every_rule
def test_rows_alone(rule, options) -> None:
    """The same bits in a vector as at the end of an array, where elements come one by one."""
    start, *gradients = drawn((3, 71), 4)
    whole = walked(rule, options, [start], [gradients], [0.1] * 3, "float32")
    rows = [
        walked(rule, options, [row], [list(its)], [0.1] * 3, "float32")
        for row, *its in zip(start, *gradients, strict=True)
    ]
    for step, (array,) in enumerate(whole):
        for row, alone in zip(array, rows, strict=True):
            np.testing.assert_array_equal(row, alone[step][0])


@every_rule
def test_it_finds_the_bottom(rule, options) -> None:
    """Of (p − 3)², or climbing, the top of −(p − 3)². Some rules are known for small steps."""
    p = gpunet.tensor([0.0], dtype="float64", requires_grad=True)
    options = {**options, "weight_decay": 0.0}
    lr = {"Adagrad": 1.0, "Adadelta": 0.5}.get(rule, 0.02)
    optimizer = getattr(optim, rule)([p], lr=lr, **options)
    sign = -1.0 if options.get("maximize") else 1.0
    for _ in range(1500):
        optimizer.zero_grad()
        ((p - 3.0) * (p - 3.0) * sign).sum().backward()
        optimizer.step()
    assert abs(p.item() - 3) < 0.05


def test_the_size_of_adams_first_step_is_the_learning_rate() -> None:
    """Whatever the gradient: m̂ / √v̂ is its sign (Kingma & Ba, section 2.1)."""
    p = gpunet.tensor(np.zeros(4), requires_grad=True)
    p.grad = gpunet.tensor(np.array([1e-4, -1.0, 1e3, -1e6]))
    optim.Adam([p], lr=0.5, eps=0.0).step()
    np.testing.assert_allclose(p.detach().numpy(), [-0.5, 0.5, -0.5, 0.5], rtol=8 * EPS["float64"])


def test_a_bad_gradient_is_not_hidden() -> None:
    for rule in map(optim.__dict__.get, RULES):
        p = gpunet.tensor([1.0, 1.0], requires_grad=True)
        p.grad = gpunet.tensor([float("nan"), 1.0])
        rule([p], lr=0.1).step()
        assert np.isnan(p.array).tolist() == [True, False]


def test_momentum_in_two_textbook_forms() -> None:
    """As the text of SGD says: an average of gradients, and a sum of steps."""
    beta, alpha = 0.9, 0.1
    start, *gradients = drawn((5,), 9)
    rates = [alpha] * len(gradients)
    average = walked(
        "SGD", {"momentum": beta, "dampening": beta}, [start], [gradients], rates, "float64"
    )
    summed = walked("SGD", {"momentum": beta}, [start], [gradients], rates, "float64")
    p = q = start
    v, w = gradients[0], 0 * start
    for step, g in enumerate(gradients):
        v = beta * v + (1 - beta) * g  # in the first step this is g
        p = p - alpha * v
        w = beta * w + alpha * g
        q = q - w
        np.testing.assert_allclose(average[step][0], p, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(summed[step][0], q, rtol=1e-13, atol=1e-14)
