"""A small causal language model: what it learns of Shakespeare in a minute.

Two blocks of attention read windows of 64 letters and guess the letter that comes next, at every
place from those before it. They soon do better than a table of pairs of letters, and then write.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, models, nn, optim, text
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("J1",)


def train(model, dataset, steps):
    rng = np.random.default_rng(1)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, cycle_momentum=False)
    losses = []
    for _ in range(steps):
        chosen = rng.integers(0, len(dataset), 12)
        scores = model(gpunet.tensor(dataset.inputs[chosen]))
        targets = gpunet.tensor(dataset.targets[chosen].reshape(-1))
        loss = F.cross_entropy(scores.reshape(len(targets), -1), targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def pair_entropy(train_set, test_set):
    """Nats a letter of a table of pairs: −mean log p(next | letter), counted with one added."""
    size = len(train_set.classes)
    counts = np.ones((size, size))
    np.add.at(counts, (train_set.inputs, train_set.targets), 1)
    p = counts / counts.sum(1, keepdims=True)
    return -np.log(p[test_set.inputs, test_set.targets]).mean()


def run(show: Show) -> Results:
    train_set, test_set = (data.load("tinyshakespeare", split, 64) for split in ("train", "test"))
    vocabulary = text.CharVocabulary(train_set.classes)
    model = models.GPT(len(vocabulary), block_size=64, n_layer=2, n_head=4, n_embd=96)
    losses = train(model, train_set, steps=800)
    with gpunet.no_grad():
        scores = model(gpunet.tensor(test_set.inputs[:400]))
        targets = gpunet.tensor(test_set.targets[:400].reshape(-1))
        test_loss = F.cross_entropy(scores.reshape(len(targets), -1), targets).item()
    pairs = pair_entropy(train_set, test_set)
    show.say(
        "Test loss {:.2f} nats a letter; pairs of letters {:.2f}, by chance {:.2f}.",
        *(test_loss, pairs, np.log(len(vocabulary))),
    )
    prompt = gpunet.tensor(vocabulary.encode("\nROMEO:\n")[None])
    written = text.generate(model.step, prompt, 300, temperature=0.8)[0]
    sample = vocabulary.decode(written)
    show.say("What it writes after ROMEO:\n\n{}", sample)
    draw(show, losses, pairs)
    return {"test loss": test_loss, "pairs": pairs, "losses": losses, "sample": sample}


@style.look()
def draw(show, losses, pairs):
    figure = style.new_figure(6.4, 3.4)
    axes = style.add_axes(figure, 0.7, 0.6, 5.4, 2.2)
    smooth = np.convolve(losses, np.ones(20) / 20, "valid")
    axes.plot(range(20, len(losses) + 1), smooth, color=style.BLUE)
    axes.axhline(pairs, color=style.VERMILLION, linestyle="--")
    caption = show.text("pairs of letters, counted")
    axes.text(len(losses), pairs + 0.04, caption, color=style.VERMILLION, ha="right")
    axes.set(title=show.text("Loss (nats a letter, mean of 20 batches)"), xlabel=show.text("batch"))
    axes.grid(axis="y")
    show.figure("loss.png", figure)
