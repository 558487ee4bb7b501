"""Style transfer: a photograph in the manner of another picture.

A small network learns to tell the ten kinds of pictures of CIFAR-10 apart; then its weights rest,
and the pixels learn. Their features shall be those of the photograph, and the products of their
features, which say what goes with what but not where, those of the other picture.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("K5",)
MINUTES = 1
INPUTS = "a photograph, and a picture whose style it takes"


class Features(nn.Module):
    """Four convolutions, with a pooling to half the size between them."""

    def __init__(self, maps=(24, 32, 48, 48)):
        sizes = zip((3, *maps[:-1]), maps, strict=True)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding="same") for a, b in sizes)
        self.scores = nn.Linear(maps[-1], 10)

    def features(self, x):
        """What each convolution finds, after its ReLU."""
        found: list[gpunet.Tensor] = []
        for convolution in self.convolutions:
            x = F.relu(convolution(F.avg_pool2d(x, 2) if found else x))
            found.append(x)
        return found

    def forward(self, x):
        return self.scores(self.features(x)[-1].mean((2, 3)))


def train(model, pictures, steps):
    """Classification, the usual way; returns the share that is right at the end."""
    rng, right = np.random.default_rng(1), []
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(steps):
        batch = pictures.subset(rng.integers(0, len(pictures), 32))
        scores = model(gpunet.tensor(batch.inputs))
        loss = F.cross_entropy(scores, gpunet.tensor(batch.targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right.append(np.mean(scores.argmax(1).numpy() == batch.targets))
    return np.mean(right[-50:])


def gram(f):
    """G = F·Fᵀ / (H·W) of feature maps (1, C, H, W): which go together, wherever that is."""
    flat = f.reshape(f.shape[1], -1)
    return flat @ flat.transpose(0, 1) / flat.shape[1]


def roughness(x):
    """The total variation: the squared differences of pixels side by side."""
    down, right = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    return (down**2).mean() + (right**2).mean()


def transfer(model, content, manner, steps, strength=1000.0, smooth=3.0):
    """Gatys, Ecker, Bethge, arXiv:1508.06576: Adam on the pixels, from those of the photograph."""
    with gpunet.no_grad():
        wanted = model.features(gpunet.tensor(content))[-1]
        grams = [gram(f) for f in model.features(gpunet.tensor(manner))]
    logits = nn.Parameter(F.logit(gpunet.tensor(content), 0.02))
    optimizer = optim.Adam([logits], lr=0.05)
    history = []
    for _ in range(steps):
        found = model.features(x := F.sigmoid(logits))
        kept = F.mse_loss(found[-1], wanted) / (wanted**2).mean().item()
        pairs = zip(map(gram, found), grams, strict=True)
        taken = sum(F.mse_loss(a, b) / (b**2).mean().item() for a, b in pairs) / len(grams)
        loss = kept + strength * taken + smooth * roughness(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append((kept.item(), taken.item()))
    return F.sigmoid(logits).detach().numpy(), np.array(history)


def waves(size):
    """A picture with a style of its own, (1, 3, size, size): bands of colour that swing."""
    y, x = np.mgrid[:size, :size] / size
    level = 9 * (y + 0.12 * np.sin(9 * x + 4 * y) + 0.05 * np.sin(31 * x - 8 * y))
    palette = [(0.05, 0.1, 0.35), (0.1, 0.35, 0.7), (0.95, 0.75, 0.2), (0.85, 0.4, 0.1)]
    return np.array(palette, np.float32)[level.astype(int) % 4].transpose(2, 0, 1)[None]


@style.look()
def run(show: Show, content=None, manner=None, size=128, steps=(600, 250)) -> Results:
    from matplotlib.cbook import get_sample_data

    content = content or get_sample_data("grace_hopper.jpg", asfileobj=False)
    content = data.read_image(content, (3, size, size))
    manner = waves(size) if manner is None else data.read_image(manner, (3, size, size))
    accuracy = train(model := Features(), data.load("cifar10_subset", "train"), steps[0])
    show.say("The network is right on {:.0%} of what it learns from.", accuracy)
    result, history = transfer(model, content, manner, steps[1])
    rows = [[i, *history[i]] for i in np.linspace(0, steps[1] - 1, 5).astype(int).tolist()]
    show.table("What differs, as a share", ["step", "from the content", "from the style"], rows)
    pictures = {"content": content, "style": manner, "result": result}
    figure = style.new_figure(9.6, 3.6)
    for place, (name, picture) in enumerate(pictures.items()):
        axes = style.add_axes(figure, 0.3 + 3.1 * place, 0.2, 2.8, 2.8)
        axes.imshow(picture[0].transpose(1, 2, 0), interpolation="bilinear")
        axes.set_title(show.text(name))
        axes.axis("off")
    show.figure("style_transfer.png", figure)
    return {"result": result, "history": history, "accuracy": accuracy}
