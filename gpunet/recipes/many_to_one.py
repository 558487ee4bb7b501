"""Many to one: a digit read line by line.

An LSTM reads the eight lines of a picture from top to bottom, and answers from its last state.
What it would say after each line shows how it makes up its mind.
"""

from __future__ import annotations

import gpunet
from gpunet import data, nn, optim
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("I2",)

SHOWN = (0, 3, 5, 8)  # pictures of the test set


class Reader(nn.Module):
    """x (N, 8, 8), eight lines of eight pixels -> scores (N, 10) of the digits."""

    def __init__(self):
        self.lstm = nn.LSTM(8, 64, batch_first=True)
        self.scores = nn.Linear(64, 10)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.scores(h[0])  # only the last state

    def after_each_line(self, x):
        """(N, 8, 10) what it would answer after 1, 2, ... lines."""
        h, _ = self.lstm(x)
        return F.softmax(self.scores(h), -1)


def train(model, dataset, epochs=12):
    loader = data.DataLoader(dataset, 64, shuffle=True, seed=1)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(epochs):
        for pictures, digits in loader:
            scores = model(gpunet.tensor(pictures[:, 0]))
            loss = F.cross_entropy(scores, gpunet.tensor(digits))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def run(show: Show) -> Results:
    train_set, test_set = data.load("digits", "train"), data.load("digits", "test")
    model = Reader()
    train(model, train_set)
    with gpunet.no_grad():
        p = model.after_each_line(gpunet.tensor(test_set.inputs[:, 0])).numpy()
    right = (p.argmax(2) == test_set.targets[:, None]).mean(0)
    rows = [[line + 1, f"{share:.1%}"] for line, share in enumerate(right)]
    show.table("Test digits recognised", ["lines read", "right"], rows)
    show.say("From the last state, {:.1%} of the test digits are right.", right[-1])
    draw(show, test_set, p)
    return {"accuracy": right[-1], "after each line": right}


@style.look()
def draw(show, test_set, p):
    """Pictures, and beside each line the probabilities of the digits once it is read."""
    figure = style.new_figure(9.6, 2.9)
    for place, which in enumerate(SHOWN):
        left = 0.4 + 2.3 * place
        picture = style.add_axes(figure, left, 0.6, 0.6, 1.6)
        picture.imshow(1 - test_set.inputs[which, 0], cmap="gray", aspect="auto", vmin=0, vmax=1)
        belief = style.add_axes(figure, left + 0.65, 0.6, 1.35, 1.6)
        belief.imshow(p[which], cmap=style.shades(style.BLUE), aspect="auto", vmin=0, vmax=1)
        picture.set(xticks=[], yticks=range(8), yticklabels=range(1, 9))
        belief.set(xticks=range(10), yticks=[])
        belief.set_xlabel(show.text("digit"))
        if place == 0:
            picture.set_ylabel(show.text("line"))
        for axes in (picture, belief):
            for spine in axes.spines.values():
                spine.set(visible=True, color=style.LIGHT)
    style.add_title(figure, show.text("Probability of each digit after each line"))
    show.figure("line_by_line.png", figure)
