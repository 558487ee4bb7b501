"""Handwritten digits: probabilities, the answer, and what is taken for what.

LeNet-5 looks once at the 60,000 digits of MNIST, and then knows about 98 of 100 that it has never
seen. Softmax makes probabilities of its ten scores, and the answer is the digit with the largest.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, models, optim, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

ROWS = ("H1",)


def train(model, dataset, batch_size=64):
    """One epoch of Adam; the learning rate goes up first, then down to nothing."""
    loader = data.DataLoader(dataset, batch_size, shuffle=True, seed=1)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, len(loader), cycle_momentum=False)
    for pictures, digits in loader:
        loss = F.cross_entropy(model(gpunet.tensor(pictures)), gpunet.tensor(digits))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@gpunet.no_grad()
def predict(model, dataset):
    """(N, 10) the probability of each digit, softmax(scores), for each picture."""
    batches = data.DataLoader(dataset, 500)
    scores = [model(gpunet.tensor(pictures)) for pictures, _ in batches]
    return F.softmax(F.concat(scores), 1).numpy()


def run(show: Show) -> Results:
    train_set, test_set = data.load("mnist", "train"), data.load("mnist", "test")
    model = models.LeNet5()
    train(model, train_set)
    probabilities = predict(model, test_set)
    answers, truth = probabilities.argmax(1), test_set.targets
    accuracy = np.mean(answers == truth)

    wrong = np.flatnonzero(answers != truth)
    doubtful = wrong[probabilities[wrong].max(1).argmin()]
    columns = ["digit", "a picture", "one it is in doubt about"]
    rows = [[k, probabilities[0, k], probabilities[doubtful, k]] for k in range(10)]
    show.table("Probabilities of two pictures, by softmax", columns, rows)
    show.say(
        "The first is a {}, the answer {}. The other is a {}, the answer {}.",
        *(truth[0], answers[0], truth[doubtful], answers[doubtful]),
    )
    recall = [[k, int((truth == k).sum()), np.mean(answers[truth == k] == k)] for k in range(10)]
    show.table("Digits of the test set", ["digit", "pictures", "share recognised"], recall)
    show.say("{:.2%} of the {:,} test pictures are recognised.", accuracy, len(truth))

    viz.prediction_page(
        test_set.inputs,
        truth,
        probabilities,
        test_set.classes,
        show.path("digits.png"),
        sections=viz.choose(truth, probabilities, 32, seed=1, text=show.text),
        text=show.text,
    )
    path = show.path("confusion.png")
    viz.confusion_matrix(truth, answers, test_set.classes, path, text=show.text)
    return {"accuracy": accuracy, "probabilities": probabilities, "answers": answers}
