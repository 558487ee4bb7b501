"""Learning curves show what was measured, and mark the right epoch."""

import math
import os

import numpy as np
import pytest
from PIL import Image

from gpunet.errors import ArgumentError
from gpunet.viz import compare_curves, learning_curve, overfitting_point
from gpunet.viz.curves import _draw, _draw_runs


def history(epochs: int, parts=("train", "test"), accuracy: bool = True, seed: int = 0) -> list:
    """A run as a small network on an easy task has it: errors fall to a noisy floor."""
    generator = np.random.default_rng(seed)
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "seconds": 0.4}
        for floor, part in zip((0.0, 0.02, 0.021), parts, strict=False):
            error = 0.12 * math.exp(-6 * epoch / epochs) + floor * (1 + 0.1 * generator.normal())
            row[f"{part}_loss"] = 3.2 * error + 1e-3
            if accuracy:
                row[f"{part}_accuracy"] = 1 - round(1797 * error) / 1797
        rows.append(row)
    return rows


def line(axes, label):
    """The points of one line, as drawn."""
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return [(int(x), float(y)) for x, y in found.get_xydata()]


def test_the_lines_are_the_history():
    rows = history(30)
    loss, error = _draw(rows).axes
    assert (loss.get_title("left"), error.get_title("left")) == ("Loss", "Error (%)")
    for part in ("train", "test"):
        assert line(loss, part) == [(row["epoch"], row[f"{part}_loss"]) for row in rows]
        expected = [100 * (1 - row[f"{part}_accuracy"]) for row in rows]
        assert [x for x, _ in line(error, part)] == list(range(1, 31))
        np.testing.assert_allclose([y for _, y in line(error, part)], expected, atol=1e-9)


def test_the_first_epoch_with_the_least_test_error_is_marked():
    rows = history(6)
    for row, accuracy in zip(rows, (0.9, 0.95, 0.97, 0.96, 0.97, 0.94), strict=True):
        row["test_accuracy"] = accuracy
        row["test_loss"] = 1 / row["epoch"]  # would make the last one best
    loss, error = _draw(rows).axes
    assert line(loss, "best") == [(3, rows[2]["test_loss"])]
    assert line(error, "best") == [(3, pytest.approx(3.0))]
    assert error.get_title("right") == "○ best on test: 3.00 %, epoch 3"
    assert loss.get_title("right") == ""


def test_the_validation_part_decides_where_there_is_one():
    rows = history(5, parts=("train", "validation", "test"))
    for row in rows:
        row["validation_accuracy"] = 0.9 + 0.01 * (row["epoch"] == 2)
        row["test_accuracy"] = 0.9 + 0.01 * (row["epoch"] == 4)
    axes = _draw(rows).axes[1]
    assert line(axes, "best") == [(2, pytest.approx(9.0))]
    assert axes.get_title("right") == "○ best on validation: 9.00 %, epoch 2"


def test_a_regression_has_one_panel_and_its_loss_decides():
    rows = history(10, accuracy=False)
    for row in rows:
        row["test_loss"] = 1.0 + abs(row["epoch"] - 7)
    (axes,) = _draw(rows).axes
    assert axes.get_title("left") == "Loss"
    assert axes.get_title("right") == "○ best on test: 1.00, epoch 7"
    assert line(axes, "best") == [(7, 1.0)]


def test_without_any_held_out_data_no_epoch_is_best():
    (axes,) = _draw([{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}]).axes
    assert [drawn.get_label() for drawn in axes.lines] == ["train"]
    assert axes.get_title("right") == ""


def test_what_was_not_measured_or_not_finite_is_left_out():
    rows = history(4)
    rows[0]["test_loss"], rows[1]["test_loss"] = math.inf, math.nan
    rows[2]["test_accuracy"] = None
    del rows[3]["train_loss"]
    loss, error = _draw(rows).axes
    assert [x for x, _ in line(loss, "test")] == [3, 4]
    assert [x for x, _ in line(loss, "train")] == [1, 2, 3]
    assert [x for x, _ in line(error, "test")] == [1, 2, 4]


def test_each_line_is_named_at_its_end():
    rows = history(8)
    rows[-1] |= {"train_loss": 0.2, "train_accuracy": 0.925, "test_loss": 0.25}
    loss, error = _draw(rows).axes
    named = {text.get_text(): text.xy for text in loss.texts}
    assert named == {"train 0.200": (8, 0.2), "test 0.250": (8, 0.25)}
    assert "train 7.50 %" in [text.get_text() for text in error.texts]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ((1.0, 0.2), "linear"),
        ((1.0, 0.1), "log"),
        ((1.0, 0.01, 0.0), "symlog"),
        ((1.0, -1.0), "linear"),
        ((0.0, 0.0), "linear"),
        ((5.0, 5.0), "linear"),
    ],
)
def test_the_scale_fits_the_values(values, scale):
    rows = [{"epoch": epoch, "test_loss": value} for epoch, value in enumerate(values, 1)]
    (axes,) = _draw(rows).axes
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low <= min(values) <= max(values) <= high
    if scale != "linear":
        ticks = list(axes.get_yticks())
        assert 0.1 in ticks
        assert (0.0 in ticks) == (scale == "symlog")
        assert axes.yaxis.get_major_formatter()(0.01) == "0.01"


def test_rounding_in_a_mean_over_batches_is_no_error():
    rows = history(5)
    for row in rows:
        row["train_accuracy"] = 1 - 2.0**-53
    assert {y for _, y in line(_draw(rows).axes[1], "train")} == {0.0}


def test_a_single_epoch_is_drawn_above_zero():
    row = {"train_loss": 0.31, "test_loss": 0.35, "train_accuracy": 0.9, "test_accuracy": 0.89}
    for axes in _draw([{"epoch": 1} | row]).axes:
        assert axes.get_ylim()[0] == 0
        assert axes.get_xlim() == (0.5, 1.5)
    far = [{"epoch": 1, "train_loss": 50.0, "test_loss": 0.5}]
    assert _draw(far).axes[0].get_yscale() == "log"


@pytest.mark.parametrize("epochs", [1, 2, 12, 30, 200])
@pytest.mark.parametrize("parts", [("train", "test"), ("train", "validation", "test")])
def test_nothing_is_cut_off_or_covered(assert_readable, epochs, parts):
    assert_readable(_draw(history(epochs, parts)))


def test_nothing_is_cut_off_where_the_lines_end_in_the_same_place(assert_readable):
    row = {f"{part}_loss": 0.00012345 for part in ("train", "validation", "test")}
    row |= {f"{part}_accuracy": 0.0 for part in ("train", "validation", "test")}
    assert_readable(_draw([row | {"epoch": 999}, row | {"epoch": 1000}]))


@pytest.mark.parametrize(("accuracy", "panels"), [(True, 2), (False, 1)])
def test_the_file(tmp_path, accuracy, panels):
    path = learning_curve(history(30, accuracy=accuracy), tmp_path / "learning_curve.png")
    assert os.listdir(tmp_path) == ["learning_curve.png"]
    with Image.open(path) as image:
        assert image.size == (int(5.35 * panels * 150), int(3.4 * 150))


@pytest.mark.parametrize("rows", [[], [{"epoch": 1}], [{"epoch": 1, "train_loss": math.nan}]])
def test_a_history_without_loss_is_refused(rows, tmp_path):
    with pytest.raises(ArgumentError, match=f"must hold a loss, got {len(rows)} epochs"):
        learning_curve(rows, tmp_path / "a.png")


# ---- several runs --------------------------------------------------------------------------------


def test_the_dice_coefficient_has_the_panel_of_the_accuracy():
    rows = [{"epoch": n, "test_loss": 1 / n, "test_dice": 1 - 0.5 / n} for n in (1, 2, 3)]
    _, overlap = _draw(rows).axes
    assert overlap.get_title("left") == "1 − Dice (%)"
    assert line(overlap, "test") == [(n, pytest.approx(50 / n)) for n in (1, 2, 3)]


def test_runs_are_compared_on_what_was_held_out():
    runs = {"one": history(8), "two": history(5, ("train", "validation", "test"), seed=1)}
    loss, error = _draw_runs(runs).axes
    assert line(loss, "one") == [(row["epoch"], row["test_loss"]) for row in runs["one"]]
    expected = [100 * (1 - row["validation_accuracy"]) for row in runs["two"]]
    np.testing.assert_allclose([y for _, y in line(error, "two")], expected, atol=1e-9)
    assert loss.get_title("right") == "thick: test, validation, thin: train"
    thin = [each for each in loss.lines if each.get_linewidth() < 1]
    for each, (name, rows) in zip(thin, runs.items(), strict=True):
        assert each.get_xydata()[:, 1].tolist() == [row["train_loss"] for row in rows]
        (thick,) = [other for other in loss.lines if other.get_label() == name]
        assert each.get_color() == thick.get_color()
    assert loss.get_xlim() == (1, 8)
    ends = {text.get_text().split()[0]: text.get_color() for text in error.texts}
    assert ends == {name: error.lines[at].get_color() for at, name in enumerate(runs)}


def test_runs_of_which_one_has_no_accuracy_are_compared_by_their_loss():
    figure = _draw_runs({"one": history(8), "two": history(8, accuracy=False)})
    assert [axes.get_title("left") for axes in figure.axes] == ["Loss"]


@pytest.mark.parametrize("names", [("a", "b"), ("cifar_resnet20", "cifar_plain20", "c", "d")])
def test_compared_runs_are_readable(assert_readable, names):
    runs = {name: history(12, seed=n) for n, name in enumerate(names)}
    assert_readable(_draw_runs(runs))


def test_the_picture_of_several_runs(tmp_path):
    compare_curves({"a": history(3)}, tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]
    with pytest.raises(ArgumentError, match="histories must be of 1 to 4 runs, got 0"):
        compare_curves({}, tmp_path / "b.png")
    with pytest.raises(ArgumentError, match="got 5"):
        compare_curves({str(n): history(2) for n in range(5)}, tmp_path / "b.png")
    with pytest.raises(ArgumentError, match="history must hold a loss, got 0 epochs"):
        compare_curves({"a": history(3), "b": []}, tmp_path / "b.png")
    assert os.listdir(tmp_path) == ["a.png"]


def overfitting(rise: float) -> list:
    """Validation loss falls to 1 at epoch 4, and rises by `rise` an epoch after it."""
    return [
        {"epoch": e, "train_loss": 3.0 / e, "validation_loss": 1 + max(4 - e, rise * (e - 4))}
        for e in range(1, 11)
    ]


def test_the_overfitting_point_is_the_least_held_out_loss_of_a_run_that_lost_it() -> None:
    assert overfitting_point(overfitting(0.2)) == 4
    assert overfitting_point(overfitting(0.01)) == 0  # within a tenth: noise
    assert overfitting_point(history(30)) == 0
    diverged = [{**row, "train_loss": row["epoch"]} for row in overfitting(0.2)]
    assert overfitting_point(diverged) == 0  # that is another disease
    assert overfitting_point([{"epoch": 1, "train_loss": 1.0}]) == 0


def test_the_ground_is_grey_from_the_overfitting_point_on(assert_readable) -> None:
    rows = [{**row, "train_accuracy": 0.9, "validation_accuracy": 0.8} for row in overfitting(0.2)]
    figure = _draw(rows)
    loss = figure.axes[0]
    (ground,) = loss.patches
    assert (ground.get_x(), ground.get_x() + ground.get_width()) == (4, 10)
    assert loss.get_title("right") == "overfitting after epoch 4"
    assert_readable(figure)
    assert not _draw(overfitting(0.0)).axes[0].patches
