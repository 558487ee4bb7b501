"""Segmentation: the Dice coefficient, the figures of a data set, and a U-Net that learns."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import gpunet
from gpunet import backend, models, nn
from gpunet.data import DataLoader, Dataset, describe
from gpunet.optim import AdamW
from gpunet.train import Trainer
from gpunet.train.config import TrainConfig
from gpunet.train.tasks import Segmentation
from gpunet.train.tasks.segmentation import dice


def squares(count: int) -> Dataset:
    """Bright squares somewhere in noise; where they are is the target."""
    rng = np.random.default_rng(count)
    inputs = rng.uniform(0, 0.6, (count, 1, 16, 16)).astype(np.float32)
    targets = np.zeros((count, 16, 16), np.int64)
    for picture, mask in zip(inputs[:, 0], targets, strict=True):
        top, left = rng.integers(0, 10, 2)
        mask[top : top + 6, left : left + 6] = 1
        picture += 0.4 * mask.astype(np.float32)
    return Dataset("squares", inputs, targets, ("ground", "square"))


class Fixed(nn.Module):
    """Scores that do not depend on the input but for its first value: the number of the picture."""

    def __init__(self, scores: np.ndarray):
        self.scores, self.some = scores, nn.Parameter(gpunet.zeros(1))

    def forward(self, x):
        return gpunet.tensor(self.scores[x.numpy()[:, 0, 0, 0].astype(int)])


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        ([0, 0, 1, 1], [0, 1, 1, 0], 0.5),
        ([0, 0, 1, 1], [0, 0, 1, 1], 1.0),
        ([0, 0, 1, 1], [1, 1, 0, 0], 0.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 1, 0, 0], 0.0),
        ([0, 1, 2, 2], [0, 1, 2, 0], (1 + 2 / 3) / 2),
        ([0, 0, 2, 2], [0, 0, 2, 2], 1.0),  # class 1 is nowhere and does not count
        ([0, 1, 2, 2], [0, 2, 2, 2], (0 + 4 / 5) / 2),
    ],
)
def test_dice(truth, found, expected) -> None:
    both = (np.reshape(values, (1, 2, 2)) for values in (truth, found))
    assert dice(*both, classes=3) == pytest.approx(expected)


def test_figures_are_means_over_pictures() -> None:
    data = squares(11)  # a full batch of 8, and a smaller one
    inputs = data.inputs.copy()
    inputs[:, 0, 0, 0] = np.arange(11)
    scores = np.random.default_rng(3).standard_normal((11, 2, 16, 16)).astype(np.float32)
    data = replace(data, inputs=inputs)
    result = Segmentation().evaluate(Fixed(scores), data, backend.cpu)
    exact = scores.astype(np.float64)
    chosen = np.take_along_axis(exact, data.targets[:, None], 1)[:, 0]
    assert result.figures["loss"] == pytest.approx(
        (np.logaddexp(*exact.swapaxes(0, 1)) - chosen).mean()
    )
    found = scores[:, 1] > scores[:, 0]
    np.testing.assert_array_equal(result.outputs, found)
    both = (found & (data.targets == 1)).sum((1, 2))
    either = (found | (data.targets == 1)).sum((1, 2))
    assert result.figures["dice"] == pytest.approx((2 * both / (either + both)).mean())
    assert result.figures["iou"] == pytest.approx((both / either).mean())
    assert list(result.figures) == ["loss", "dice", "iou"]


def test_the_table_has_a_row_a_class() -> None:
    data = squares(3)
    scores = np.stack([1 - data.targets, data.targets], 1).astype(np.float32)
    scores[0, 0, 0] = 2  # the first row of the first picture is taken for ground
    inputs = data.inputs.copy()
    inputs[:, 0, 0, 0] = np.arange(3)
    task, data = Segmentation(), replace(data, inputs=inputs)
    table = task.table(task.evaluate(Fixed(scores), data, backend.cpu), data)
    missed = int(data.targets[0, 0].sum())
    assert table.columns == ("class", "share of pixels", "recall", "precision")
    assert table.rows[1] == ("square", f"{36 / 256:.2%}", f"{1 - missed / 108:.2%}", "100.00%")
    worst = 2 * (36 - missed) / (72 - missed)
    assert table.summary == f"Dice of the worst of 3 pictures: {worst:.2%}"


def test_a_small_unet_learns_where_squares_are(tmp_path) -> None:
    train, test = squares(48), squares(16)
    model = models.UNet(channels=(4, 8, 8))
    loader = DataLoader(train, 8, shuffle=True)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    trainer = Trainer(Segmentation(), model, optimizer, loader, ("test", test), TrainConfig(8, 8))
    trainer.fit()
    figures = [record["test_dice"] for record in trainer.progress.history]
    assert figures[0] < 0.8
    assert figures[-1] > 0.85
    assert 0 < trainer.progress.history[-1]["train_dice"] <= 1
    written = trainer.task.pictures(
        model, trainer.evaluation, test, trainer.progress.history, tmp_path, seed=1
    )
    names = {"learning_curve.png", "filters.png", "feature_maps.png", "overlays.png"}
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()} == names


def test_a_prediction_is_the_share_of_each_class(tmp_path) -> None:
    class Bright(nn.Module):
        def __init__(self):
            self.some = nn.Parameter(gpunet.zeros(1))

        def forward(self, x):
            return gpunet.cat([1 - x, x], 1)

    picture = np.zeros((256, 256), np.uint8)
    picture[:64] = 255
    Image.fromarray(picture).save(tmp_path / "cells.png")
    answer = Segmentation().predict(
        Bright(), describe("nuclei"), str(tmp_path / "cells.png"), backend.cpu
    )
    assert answer.answer == "25.0% nucleus"
    assert answer.probabilities == {"background": 0.75, "nucleus": 0.25}
