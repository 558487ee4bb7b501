"""What optimizers refuse: parameters, options and gradients that cannot be meant."""

import numpy as np
import pytest

import gpunet
from gpunet import optim
from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.optim.rules import RULES


def parameter(*values: float) -> gpunet.Tensor:
    return gpunet.tensor(np.array(values), requires_grad=True)


@pytest.mark.parametrize("rule", RULES)
def test_the_same_for_every_rule(rule) -> None:
    make, p = getattr(optim, rule), parameter(1.0)
    for given, message in (
        ([], "params must hold at least one parameter, got none"),
        ([p, p], r"a parameter must stand once, got one of shape \(1,\) twice"),
        ([{"params": [p], "speed": 1}], r"options must be among .*, got \['speed'\]"),
        ([{"parameters": [p]}], r"""a group must have "params", got \['parameters'\]"""),
    ):
        with pytest.raises(ArgumentError, match=f"{rule}: .*{message}"):
            make(given)
    for option in set(make([p]).defaults) & {
        *("lr", "weight_decay", "eps", "momentum", "momentum_decay"),
        *("lr_decay", "initial_accumulator_value"),
    }:
        for value in (-1e-8, float("nan")):
            with pytest.raises(ArgumentError, match=f"{option} must be at least 0, got {value}"):
                make([p], **{option: value})
    with pytest.raises(TypeError, match="speed"):
        make([p], speed=1)


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
        (lambda p: optim.Adadelta([p], rho=1.5), r"Adadelta: rho must be in \[0, 1\], got 1.5"),
        (lambda p: optim.RMSprop([p], alpha=-1), r"RMSprop: alpha must be in \[0, 1\], got -1"),
        (lambda p: optim.NAdam([p], betas=(0.9, 1)), r"NAdam: betas must be two numbers"),
        (
            lambda p: optim.Adam([{"params": [p], "betas": (2, 0)}]),
            r"Adam: betas must be two numbers in \[0, 1\), got \(2, 0\)",
        ),
        (
            lambda p: optim.SGD([p], momentum=0.9).add_param_group(
                {"params": [parameter(1.0)], "nesterov": True, "dampening": 0.5}
            ),
            "SGD: nesterov needs",
        ),
        (
            lambda p: optim.SGD([p]).add_param_group({"params": [p]}),
            "SGD: a parameter must stand once",
        ),
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


def test_a_gradient_of_another_dtype() -> None:
    p = parameter(1.0)
    p.grad = gpunet.tensor(np.ones(1, "float32"))
    with pytest.raises(DTypeError, match="parameter's dtype float64, got float32"):
        optim.Adam([p]).step()
    assert p.item() == 1


def test_a_refused_group_leaves_no_trace() -> None:
    p, q = parameter(1.0), parameter(2.0)
    optimizer = optim.SGD([p])
    with pytest.raises(ArgumentError):
        optimizer.add_param_group({"params": [q], "lr": -1})
    optimizer.add_param_group({"params": [q]})
    assert len(optimizer.param_groups) == 2
