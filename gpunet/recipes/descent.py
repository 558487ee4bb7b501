"""Gradient descent: the whole set, mini-batches, single objects, blocks added up.

In the same number of epochs, the more often the weights change, the further the loss falls, and
the rougher its way. Gradients of blocks, added up before the step, are the gradient of the whole
set: full-batch descent for data that do not fit into memory at once.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

ROWS = ("F1",)
EPOCHS, BLOCK = 12, 64


def network():
    gpunet.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def tensors(batch):
    inputs, targets = batch
    return gpunet.tensor(inputs), gpunet.tensor(targets)


def by_batches(model, optimizer, loader):
    """θ ← θ − η·∇(mean of the losses of the batch), for each batch."""
    for x, t in map(tensors, loader):
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def by_blocks(model, optimizer, loader):
    """Adds up the gradients of all blocks; one step an epoch, at its end."""
    optimizer.zero_grad()
    for x, t in map(tensors, loader):
        share = len(x) / len(loader.dataset)
        (F.cross_entropy(model(x), t) * share).backward()
    optimizer.step()


def train(epoch, digits, batch_size, lr):
    """The loss of the whole set after each epoch."""
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    loader = data.DataLoader(digits, batch_size, shuffle=True)
    losses = []
    for _ in range(EPOCHS):
        epoch(model, optimizer, loader)
        with gpunet.no_grad():
            x, t = tensors((digits.inputs, digits.targets))
            losses.append(F.cross_entropy(model(x), t).item())
    return losses


def gradient(epoch, digits, batch_size):
    """What one step of full-batch descent subtracts: all gradients, in float64, as one vector."""
    model = network().double()
    before = np.concatenate([p.detach().numpy().ravel().copy() for p in model.parameters()])
    loader = data.DataLoader(digits, batch_size)
    loader.transform = lambda inputs, targets, draws: (inputs.astype("float64"), targets)
    epoch(model, optim.SGD(model.parameters(), lr=1.0), loader)
    return before - np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def run(show: Show) -> Results:
    digits = data.load("digits", "train").subset(range(640))
    modes = {
        show.text("full batch"): (by_batches, len(digits), 0.5),
        show.text("blocks added up"): (by_blocks, BLOCK, 0.5),
        show.text("mini-batches"): (by_batches, 32, 0.1),
        show.text("single objects"): (by_batches, 1, 0.02),
    }
    losses = {name: train(epoch, digits, size, lr) for name, (epoch, size, lr) in modes.items()}
    rows = []
    for name, (epoch, size, lr) in modes.items():
        steps = 1 if epoch is by_blocks else len(digits) // size
        rows.append([name, size, steps, lr, losses[name][-1]])
    columns = ["descent", "objects at a time", "steps an epoch", "learning rate", "loss"]
    show.table("640 digits, 12 epochs", columns, rows)

    whole = gradient(by_batches, digits, len(digits))
    blocks = gradient(by_blocks, digits, BLOCK)
    error = np.abs(whole - blocks).max() / np.abs(whole).max()
    show.say("Gradients of 10 blocks, added up, differ from the whole set's by {:.1e}.", error)
    viz.lines(
        {show.text("Loss of the training set"): losses},
        show.path("descent.png"),
        x_label=show.text("Epoch"),
        y_label=show.text("Cross entropy"),
        log="y",
        beneath=show.text("full batch"),
    )
    keys = ("full", "accumulated", "mini", "single")
    return {"losses": dict(zip(keys, losses.values(), strict=True)), "gradients": (whole, blocks)}
