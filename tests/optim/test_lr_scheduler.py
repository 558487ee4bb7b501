"""Each schedule against its formula, and against PyTorch's of the same name."""

import json
import math
import warnings

import numpy as np
import pytest

import gpunet
from gpunet import optim
from gpunet.errors import ArgumentError
from gpunet.optim import lr_scheduler

EPOCHS = 200
RATES = (0.1, 0.5)  # of the two groups


def make(rule="SGD", **options) -> optim.Optimizer:
    groups = [{"params": [gpunet.tensor([1.0], requires_grad=True)], "lr": lr} for lr in RATES]
    return getattr(optim, rule)(groups, **options)


def cosine(t, T, low=0.0):
    return lambda base: low + (base - low) * (1 + math.cos(math.pi * t / T)) / 2


def factor(f):
    return lambda base: base * f


def restarts(t, length, growth=1):
    while t >= length:
        t, length = t - length, length * growth
    return cosine(t, length)


def one_cycle(t, total, top, up=0.3):
    """Of rates that reach `top`: the cosine up from top / 25 and down to top / 25 / 10⁴."""
    peak = up * total - 1
    a, b, done = (top / 25, top, t / peak) if t <= peak else (
        top, top / 25 / 1e4, (t - peak) / (total - 1 - peak)
    )  # fmt: skip
    return lambda base: a + (b - a) * (1 - math.cos(math.pi * done)) / 2


# (class, arguments): the rate of an epoch by the first rate, written from the definition.
FORMULAS = [
    ("StepLR", {"step_size": 7}, lambda t: factor(0.1 ** (t // 7))),
    ("StepLR", {"step_size": 1, "gamma": 0.9}, lambda t: factor(0.9**t)),
    (
        "MultiStepLR",
        {"milestones": [30, 80, 80], "gamma": 0.5},
        lambda t: factor(0.5 ** sum(t >= m for m in (30, 80, 80))),
    ),
    ("ExponentialLR", {"gamma": 0.95}, lambda t: factor(0.95**t)),
    ("ConstantLR", {}, lambda t: factor(1 / 3 if t < 5 else 1)),
    ("ConstantLR", {"factor": 0.5, "total_iters": 50}, lambda t: factor(0.5 if t < 50 else 1)),
    ("LinearLR", {}, lambda t: factor(np.interp(t, [0, 5], [1 / 3, 1]))),
    (
        "LinearLR",
        {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 150},
        lambda t: factor(np.interp(t, [0, 150], [1, 0])),
    ),
    ("PolynomialLR", {}, lambda t: factor(max(0, 1 - t / 5))),
    (
        "PolynomialLR",
        {"total_iters": 150, "power": 2.5},
        lambda t: factor(max(0, 1 - t / 150) ** 2.5),
    ),
    ("CosineAnnealingLR", {"T_max": 200}, lambda t: cosine(t, 200)),
    ("CosineAnnealingLR", {"T_max": 9, "eta_min": 0.01}, lambda t: cosine(t, 9, 0.01)),
    ("CosineAnnealingWarmRestarts", {"T_0": 30}, lambda t: restarts(t, 30)),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 3}, lambda t: restarts(t, 5, 3)),
    ("OneCycleLR", {"max_lr": 2.0, "total_steps": 201}, lambda t: one_cycle(t, 201, 2.0)),
    ("LambdaLR", {"lr_lambda": lambda t: 1 / (1 + t)}, lambda t: factor(1 / (1 + t))),
    ("MultiplicativeLR", {"lr_lambda": lambda t: 0.97}, lambda t: factor(0.97**t)),
]  # fmt: skip
MORE = [  # compared with PyTorch only
    ("OneCycleLR", {"max_lr": [1.0, 3.0], "total_steps": 210, "three_phase": True}),
    ("OneCycleLR", {"max_lr": 2.0, "epochs": 20, "steps_per_epoch": 10, "pct_start": 0.5}),
    (
        "OneCycleLR",
        {"max_lr": 2.0, "total_steps": 250, "anneal_strategy": "linear", "base_momentum": 0.5,
         "max_momentum": 0.8, "div_factor": 10.0, "final_div_factor": 100.0},
    ),
    ("OneCycleLR", {"max_lr": 2.0, "total_steps": 250, "cycle_momentum": False}),
    ("LambdaLR", {"lr_lambda": [lambda t: 0.9**t, lambda t: 1 + t]}),
]  # fmt: skip
named = {f"{name} {i}": (name, arguments) for i, (name, arguments, _) in enumerate(FORMULAS)}
named.update({f"{name} {i}": (name, arguments) for i, (name, arguments) in enumerate(MORE, 100)})


def rates(schedule, groups, epochs=EPOCHS) -> list[list[float]]:
    """Rates and momenta from the first epoch on."""
    found = []
    for epoch in range(epochs + 1):
        if epoch:
            schedule.step()
        assert schedule.get_last_lr() == [group["lr"] for group in groups]
        momenta = [g["betas"][0] if "betas" in g else g["momentum"] for g in groups]
        found.append([group["lr"] for group in groups] + momenta)
    return found


@pytest.mark.parametrize(
    ("name", "arguments", "formula"),
    FORMULAS,
    ids=[f"{n} {i}" for i, (n, _, _) in enumerate(FORMULAS)],
)
def test_formula(name, arguments, formula) -> None:
    optimizer = make()
    schedule = getattr(lr_scheduler, name)(optimizer, **arguments)
    for t, found in enumerate(rates(schedule, optimizer.param_groups)):
        expected = [formula(t)(base) for base in RATES]
        np.testing.assert_allclose(
            found[:2], expected, rtol=1e-10, atol=1e-15, err_msg=f"epoch {t}"
        )


def warm_up(schedules, optimizer):
    first = schedules.LinearLR(optimizer, start_factor=0.01, total_iters=20)
    then = schedules.CosineAnnealingLR(optimizer, T_max=100, eta_min=1e-3)
    last = schedules.StepLR(optimizer, 10, gamma=0.5)
    return schedules.SequentialLR(optimizer, [first, then, last], milestones=[20, 150])


def restarted(schedules, optimizer):
    first = schedules.ExponentialLR(optimizer, 0.9)
    then = schedules.CosineAnnealingWarmRestarts(optimizer, 7, T_mult=2)
    last = schedules.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    return schedules.SequentialLR(optimizer, [first, then, last], milestones=[11, 90])


def chained(schedules, optimizer):
    first = schedules.ConstantLR(optimizer, factor=0.1, total_iters=10)
    then = schedules.ExponentialLR(optimizer, gamma=0.97)
    last = schedules.CosineAnnealingLR(optimizer, T_max=40)
    return schedules.ChainedScheduler([first, then, last])


def in_turn(schedules, optimizer):
    """Without a ChainedScheduler: two loops of a user, made into one object."""
    first = schedules.LinearLR(optimizer, total_iters=30)
    then = schedules.MultiStepLR(optimizer, [10, 50], gamma=0.3)

    class Both:
        def step(self):
            first.step()
            then.step()

        def get_last_lr(self):
            return [group["lr"] for group in optimizer.param_groups]

    return Both()


COMBINED = [warm_up, restarted, chained, in_turn]


def test_combined_by_formula() -> None:
    optimizer = make()
    for t, found in enumerate(rates(warm_up(lr_scheduler, optimizer), optimizer.param_groups)):
        at = (
            factor(np.interp(t, [0, 20], [0.01, 1]))
            if t < 20
            else cosine(t - 20, 100, 1e-3)
            if t < 150
            else factor(0.5 ** ((t - 150) // 10))
        )
        np.testing.assert_allclose(found[:2], [at(base) for base in RATES], rtol=1e-10)
    optimizer = make()
    for t, found in enumerate(rates(chained(lr_scheduler, optimizer), optimizer.param_groups, 35)):
        at = factor((0.1 if t < 10 else 1) * 0.97**t * cosine(t, 40)(1.0))
        np.testing.assert_allclose(found[:2], [at(base) for base in RATES], rtol=1e-10)


# --- PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


def theirs(torch, rule="SGD", **options):
    groups = [{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in RATES]
    return getattr(torch.optim, rule)(groups, **options)


def compare(torch, ours, our_groups, their, their_groups) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # there is no optimizer.step() here
        expected = rates(their, their_groups, EPOCHS)
    found = rates(ours, our_groups, EPOCHS)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(("name", "arguments"), named.values(), ids=named)
@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_trajectory(torch, rule, name, arguments) -> None:
    one, two = make(rule), theirs(torch, rule)
    ours = getattr(lr_scheduler, name)(one, **arguments)
    their = getattr(torch.optim.lr_scheduler, name)(two, **arguments)
    compare(torch, ours, one.param_groups, their, two.param_groups)


@pytest.mark.parametrize("build", COMBINED)
def test_combined_trajectory(torch, build) -> None:
    one, two = make(), theirs(torch)
    ours, their = build(lr_scheduler, one), build(torch.optim.lr_scheduler, two)
    compare(torch, ours, one.param_groups, their, two.param_groups)


PLATEAUS = [
    {},
    {"mode": "max", "patience": 2},
    {"factor": 0.5, "patience": 1, "cooldown": 3, "threshold": 0.05, "threshold_mode": "abs"},
    {"mode": "max", "patience": 0, "threshold": 0.1, "threshold_mode": "abs", "min_lr": 0.01},
    {"patience": 0, "min_lr": [0.05, 0.001], "eps": 1e-2, "factor": 0.9},
]


@pytest.mark.parametrize("arguments", PLATEAUS)
def test_plateau_trajectory(torch, arguments) -> None:
    one, two = make(), theirs(torch)
    ours = lr_scheduler.ReduceLROnPlateau(one, **arguments)
    their = torch.optim.lr_scheduler.ReduceLROnPlateau(two, **arguments)
    rng = np.random.default_rng(0)
    for metric in [*np.exp(-np.arange(100) / 30), *rng.standard_normal(99), math.nan]:
        ours.step(metric)
        their.step(metric)
        assert ours.get_last_lr() == their.get_last_lr()
    assert ours.get_last_lr() != list(RATES)


# --- plateaus


def test_plateau() -> None:
    optimizer = make()
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, cooldown=1)
    for metric, lr in (
        *((3.0, 0.1), (2.0, 0.1), (2.0, 0.1), (2.0, 0.1), (1.9999, 0.05)),  # three without gain
        *((2.0, 0.05), (2.0, 0.05), (2.0, 0.05), (2.0, 0.025)),  # the first is not judged
        *((1.0, 0.025), (math.nan, 0.025)),
    ):
        schedule.step(gpunet.tensor(metric))
        assert optimizer.param_groups[0]["lr"] == lr
    assert (schedule.best, schedule.num_bad_epochs) == (1.0, 1)


# --- steps between epochs, and the end


def test_restarts_between_epochs() -> None:
    optimizer = make()
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    for epoch in np.arange(0, 13, 0.25).tolist():
        schedule.step(epoch)
        expected = restarts(epoch, 2, 2)
        found = [group["lr"] for group in optimizer.param_groups]
        np.testing.assert_allclose(found, [expected(base) for base in RATES], rtol=1e-12)
        assert schedule.last_epoch == math.floor(epoch)


def test_a_cycle_ends() -> None:
    schedule = lr_scheduler.OneCycleLR(make(), max_lr=1.0, total_steps=10)
    for _ in range(10):
        schedule.step()
    with pytest.raises(ArgumentError, match="at most total_steps = 10 times, got call 11"):
        schedule.step()


def test_the_optimizer_walks_at_the_scheduled_rate() -> None:
    p = gpunet.tensor(np.zeros(1), requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    positions = []
    for _ in range(5):
        p.grad = gpunet.tensor(-np.ones(1))
        optimizer.step()
        schedule.step()
        positions.append(p.item())
    assert positions == [1.0, 2.0, 2.5, 3.0, 3.25]


# --- state


@pytest.mark.parametrize("build", [*named, warm_up, restarted, chained, "plateau"])
def test_state_goes_on_exactly(build) -> None:
    def schedule(optimizer):
        if build == "plateau":
            return lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
        if callable(build):
            return build(lr_scheduler, optimizer)
        name, arguments = named[build]
        return getattr(lr_scheduler, name)(optimizer, **arguments)

    def step(each):
        each.step(*((1.0,) if build == "plateau" else ()))

    one, two = make(), make()
    first = schedule(one)
    for _ in range(33):
        step(first)
    saved = json.loads(json.dumps([first.state_dict(), one.state_dict()["param_groups"]]))
    second = schedule(two)
    two.load_state_dict({"state": {}, "param_groups": saved[1]})
    second.load_state_dict(saved[0])
    for _ in range(100):
        assert [g["lr"] for g in one.param_groups] == [g["lr"] for g in two.param_groups]
        assert first.get_last_lr() == second.get_last_lr()
        step(first)
        step(second)


def test_going_on_by_last_epoch() -> None:
    """The groups bring the rate of then; the schedule begins after it."""
    one, two = make(), make()
    first = lr_scheduler.ExponentialLR(one, 0.9)
    for _ in range(5):
        first.step()
    two.load_state_dict(one.state_dict())
    second = lr_scheduler.ExponentialLR(two, 0.9, last_epoch=4)
    for _ in range(3):
        assert [g["lr"] for g in one.param_groups] == [g["lr"] for g in two.param_groups]
        first.step()
        second.step()
