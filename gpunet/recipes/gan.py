"""Images from a contest: a generative adversarial network that draws digits.

A generator makes pictures of 64 numbers drawn at random, a discriminator tells them from real
digits. Each learns from the other, until the drawn ones are hard to tell.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("K6",)
MINUTES = 2

LATENT = 64


def generator(maps=32):
    """Numbers (N, 64) -> pictures (N, 1, 28, 28) in [0, 1]; twice as large at each step."""
    return nn.Sequential(
        *(nn.Linear(LATENT, 2 * maps * 49), nn.Unflatten(1, (2 * maps, 7, 7))),
        *(nn.BatchNorm2d(2 * maps), nn.ReLU()),
        nn.ConvTranspose2d(2 * maps, maps, 4, stride=2, padding=1),
        *(nn.BatchNorm2d(maps), nn.ReLU()),
        *(nn.ConvTranspose2d(maps, 1, 4, stride=2, padding=1), nn.Sigmoid()),
    )


def discriminator(maps=32):
    """Pictures -> scores (N, 1), above 0 where one seems real; half as large at each step."""
    return nn.Sequential(
        *(nn.Conv2d(1, maps, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(maps, 2 * maps, 4, stride=2, padding=1), nn.BatchNorm2d(2 * maps)),
        *(nn.LeakyReLU(0.2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * maps * 49, 1)),
    )


def judged(scores, real):
    """The loss of a judgement: −log σ(s) where they are said to be real, else −log(1 − σ(s)).

    Source: Goodfellow et al., arXiv:1406.2661, algorithm 1, with the generator's loss −log D(G(z))
    of section 3; networks: Radford et al., arXiv:1511.06434, section 3.
    """
    return F.softplus(-scores if real else scores).mean()


def train(G, D, pictures, steps, batch_size=64):
    rng = np.random.default_rng(1)
    first, second = (optim.Adam(m.parameters(), lr=5e-4, betas=(0.5, 0.999)) for m in (G, D))
    history = []
    for _ in range(steps):
        real = gpunet.tensor(pictures[rng.integers(0, len(pictures), batch_size)])
        drawn = G(gpunet.randn(batch_size, LATENT))

        loss_D = judged(D(real), True) + judged(D(drawn.detach()), False)
        second.zero_grad()
        loss_D.backward()
        second.step()

        loss_G = judged(D(drawn), True)  # the generator wants its pictures to be called real
        first.zero_grad()
        loss_G.backward()
        first.step()
        history.append((loss_D.item(), loss_G.item()))
    return np.array(history)


def run(show: Show, pictures=None, steps=2000, maps=32) -> Results:
    if pictures is None:
        pictures = data.load("mnist", "train").inputs
    G, D = generator(maps), discriminator(maps)
    start = gpunet.randn(60, LATENT)
    history = train(G, D, pictures, steps)
    G.eval()
    D.eval()
    with gpunet.no_grad():
        samples = G(start)
        fooled = (D(samples) > 0).float().mean().item()
    samples = samples.numpy()[:, 0]
    parts = np.array_split(history, 6)
    rows = [[steps * (i + 1) // 6, *part.mean(0)] for i, part in enumerate(parts)]
    show.table("Losses", ["step", "discriminator", "generator"], rows)
    show.say("The discriminator takes {:.0%} of {} drawn digits for real.", fooled, len(samples))
    draw(show, samples)
    return {"history": history, "samples": samples, "fooled": fooled}


@style.look()
def draw(show, samples):
    figure = style.new_figure(9.4, 4.9)
    for i, picture in enumerate(samples):
        row, column = divmod(i, 12)
        axes = style.add_axes(figure, 0.3 + 0.74 * column, 3.25 - 0.74 * row, 0.7, 0.7)
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        axes.axis("off")
    style.add_title(figure, show.text("Digits that nobody wrote"))
    show.figure("gan.png", figure)
