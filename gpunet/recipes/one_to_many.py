"""One to many: a picture in, its name out, letter by letter.

A dense layer turns the picture of a digit into the first state of a GRU, which then writes a word:
each letter goes in again to get the next. It learns by teacher forcing, where the letter that goes
in is the right one, whatever was written.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim, text
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("I2",)

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
START, STOP = "<", ">"


class Captioner(nn.Module):
    """Pictures (N, 1, 8, 8) and letters (N, T) -> scores (N, T, letters) of the letters to come."""

    def __init__(self, letters):
        self.look = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.Tanh())
        self.embedding = nn.Embedding(letters, 16)
        self.gru = nn.GRU(16, 128, batch_first=True)
        self.scores = nn.Linear(128, letters)

    def first_state(self, pictures):
        return self.look(pictures).unsqueeze(0)

    def forward(self, pictures, letters):
        return self.scores(self.gru(self.embedding(letters), self.first_state(pictures))[0])

    def step(self, letters, state):
        """One letter more, (N,), for `text.generate`."""
        h, state = self.gru(self.embedding(letters).unsqueeze(1), state)
        return self.scores(h[:, 0]), state


def train(model, dataset, words, epochs=16):
    """Teacher forcing: the right letters go in, and those that follow them are the targets."""
    loader = data.DataLoader(dataset, 64, shuffle=True, seed=1)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for pictures, digits in loader:
            word = words[digits]
            scores = model(gpunet.tensor(pictures), gpunet.tensor(word[:, :-1]))
            targets = gpunet.tensor(word[:, 1:].reshape(-1))
            loss = F.cross_entropy(scores.reshape(len(targets), -1), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def run(show: Show) -> Results:
    train_set, test_set = data.load("digits", "train"), data.load("digits", "test")
    names = [START + show.text(name) + STOP for name in NAMES]
    letters = text.CharVocabulary.of("".join(names))
    stop = letters.number(STOP)
    words, _ = text.pad([letters.encode(name) for name in names], stop)
    model = Captioner(len(letters))
    train(model, train_set, words)

    with gpunet.no_grad():
        state = model.first_state(gpunet.tensor(test_set.inputs))
    start = gpunet.full((len(test_set), 1), letters.number(START), dtype="int64")
    length = words.shape[1] - 1
    written = text.generate(model.step, start, length, state, temperature=0, stop=stop)
    written = [letters.decode(row).partition(STOP)[0] for row in written]
    expected = [names[digit][1:-1] for digit in test_set.targets]
    right = np.array([a == b for a, b in zip(written, expected, strict=True)])
    words_known = np.mean([word in {name[1:-1] for name in names} for word in written])

    wrong = 6 + np.flatnonzero(~right[6:])[:4]
    rows = [[int(i), expected[i], written[i]] for i in (*range(6), *wrong)]
    show.table("What is written for pictures of the test set", ["picture", "is", "written"], rows)
    show.say(
        "{:.1%} of the {:,} test pictures get their name, {:.1%} some name of a digit.",
        *(right.mean(), len(right), words_known),
    )
    draw(show, test_set.inputs, written, right)
    return {"accuracy": right.mean(), "words": words_known, "written": written}


@style.look()
def draw(show, pictures, written, right):
    """A page of pictures with what was written for them; mistakes in vermillion."""
    chosen = [*np.flatnonzero(right)[:20], *np.flatnonzero(~right)[:4]]
    figure = style.new_figure(9.2, 3.9)
    for place, which in enumerate(chosen):
        row, column = divmod(place, 8)
        axes = style.add_axes(figure, 0.3 + 1.1 * column, 2.4 - 1.08 * row, 0.75, 0.75)
        axes.imshow(1 - pictures[which, 0], cmap="gray", vmin=0, vmax=1)
        axes.axis("off")
        colour = style.INK if right[which] else style.VERMILLION
        axes.set_title(written[which], color=colour, loc="center", pad=3, fontweight="normal")
    style.add_title(figure, show.text("Names written from pictures; mistakes in vermillion"))
    show.figure("names.png", figure)
