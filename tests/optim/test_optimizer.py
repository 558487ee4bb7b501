"""Groups, state, and what is refused: the same for every rule."""

import json

import numpy as np
import pytest

import gpunet
from gpunet import nn, optim
from gpunet.errors import ArgumentError, GradError, ShapeError
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


def test_a_group_is_added_later() -> None:
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([a], lr=0.5)
    optimizer.add_param_group({"params": b, "lr": 0.25})
    a.grad, b.grad = gpunet.tensor(np.ones(1)), gpunet.tensor(np.ones(1))
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    assert optimizer.state_dict()["param_groups"][1]["params"] == [1]


def test_what_options_come_to_need_is_made() -> None:
    """A switch thrown between steps: the first velocity is then the gradient."""
    p = parameter(1.0)
    optimizer = optim.SGD([p], lr=0.5)
    step(optimizer, 0)
    assert optimizer.state[p] == {}
    optimizer.param_groups[0].update(momentum=0.9, dampening=0.5)
    before = p.item()
    p.grad = gpunet.tensor(np.ones(1))
    optimizer.step()
    assert p.item() == before - 0.5
    optimizer.step()
    assert p.item() == pytest.approx(before - 0.5 - 0.5 * (0.9 + 0.5), rel=1e-15)


def test_a_closure_is_called_first_and_recorded() -> None:
    p = parameter(2.0)
    optimizer = optim.SGD([p], lr=0.25)

    def closure() -> gpunet.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with gpunet.no_grad():
        loss = optimizer.step(closure)
    assert (loss.item(), p.item()) == (4.0, 1.0)
    assert optimizer.step() is None


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.LBFGS])
def test_an_old_graph_is_refused_after_a_step(rule) -> None:
    """Its gradient would be that of the new values."""
    p = parameter(2.0)
    optimizer = rule([p], lr=0.25)

    def closure() -> gpunet.Tensor:
        loss = (p * p).sum()
        loss.backward()
        return loss

    old = (p * p).sum()
    optimizer.step(closure)
    with pytest.raises(GradError, match="overwritten since"):
        old.backward()


def test_zero_grad_in_place() -> None:
    a, b = parameter(1.0), parameter(2.0)
    optimizer = optim.SGD([a, b])
    a.grad = gpunet.tensor(np.ones(1))
    array = a.grad.array
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.array is array
    assert (array.tolist(), b.grad) == ([0.0], None)


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
    groups = json.loads(json.dumps(saved["param_groups"]))
    state = {i: {k: a.copy() for k, a in arrays.items()} for i, arrays in saved["state"].items()}
    others = [gpunet.tensor(x.detach(), requires_grad=True) for x in (p, q)]

    again = getattr(optim, rule)(others, lr=7.0)
    again.load_state_dict({"param_groups": groups, "state": state})
    for number in range(3, 6):
        step(optimizer, number)
        step(again, number)
    for x, other in zip((p, q), others, strict=True):
        assert x.array.tobytes() == other.array.tobytes()
        for name, array in optimizer.state[x].items():
            assert again.state[other][name].tobytes() == array.tobytes()
            assert again.state[other][name].dtype == array.dtype
    assert again.param_groups[0] == {**optimizer.param_groups[0], "params": others}


def test_a_loaded_state_is_a_copy() -> None:
    p = parameter(1.0)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    step(optimizer, 0)
    saved = optimizer.state_dict()
    before = saved["state"][0]["momentum_buffer"].copy()
    other = optim.SGD([parameter(1.0)], lr=0.1, momentum=0.9)
    other.load_state_dict(saved)
    step(other, 1)
    np.testing.assert_array_equal(saved["state"][0]["momentum_buffer"], before)


def test_a_state_before_the_first_step() -> None:
    p = parameter(1.0)
    optimizer = optim.Adam([p], lr=0.1)
    assert optimizer.state_dict()["state"] == {}
    optimizer.load_state_dict(optimizer.state_dict())
    step(optimizer, 0)
    assert optimizer.state[p]["step"].tolist() == [1]


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (
            lambda: optim.Adam([parameter(1.0)]),
            ArgumentError,
            "load_state_dict: must hold 1 groups and 2 parameters, got 1 and 1",
        ),
        (
            lambda: optim.Adam([{"params": [parameter(1.0)]}, {"params": [parameter(1.0)]}]),
            ArgumentError,
            "load_state_dict: must hold 1 groups and 2 parameters, got 2 and 2",
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
    before = {name: a.copy() for name, a in optimizer.state_dict()["state"][1].items()}
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(foreign.state_dict())
    np.testing.assert_equal(optimizer.state_dict()["state"][1], before)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_adams_state_is_not_adamws() -> None:
    """The other way round, Adam goes on as AdamW: all options are loaded."""
    adam, adamw = (rule([parameter(1.0)], lr=0.1) for rule in (optim.Adam, optim.AdamW))
    with pytest.raises(ArgumentError, match="AdamW: decoupled_weight_decay must be True"):
        adamw.load_state_dict(adam.state_dict())
    assert adamw.param_groups[0]["decoupled_weight_decay"]
    adam.load_state_dict(adamw.state_dict())
    assert adam.param_groups[0]["decoupled_weight_decay"]


def test_state_that_fits_the_options_but_not_the_rule() -> None:
    optimizer = optim.Adam([parameter(1.0)])
    step(optimizer, 0)
    saved = optimizer.state_dict()
    other = {**saved, "state": {0: {"sum": np.ones(1)}}}
    with pytest.raises(ArgumentError, match=r"state must be Adam's \['exp_avg', .*, got \['sum'\]"):
        optimizer.load_state_dict(other)
    other = {**saved, "state": {1: saved["state"][0]}}
    with pytest.raises(ArgumentError, match=r"state must be of the parameters 0 to 0, got \[1\]"):
        optimizer.load_state_dict(other)


def test_state_comes_in_the_parameters_dtype() -> None:
    p = gpunet.tensor([1.0], dtype="float32", requires_grad=True)
    optimizer = optim.NAdam([p])
    step(optimizer, 0)
    saved = optimizer.state_dict()
    wide = {name: value.astype("float64") for name, value in saved["state"][0].items()}
    optimizer.load_state_dict({**saved, "state": {0: wide}})
    dtypes = {name: str(value.dtype) for name, value in optimizer.state[p].items()}
    assert dtypes == {
        "step": "float64", "mu_product": "float64", "exp_avg": "float32", "exp_avg_sq": "float32",
    }  # fmt: skip
