"""What schedules refuse."""

import pytest

import gpunet
from gpunet import optim
from gpunet.errors import ArgumentError
from gpunet.optim import lr_scheduler as s


def make(rule="SGD") -> optim.Optimizer:
    """An optimizer of two groups."""
    parameters = [gpunet.tensor([1.0], requires_grad=True) for _ in range(2)]
    return getattr(optim, rule)([{"params": p} for p in parameters])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o: s.StepLR(o, 0), "StepLR: step_size must be at least 1, got 0"),
        (lambda o: s.StepLR(o, 3, gamma=-1), "StepLR: gamma must be at least 0, got -1"),
        (lambda o: s.StepLR("SGD", 3), "StepLR: optimizer must be a .*Optimizer, got str"),
        (lambda o: s.MultiStepLR(o, [0, 5]), "MultiStepLR: milestones must be at least 1, got 0"),
        (lambda o: s.ConstantLR(o, factor=1.5), r"ConstantLR: factor must be in \[0, 1\], got 1.5"),
        (lambda o: s.LinearLR(o, start_factor=0), r"start_factor must be in \(0, 1\], got 0"),
        (lambda o: s.LinearLR(o, end_factor=2), r"end_factor must be in \[0, 1\], got 2"),
        (lambda o: s.LinearLR(o, total_iters=0), "total_iters must be at least 1, got 0"),
        (lambda o: s.PolynomialLR(o, 0), "total_iters must be at least 1, got 0"),
        (lambda o: s.PolynomialLR(o, power=-1), "power must be at least 0, got -1"),
        (lambda o: s.ExponentialLR(o, -0.5), "gamma must be at least 0, got -0.5"),
        (lambda o: s.CosineAnnealingLR(o, 0), "T_max must be at least 1, got 0"),
        (lambda o: s.CosineAnnealingLR(o, 5, -1), "eta_min must be at least 0, got -1"),
        (lambda o: s.CosineAnnealingWarmRestarts(o, 0), "T_0 must be a whole number from 1, got 0"),
        (lambda o: s.CosineAnnealingWarmRestarts(o, 5, 1.5), "T_mult must be a whole number"),
        (
            lambda o: s.CosineAnnealingWarmRestarts(o, 5).step(-1),
            "CosineAnnealingWarmRestarts: epoch must be at least 0, got -1",
        ),
        (lambda o: s.OneCycleLR(o, 1.0), "total_steps, or epochs .*, must be given"),
        (lambda o: s.OneCycleLR(o, 1.0, total_steps=0), "total_steps must be a whole number"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, pct_start=2), r"pct_start must be in \[0, 1\], got 2"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, div_factor=0), "div_factor must be above 0, got 0"),
        (lambda o: s.OneCycleLR(o, [1.0], 9), r"max_lr must be one number or 2, got \[1.0\]"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, anneal_strategy="sin"), "anneal_strategy must be one"),
        (
            lambda o: s.OneCycleLR(make("Adagrad"), 1.0, 9),
            "cycle_momentum must be False for an optimizer without momentum .* for Adagrad",
        ),
        (lambda o: s.LambdaLR(o, [abs]), "LambdaLR: lr_lambda must be one function or 2, got 1"),
        (lambda o: s.LambdaLR(o, 0.5), "LambdaLR: lr_lambda must be a function, got 0.5"),
        (lambda o: s.SequentialLR(o, [], []), "SequentialLR: schedulers must hold at least one"),
        (
            lambda o: s.SequentialLR(o, [s.StepLR(o, 1), s.StepLR(o, 1)], []),
            r"milestones must be 1 rising numbers for 2 schedulers, got \[\]",
        ),
        (
            lambda o: s.SequentialLR(o, [s.StepLR(o, 1)] * 3, [5, 3]),
            r"milestones must be 2 rising numbers for 3 schedulers, got \[5, 3\]",
        ),
        (
            lambda o: s.SequentialLR(o, [s.StepLR(make(), 1)], []),
            "schedulers must be of one optimizer, got another's StepLR at 0",
        ),
        (
            lambda o: s.ChainedScheduler([s.StepLR(o, 1), s.ReduceLROnPlateau(o)]),
            "scheduler 1 must be one that steps without arguments, got ReduceLROnPlateau",
        ),
        (lambda o: s.ReduceLROnPlateau(o, "low"), "mode must be one of 'min', 'max', got 'low'"),
        (lambda o: s.ReduceLROnPlateau(o, factor=1.0), r"factor must be in \[0, 1\), got 1.0"),
        (lambda o: s.ReduceLROnPlateau(o, patience=-1), "patience must be at least 0, got -1"),
        (lambda o: s.ReduceLROnPlateau(o, min_lr=[0.1]), "min_lr must be one number or 2"),
        (lambda o: s.ReduceLROnPlateau(o, threshold_mode="x"), "threshold_mode must be one of"),
        (
            lambda o: s.StepLR(o, 5, last_epoch=3),
            'StepLR: group 0 must have "initial_lr" to go on after epoch 3',
        ),
        (
            lambda o: s.StepLR(o, 5).load_state_dict(s.ExponentialLR(o, 0.9).state_dict()),
            "load_state_dict: state must be StepLR's",
        ),
        (
            lambda o: s.StepLR(optim.SGD([gpunet.tensor([1.0], requires_grad=True)]), 5)
            .load_state_dict(s.StepLR(o, 5).state_dict()),
            "load_state_dict: must be of 1 groups, got 2",
        ),
        (
            lambda o: s.ChainedScheduler([s.StepLR(o, 5)]).load_state_dict(
                s.ChainedScheduler([s.StepLR(o, 5), s.StepLR(o, 7)]).state_dict()
            ),
            "load_state_dict: must be of 1 schedules, got 2",
        ),
    ],
)  # fmt: skip
def test_refused(call, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(make())
