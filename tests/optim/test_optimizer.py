"""Groups, state, and what is refused: the same for every rule."""

import json

import numpy as np
import pytest

import gpunet
from gpunet import nn, optim
from gpunet.errors import ArgumentError, ShapeError
from tests.optim.rules import OPTIONS

every_rule = pytest.mark.parametrize(
    ("rule", "options"), OPTIONS, ids=[f"{rule} {options}" for rule, options in OPTIONS]
)


def parameter(*values: float) -> gpunet.Tensor:
    return gpunet.tensor(np.array(values), requires_grad=True)


def step(optimizer: optim.Optimizer, number: int) -> None:
    """One step on gradients that follow from its number."""
    rng = np.random.default_rng(number)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = gpunet.tensor(rng.standard_normal(p.shape), dtype=p.dtype)
    optimizer.step()


# --- groups


def test_groups_have_their_own_options() -> None:
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": iter([b]), "lr": 0.5}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    a.grad, b.grad = gpunet.tensor(np.ones(1)), gpunet.tensor(np.ones(1))
    optimizer.step()
    assert (a.item(), b.item()) == (0.9, 0.5)
    optimizer.param_groups[1]["lr"] = 0.25
    optimizer.step()
    assert (a.item(), b.item()) == (0.9 - 0.1, 0.25)


def test_one_group_is_two_with_the_same_options() -> None:
    alone = [parameter(1.0, 2.0), parameter(3.0)]
    apart = [parameter(1.0, 2.0), parameter(3.0)]
    one = optim.AdamW(alone, lr=0.1)
    two = optim.AdamW([{"params": [p]} for p in apart], lr=0.1)
    for number in range(3):
        step(one, number)
        step(two, number)
    for p, q in zip(alone, apart, strict=True):
        assert p.array.tobytes() == q.array.tobytes()


def test_a_parameter_without_gradient_stays_and_starts_later() -> None:
    late, early = parameter(1.0), parameter(1.0)
    optimizer = optim.Adam([late, early], lr=0.1, eps=0.0)
    early.grad = gpunet.tensor(np.ones(1))
    optimizer.step()
    assert late.item() == 1.0
    assert optimizer.state[late] == {}
    late.grad = gpunet.tensor(np.ones(1))
    optimizer.step()
    assert late.item() == pytest.approx(0.9, rel=1e-15)  # its own first step
    assert optimizer.state[late]["step"].tolist() == [1]
    assert optimizer.state[early]["step"].tolist() == [2]


def test_zero_grad() -> None:
    a, b = parameter(1.0), parameter(2.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}])
    step(optimizer, 0)
    optimizer.zero_grad()
    assert a.grad is b.grad is None
    before = a.item()
    optimizer.step()
    assert a.item() == before


def test_parameters_of_a_model_are_changed_in_place() -> None:
    model = nn.Linear(3, 2)
    arrays = [p.array for p in model.parameters()]
    before = [a.copy() for a in arrays]
    step(optim.SGD(model.parameters(), lr=0.1), 0)
    for p, array, old in zip(model.parameters(), arrays, before, strict=True):
        assert p.array is array
        assert (array != old).all()


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam])
def test_strided_parameters_and_gradients(rule) -> None:
    """A rule writes into its parameter as one flat array; a flat copy would lose the step."""
    values = np.arange(6.0).reshape(2, 3)
    plain = gpunet.tensor(values.T, requires_grad=True)
    turned = nn.Parameter(gpunet.tensor(values).transpose(0, 1))
    assert not turned.array.flags.c_contiguous
    for p, gradient in ((plain, values.T.copy()), (turned, values.T)):
        optimizer = rule([p], lr=0.1)
        p.grad = gpunet.autograd.Tensor(gradient, p.backend)
        optimizer.step()
    assert (plain.array != values.T).sum() >= 5
    np.testing.assert_array_equal(turned.array, plain.array)


# --- state


@every_rule
def test_state_goes_on_exactly(rule, options) -> None:
    """Also through JSON (where tuples become lists), and into an optimizer with other options."""
    values = np.random.default_rng(0).standard_normal((4, 3))
    p, q = parameter(*values[0]), gpunet.tensor(values, dtype="float32", requires_grad=True)
    optimizer = getattr(optim, rule)([p, q], lr=0.1, **options)
    for number in range(3):
        step(optimizer, number)
    saved = optimizer.state_dict()
    groups = json.loads(json.dumps(saved["groups"]))
    state = {i: {k: a.copy() for k, a in arrays.items()} for i, arrays in saved["state"].items()}
    others = [gpunet.tensor(x.detach(), requires_grad=True) for x in (p, q)]

    again = getattr(optim, rule)(others, lr=7.0)
    again.load_state_dict({"groups": groups, "state": state})
    for number in range(3, 6):
        step(optimizer, number)
        step(again, number)
    for x, other in zip((p, q), others, strict=True):
        assert x.array.tobytes() == other.array.tobytes()
        for name, array in optimizer.state[x].items():
            assert again.state[other][name].tobytes() == array.tobytes()
            assert again.state[other][name].dtype == array.dtype
    assert again.param_groups[0]["lr"] == 0.1


def test_a_loaded_state_is_a_copy() -> None:
    p = parameter(1.0)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    step(optimizer, 0)
    saved = {"groups": optimizer.state_dict()["groups"], "state": {"0": dict(optimizer.state[p])}}
    before = saved["state"]["0"]["velocity"].copy()
    other = optim.SGD([parameter(1.0)], lr=0.1, momentum=0.9)
    other.load_state_dict(saved)
    step(other, 1)
    np.testing.assert_array_equal(saved["state"]["0"]["velocity"], before)


def test_a_state_before_the_first_step() -> None:
    p = parameter(1.0)
    optimizer = optim.Adam([p], lr=0.1)
    assert optimizer.state_dict()["state"] == {"0": {}}
    optimizer.load_state_dict(optimizer.state_dict())
    step(optimizer, 0)
    assert optimizer.state[p]["step"].tolist() == [1]


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (
            lambda: optim.Adam([parameter(1.0)]),
            ArgumentError,
            "1 groups and 2 parameters, got 1 and 1",
        ),
        (
            lambda: optim.Adam([{"params": [parameter(1.0)]}, {"params": [parameter(1.0)]}]),
            ArgumentError,
            "1 groups and 2 parameters, got 2 and 2",
        ),
        (
            lambda: optim.SGD([parameter(1.0), parameter(1.0, 2.0)]),
            ArgumentError,
            r"options must be Adam's \['amsgrad', 'betas', .*\], got \['dampening', 'lr', ",
        ),
        (
            lambda: optim.Adam([parameter(1.0), parameter(1.0, 2.0, 3.0)]),
            ShapeError,
            r"exp_avg of parameter 1 must have shape \(2,\), got \(3,\)",
        ),
    ],
)
def test_state_of_another_optimizer(other, error, message) -> None:
    optimizer = optim.Adam([parameter(1.0), parameter(1.0, 2.0)])
    step(optimizer, 0)
    foreign = other()
    step(foreign, 0)
    before = {name: a.copy() for name, a in optimizer.state_dict()["state"]["1"].items()}
    with pytest.raises(error, match=f"load_state_dict: .*{message}"):
        optimizer.load_state_dict(foreign.state_dict())
    np.testing.assert_equal(optimizer.state_dict()["state"]["1"], before)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


# --- refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: optim.SGD([]), "SGD: params must hold at least one parameter, got none"),
        (lambda p: optim.SGD(p), "SGD: params must be leaves that require a gradient"),
        (lambda p: optim.SGD([p * 2]), "SGD: params must be leaves that require a gradient"),
        (lambda p: optim.SGD([p.detach()]), "SGD: params must be leaves that require a gradient"),
        (lambda p: optim.Adam([p.numpy]), "Adam: params must be leaves that require a gradient"),
        (
            lambda p: optim.Adam([p, p]),
            r"Adam: a parameter must stand once, got one of shape \(2,\)",
        ),
        (
            lambda p: optim.Adam([{"params": [p]}, {"params": [p]}]),
            "Adam: a parameter must stand once",
        ),
        (lambda p: optim.SGD([p], lr=-1), "SGD: lr must be at least 0, got -1"),
        (lambda p: optim.SGD([p], lr=float("nan")), "SGD: lr must be at least 0, got nan"),
        (lambda p: optim.SGD([p], momentum=-0.1), "SGD: momentum must be at least 0, got -0.1"),
        (lambda p: optim.Adam([p], eps=-1e-8), "Adam: eps must be at least 0, got -1e-08"),
        (lambda p: optim.AdamW([p], weight_decay=-1), "AdamW: weight_decay must be at least 0"),
        (
            lambda p: optim.AdamW([p], betas=(0.9, 1.0)),
            r"AdamW: betas must be two numbers in \[0, 1\)",
        ),
        (lambda p: optim.Adam([p], betas=(-0.1, 0.9)), r"Adam: betas must be two numbers"),
        (
            lambda p: optim.Adam([p], betas=(0.9,)),
            r"Adam: betas must be two numbers .*got \(0.9,\)",
        ),
        (
            lambda p: optim.SGD([p], nesterov=True),
            "SGD: nesterov needs momentum > 0 and dampening 0",
        ),
        (
            lambda p: optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True),
            "got momentum 0.9, dampening 0.1",
        ),
        (
            lambda p: optim.SGD([{"params": [p], "betas": (0.9, 0.9)}]),
            r"SGD: group options must be among \['dampening', 'lr', .*, got \['betas'\]",
        ),
        (lambda p: optim.SGD([{"params": [p], "lr": -2}]), "SGD: lr must be at least 0, got -2"),
    ],
)
def test_refused(call, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(parameter(1.0, 2.0))


def test_a_gradient_of_another_shape() -> None:
    p = parameter(1.0, 2.0)
    p.grad = gpunet.tensor(np.ones(3))
    with pytest.raises(ShapeError, match=r"parameter's shape \(2,\), got \(3,\)"):
        optim.SGD([p]).step()
    assert p.detach().numpy().tolist() == [1, 2]
