"""Schedules: how the learning rate may change along a training.

Steps, decays, cosines, warm-up and cycles follow formulas known in advance, and ReduceLROnPlateau
waits for what the loss does. A large rate first and a small one last gets lower than either of
them all along.
"""

from __future__ import annotations

import gpunet
from gpunet import data, nn, optim, viz
from gpunet import functional as F
from gpunet.optim import lr_scheduler as lr
from gpunet.recipes.show import Results, Show

ROWS = ("F6",)
STEPS, RATE = 200, 0.3


def warmup_and_cosine(optimizer):
    warmup = lr.LinearLR(optimizer, start_factor=0.02, total_iters=20)
    decay = lr.CosineAnnealingLR(optimizer, T_max=STEPS - 20)
    return lr.SequentialLR(optimizer, [warmup, decay], milestones=[20])


SCHEDULES = {
    "StepLR": lambda o: lr.StepLR(o, step_size=50, gamma=0.5),
    "MultiStepLR": lambda o: lr.MultiStepLR(o, milestones=[120, 170], gamma=0.1),
    "ExponentialLR": lambda o: lr.ExponentialLR(o, gamma=0.98),
    "LinearLR": lambda o: lr.LinearLR(o, 1.0, 0.0, total_iters=STEPS),
    "PolynomialLR": lambda o: lr.PolynomialLR(o, total_iters=STEPS, power=2.0),
    "LambdaLR": lambda o: lr.LambdaLR(o, lambda step: 1 / (1 + step / 20)),
    "Cosine": lambda o: lr.CosineAnnealingLR(o, T_max=STEPS),
    "WarmRestarts": lambda o: lr.CosineAnnealingWarmRestarts(o, T_0=29, T_mult=2),
    "OneCycleLR": lambda o: lr.OneCycleLR(o, max_lr=RATE, total_steps=STEPS),
    "Warm-up, cosine": warmup_and_cosine,
    "OnPlateau": lambda o: lr.ReduceLROnPlateau(o, factor=0.3, patience=20),
}
CONSTANT = {"constant, large": RATE, "constant, small": RATE / 50}


def train(digits, schedule=None, rate=RATE):
    """200 steps of SGD; returns the rate of each step, and the loss of all digits at the end."""
    gpunet.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    scheduler = schedule and schedule(optimizer)
    loader = data.DataLoader(digits, batch_size=32, shuffle=True)
    rates: list[float] = []
    while len(rates) < STEPS:
        for inputs, targets in loader:
            loss = F.cross_entropy(model(gpunet.tensor(inputs)), gpunet.tensor(targets))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.append(optimizer.param_groups[0]["lr"])
            if isinstance(scheduler, lr.ReduceLROnPlateau):
                scheduler.step(loss.item())
            elif scheduler and len(rates) < STEPS:
                scheduler.step()
            if len(rates) == STEPS:
                break
    with gpunet.no_grad():
        scores = model(gpunet.tensor(digits.inputs))
        return rates, F.cross_entropy(scores, gpunet.tensor(digits.targets)).item()


def run(show: Show) -> Results:
    digits = data.load("digits", "train")
    runs = {name: train(digits, schedule) for name, schedule in SCHEDULES.items()}
    constant = {name: train(digits, rate=rate)[1] for name, rate in CONSTANT.items()}
    rows = [
        [show.text(name), rates[0], rates[50], rates[100], rates[150], rates[-1], loss]
        for name, (rates, loss) in runs.items()
    ]
    for name, loss in constant.items():
        rows.append([show.text(name), *[CONSTANT[name]] * 5, loss])
    columns = ["schedule", "step 1", "51", "101", "151", "200", "loss"]
    show.table("Learning rates, and the loss of 3,823 digits after 200 steps", columns, rows)
    rate = show.text("rate")
    viz.lines(
        {show.text(name): {rate: rates} for name, (rates, _) in runs.items()},
        show.path("schedules.png"),
        x_label=show.text("Step"),
        y_label=show.text("Learning rate"),
        title=show.text("Learning rates over 200 steps"),
    )
    return {
        "rates": {name: rates for name, (rates, _) in runs.items()},
        "losses": {name: loss for name, (_, loss) in runs.items()},
        "constant": constant,
    }
