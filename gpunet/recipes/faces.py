"""Face recognition: who is it?

A network learns to turn faces into arrows of 64 numbers, which point the same way for one person.
A new face is taken for the person whose known face has the nearest arrow, and a threshold of that
distance tells whether it is somebody known at all.

The Database of Faces (att_faces.zip, www.cl.cam.ac.uk/research/dtg/attarchive/facedatabase.html)
and Labeled Faces in the Wild (lfw.tgz, vis-www.cs.umass.edu/lfw) are such folders once unpacked.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim
from gpunet import functional as F
from gpunet.data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from gpunet.errors import DataError
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("K2",)
MINUTES = 1
INPUTS = "a folder with a folder of pictures for each person (faces/ada/1.jpg, ...)"
WHERE = "unpack att_faces.zip (cl.cam.ac.uk) or lfw.tgz (vis-www.cs.umass.edu), or take your own"
FEWEST = 5  # pictures of a person; who has fewer is left out


def parts(faces):
    """The known faces, to learn from, and the new ones: three in ten of each person's pictures."""
    people = np.flatnonzero(np.bincount(faces.targets) >= FEWEST)
    if (n := len(people)) < 2:
        raise DataError("faces", f"people with {FEWEST} pictures must be 2 or more, got {n}", WHERE)
    rng = np.random.default_rng(1)
    own = [rng.permutation(np.flatnonzero(faces.targets == p)) for p in people]
    new, known = zip(*(np.split(each, [len(each) * 3 // 10]) for each in own), strict=True)
    names = tuple(faces.classes[p].replace("_", " ") for p in people)

    def part(pictures):
        labels = np.repeat(np.arange(len(people)), [len(each) for each in pictures])
        return data.Dataset(faces.name, faces.inputs[np.concatenate(pictures)], labels, names)

    return part(known), part(new)


def train(faces, size, steps):
    """Scores are 16·cos of the angle to each person's arrow: Wang et al., arXiv:1704.06369."""
    layers: list[nn.Module] = [nn.InstanceNorm2d(1)]
    for a, b in ((1, 16), (16, 32), (32, 48)):
        layers += [nn.Conv2d(a, b, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * (size // 8) ** 2, 64))
    people = nn.Parameter(gpunet.randn(len(faces.classes), 64))
    optimizer = optim.AdamW([*model.parameters(), people], lr=1e-3)
    change = Compose([RandomCrop(size, padding=3), RandomHorizontalFlip()])
    loader = data.DataLoader(faces, 32, shuffle=True, transform=change)
    for _ in range(1 + steps * 32 // len(faces)):
        for x, targets in loader:
            cosines = F.normalize(model(gpunet.tensor(x))) @ F.normalize(people).T
            loss = F.cross_entropy(16 * cosines, gpunet.tensor(targets))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@gpunet.no_grad()
def arrows(model, faces):
    """(N, 64), each of length 1."""
    batches = data.DataLoader(faces, 256)
    return np.concatenate([F.normalize(model(gpunet.tensor(x))).numpy() for x, _ in batches])


def threshold(same, other):
    """The distance that parts the two best, midway between two of them."""
    found = np.unique([same, other])
    middles = (found[1:] + found[:-1]) / 2
    return middles[np.argmax([np.mean(same < t) - np.mean(other < t) for t in middles])]


def run(show: Show, path=None, size=48, steps=600) -> Results:
    if path is None:
        raise DataError("faces", f"--input must be {INPUTS}, got none", WHERE)
    known, new = parts(data.image_folder(path, (1, size, size)))
    model = train(known, size, steps)
    distances = 1 - arrows(model, new) @ arrows(model, known).T
    nearest, own = distances.argmin(1), new.targets[:, None] == known.targets
    right = known.targets[nearest] == new.targets
    share = np.array([right[new.targets == p].mean() for p in range(len(new.classes))])
    rows = [[new.classes[p], f"{share[p]:.0%}"] for p in np.argsort(share, kind="stable")[:10]]
    show.table("Who is recognised least", ("person", "new pictures recognised"), rows)
    show.say("Of {} new pictures, {:.1%} are recognised.", len(new), right.mean())
    same, other = (np.where(mask, distances, np.inf).min(1) for mask in (own, ~own))
    kinds = (show.text("the same person"), same), (show.text("somebody else"), other)
    rows = [[kind, *np.quantile(found, (0.05, 0.5, 0.95))] for kind, found in kinds]
    show.table("Distance of the nearest known picture", ("whose", "5 %", "median", "95 %"), rows)
    limit = threshold(same[::2], other[::2])
    verified = np.mean([same[1::2] < limit, other[1::2] >= limit])
    show.say("Threshold {:.2f}, from half of them: right for {:.1%} of the rest.", limit, verified)
    draw(show, known, new, nearest, right)
    return {"accuracy": share, "same": same, "other": other, "limit": limit, "verified": verified}


@style.look()
def draw(show, known, new, nearest, right):
    """Fifteen new pictures, and beside each the known one that it is most like."""
    figure = style.new_figure(9.4, 4.6)
    style.add_note(figure, 0.3, 0.3, show.text("New pictures and the nearest known"), style.INK)
    for i, n in enumerate(np.linspace(0, len(new) - 1, 15).astype(int)):
        left, top = 0.3 + 1.8 * (i % 5), 0.7 + 1.3 * (i // 5)
        for x, picture in ((left, new.inputs[n]), (left + 0.82, known.inputs[nearest[n]])):
            axes = style.add_axes(figure, x, 3.7 - top, 0.8, 0.8)
            axes.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
            axes.axis("off")
        colour = style.GREY if right[n] else style.VERMILLION
        style.add_note(figure, left, top, known.classes[known.targets[nearest[n]]][:25], colour)
        truth = "" if right[n] else f"≠ {new.classes[new.targets[n]][:23]}"
        style.add_note(figure, left, top + 1.05, truth, colour)
    show.figure("faces.png", figure)
