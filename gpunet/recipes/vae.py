"""Images from numbers: a variational autoencoder that draws digits.

An encoder makes a mean and a spread of 20 numbers from a digit, and a decoder the digit from
numbers drawn there. As their distribution is kept near the standard normal one, numbers drawn from
that give new digits.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("K6",)
MINUTES = 1


class VAE(nn.Module):
    """Kingma, Welling, "Auto-encoding variational Bayes", arXiv:1312.6114."""

    def __init__(self, pixels=784, hidden=400, latent=20):
        self.latent = latent
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels)
        )

    def forward(self, x):
        """Scores of the pixels, mean and log variance; z = μ + σ·ε with ε drawn from N(0, 1)."""
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + (0.5 * log_variance).exp() * gpunet.randn(*mean.shape)
        return self.decoder(z), mean, log_variance

    def draw(self, z):
        """Pictures (N, pixels) in [0, 1] from numbers (N, latent)."""
        return F.sigmoid(self.decoder(z))


def divergence(mean, log_variance):
    """KL(N(μ, σ²) ‖ N(0, 1)) = −½·Σ(1 + log σ² − μ² − σ²), the mean over the batch."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()


def train(model, pictures, epochs):
    """Adam on what is lost of the pixels plus the divergence, both in nats a picture."""
    rng = np.random.default_rng(1)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    history = []
    for _ in range(epochs):
        losses = []
        for chosen in np.array_split(rng.permutation(len(pictures)), -(-len(pictures) // 128)):
            x = gpunet.tensor(pictures[chosen])
            scores, mean, log_variance = model(x)
            pixels = F.binary_cross_entropy_with_logits(scores, x, reduction="sum") / len(x)
            kl = divergence(mean, log_variance)
            optimizer.zero_grad()
            (pixels + kl).backward()
            optimizer.step()
            losses.append((pixels.item(), kl.item()))
        history.append(np.mean(losses, 0))
    return np.array(history)


def run(show: Show, pictures=None, epochs=12) -> Results:
    if pictures is None:
        pictures = data.load("mnist", "train").inputs
    size = pictures.shape[-1]
    pictures = pictures.reshape(len(pictures), -1)
    model = VAE(pictures.shape[1])
    history = train(model, pictures, epochs)
    rows = [[e + 1, *history[e], history[e].sum()] for e in range(epochs)]
    show.table("Nats a picture", ["epoch", "pixels", "divergence", "loss"], rows)

    with gpunet.no_grad():
        samples = model.draw(gpunet.randn(48, model.latent)).numpy()
        x = gpunet.tensor(pictures[:12])
        again = model.draw(model(x)[1]).numpy()
        # From the first digit to the second, in equal steps of the 20 numbers.
        ends = model(x)[1].numpy()
        way = np.linspace(0, 1, 12, dtype=np.float32)[:, None]
        between = model.draw(gpunet.tensor((1 - way) * ends[:1] + way * ends[1:2])).numpy()
    show.say(
        "The pictures show {} new digits, and the way from one digit to another.", len(samples)
    )
    draw(
        show,
        size,
        {
            "New digits, drawn at random": samples,
            "Digits, and what is left of them in 20 numbers": np.concatenate(
                [pictures[:12], again]
            ),
            "From one digit to another": between,
        },
    )
    return {"history": history, "samples": samples}


@style.look()
def draw(show, size, pages):
    """Twelve pictures in a row, under a heading each page."""
    figure = style.new_figure(9.4, 7.2)
    top = 7.0
    for title, pictures in pages.items():
        style.add_note(figure, 0.3, 7.2 - top + 0.25, show.text(title), style.INK)
        for i, picture in enumerate(pictures):
            row, column = divmod(i, 12)
            left, bottom = 0.3 + 0.74 * column, top - 1.05 - 0.74 * row
            axes = style.add_axes(figure, left, bottom, 0.7, 0.7)
            axes.imshow(picture.reshape(size, size), cmap="gray_r", vmin=0, vmax=1)
            axes.axis("off")
        top -= 0.55 + 0.74 * (len(pictures) // 12)
    show.figure("vae.png", figure)
