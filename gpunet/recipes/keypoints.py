"""Key points: where are the joints of a figure?

A network looks at a picture and answers with two numbers for each point. It learns from drawn
people, or from photographs of faces in the format of Kaggle's "Facial Keypoints Detection".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gpunet
from gpunet import nn, optim
from gpunet.errors import DataError
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("K3",)
MINUTES = 1
INPUTS = "training.csv of Kaggle's facial-keypoints-detection"

BONES = ((0, 1), (1, 2), (1, 3), (3, 4), (1, 5), (5, 6), (2, 7), (7, 8), (2, 9), (9, 10))


def read_csv(path):
    """Pictures (N, 1, S, S) in [0, 1] and points (N, K, 2) in 0..1, NaN where one was not marked.

    A row has x and y of each point, then the grey values of the picture, parted by spaces.
    """
    try:
        _, *rows = [line.split(",") for line in Path(path).read_text("ascii").splitlines()]
        pixels = np.array([row[-1].split() for row in rows], np.float32)
        points = np.array([[float(cell or "nan") for cell in row[:-1]] for row in rows], np.float32)
        size = round(pixels.shape[1] ** 0.5)
        return pixels.reshape(-1, 1, size, size) / 255, points.reshape(len(rows), -1, 2) / size
    except (OSError, ValueError, IndexError) as error:
        rule = f"{path} must have x and y of each point and a square picture in each row"
        raise DataError("keypoints", f"{rule}: {error}") from error


def person(rng, size=48):
    """A figure whose joints are turned at random: picture (1, size, size), points (11, 2)."""
    hip, lean = rng.uniform((0.42, 0.5), (0.58, 0.66)), rng.normal(0, 0.15)
    up = np.array([np.sin(lean), -np.cos(lean)])
    points = [hip + 0.37 * up, hip + 0.24 * up, hip]  # head, neck, hip
    for start, length, angle in ((1, 0.12, 0.8), (1, 0.12, -0.8), (2, 0.15, 0.4), (2, 0.15, -0.4)):
        end = points[start]
        for bend in (0.4, 0.6):  # upper and lower arm, thigh and shin
            angle += rng.normal(0, bend)
            end = end + length * np.array([np.sin(angle), np.cos(angle)])
            points.append(end)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    near = np.hypot(x - points[0][0], y - points[0][1]) - 0.055  # the distance from the head
    for a, b in BONES:
        (ax, ay), (dx, dy) = points[a], points[b] - points[a]
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx**2 + dy**2), 0, 1)
        near = np.minimum(near, np.hypot(x - ax - t * dx, y - ay - t * dy))
    ink = np.clip(1.4 - near * size, 0, 1) + rng.normal(0, 0.08, (size, size))
    return ink[None].astype(np.float32), np.array(points, np.float32)


def network(size, points):
    """Three convolutions, each with a pooling, and two dense layers; 2 numbers in 0..1 a point."""
    layers: list[nn.Module] = []
    for a, b in ((1, 16), (16, 32), (32, 48)):
        layers += [nn.Conv2d(a, b, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(48 * (size // 8) ** 2, 128), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 2 * points), nn.Unflatten(1, (points, 2)))


def train(model, pictures, points, steps):
    """The squared distance of the points that are marked."""
    rng = np.random.default_rng(1)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        chosen = rng.integers(0, len(pictures), 32)
        marked = ~np.isnan(points[chosen])
        wanted = gpunet.tensor(np.where(marked, points[chosen], 0))
        distance = (model(gpunet.tensor(pictures[chosen])) - wanted) * gpunet.tensor(marked)
        optimizer.zero_grad()
        ((distance**2).sum() / marked.sum()).backward()
        optimizer.step()


def run(show: Show, path=None, people=3000, steps=1200) -> Results:
    if path is None:
        rng = np.random.default_rng(0)
        drawn = zip(*(person(rng) for _ in range(people)), strict=True)
        show.say("No photographs were given: the network learns from {} drawn people.", people)
    pictures, points = map(np.stack, drawn) if path is None else read_csv(path)
    test = len(pictures) // 10
    model = network(pictures.shape[-1], points.shape[1])
    train(model, pictures[test:], points[test:], steps)
    found = model(gpunet.tensor(pictures[:test])).detach().numpy()
    distance = np.linalg.norm(found - points[:test], axis=2)
    middle = np.linalg.norm(np.nanmean(points[test:], 0) - points[:test], axis=2)
    rows = [
        [show.text(name), np.nanmean(d), *(f"{np.mean(d[d >= 0] < r):.0%}" for r in (0.05, 0.1))]
        for name, d in (("network", distance), ("always the mean place", middle))
    ]
    columns = "answer", "mean distance (sides)", "PCK 0.05", "PCK 0.1"
    show.table("Points of the test pictures", columns, rows)
    draw(show, pictures, found, BONES if path is None else ())
    return {"distance": np.nanmean(distance), "mean place": np.nanmean(middle), "found": found}


@style.look()
def draw(show, pictures, found, bones):
    figure = style.new_figure(9.4, 3.7)
    for i, points in enumerate(found[:10] * pictures.shape[-1] - 0.5):
        axes = style.add_axes(figure, 0.3 + 1.8 * (i % 5), 1.75 - 1.65 * (i // 5), 1.6, 1.6)
        axes.imshow(pictures[i, 0], cmap="gray_r" if bones else "gray", vmin=0, vmax=1)
        for bone in bones:
            axes.plot(*points[list(bone)].T, color=style.BLUE, linewidth=1.2)
        axes.plot(*points.T, ".", color=style.VERMILLION, markersize=5)
        axes.axis("off")
    style.add_note(figure, 0.3, 0.25, show.text("Test pictures, with the points found"), style.INK)
    show.figure("keypoints.png", figure)
