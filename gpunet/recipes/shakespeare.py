"""A small causal language model: what it learns of Shakespeare in a minute.

Two blocks of attention read windows of 64 letters and guess the letter that comes next, at every
place from those before it. They soon do better than a table of pairs of letters, and then write.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, models, nn, optim, text, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

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
    smooth = np.convolve(losses, np.ones(20) / 20, "valid")
    counted = np.full_like(smooth, pairs)
    viz.lines(
        {
            show.text("Loss (nats a letter, mean of 20 batches)"): {
                show.text("transformer"): smooth,
                show.text("pairs of letters, counted"): counted,
            }
        },
        show.path("loss.png"),
        x=range(20, len(losses) + 1),
        x_label=show.text("batch"),
    )
    return {"test loss": test_loss, "pairs": pairs, "losses": losses, "sample": sample}
