"""Applications: rows of K in docs/lectures.md, run with little of everything."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rich.console import Console

import gpunet
from gpunet import data, recipes
from gpunet.errors import ArgumentError, DataError
from gpunet.recipes import faces, gan, keypoints, style_transfer, vae
from tests.lectures.conftest import CheckedShow
from tests.tolerance import EPS

WORD = re.compile("[a-z]{3}")


@pytest.fixture
def perform(tmp_path):
    """Runs an application, looks through its Russian texts, and returns its results."""

    def run(name, **little):
        show = CheckedShow(tmp_path, console=Console(width=100, quiet=True))
        demonstration = recipes.find(name)
        assert demonstration.minutes > 0
        gpunet.manual_seed(0)
        show.heading(demonstration.title, demonstration.seen)
        results = demonstration.module.run(show, **little)
        assert show.written
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in show.written)
        texts = recipes.translation(name, "ru")
        asked = {text for text in show.asked if WORD.search(text)}
        assert asked == set(texts), "its Russian texts"
        return results

    return run


def digits() -> np.ndarray:
    """(600, 1, 28, 28) of the packaged digits, three times as large, with a border."""
    pictures = data.load("digits", "train").inputs[:600]
    return np.pad(pictures.repeat(3, 2).repeat(3, 3), ((0, 0), (0, 0), (2, 2), (2, 2)))


# --- faces


def face(person, rng) -> np.ndarray:
    """(112, 92) grey values: a person has eyes, a nose and a mouth of their own."""
    traits = np.random.default_rng(person).uniform(-1, 1, 6)
    shift, turn, bright = rng.normal(0, 0.05, 2), rng.normal(0, 0.08), rng.uniform(0.8, 1)
    y, x = np.mgrid[-1:1:112j, -0.9:0.9:92j]
    x, y = x - shift[0] + turn * y, y - shift[1] - turn * x
    picture = np.full_like(x, 0.2)
    apart = 0.3 + 0.08 * traits[0]
    for left, top, wide, high, shade in (
        (0, 0, 0.65 + 0.1 * traits[1], 0.85, 0.75 + 0.15 * traits[2]),
        (-apart, -0.2, 0.14, 0.1, 0.1),
        (apart, -0.2, 0.14, 0.1, 0.1),
        (0, 0.1, 0.07, 0.2 + 0.1 * traits[3], 0.5),
        (0, 0.5 + 0.05 * traits[4], 0.3 + 0.12 * traits[5], 0.08, 0.3),
    ):
        picture[((x - left) / wide) ** 2 + ((y - top) / high) ** 2 < 1] = shade
    return np.uint8(255 * np.clip(bright * picture + rng.normal(0, 0.03, x.shape), 0, 1))


def write_faces(folder, people, pictures) -> None:
    """FOLDER/s1/1.pgm, ..., as the Database of Faces is."""
    rng = np.random.default_rng(0)
    for person in range(1, people + 1):
        (folder / f"s{person}").mkdir(parents=True)
        for n in range(1, pictures + 1):
            header = b"P5\n92 112\n255\n"
            (folder / f"s{person}" / f"{n}.pgm").write_bytes(header + face(person, rng).tobytes())


def test_K2_faces(perform, tmp_path) -> None:
    write_faces(tmp_path / "faces", people=6, pictures=10)
    results = perform("faces", path=tmp_path / "faces", steps=90)
    assert results["accuracy"].shape == (6,)
    assert results["accuracy"].mean() > 0.85  # untrained: 0.56
    assert np.median(results["same"]) < results["limit"] < np.median(results["other"])
    assert results["verified"] > 0.85  # untrained: 0.67


def test_K2_tests_on_pictures_it_has_not_seen() -> None:
    inputs = np.arange(19, dtype=np.float32)[:, None, None, None] / 19
    targets = np.repeat([0, 1, 2], [10, 4, 5])  # the second has too few
    known, new = faces.parts(data.Dataset("three", inputs, targets, ("Ada_L", "Bo", "Cy")))
    assert known.classes == ("Ada L", "Cy")
    assert (np.bincount(known.targets).tolist(), np.bincount(new.targets).tolist()) == (
        [7, 4],
        [3, 1],
    )
    values = {0: inputs[:10].ravel(), 1: inputs[14:].ravel()}
    for person, own in values.items():
        both = [part.inputs[part.targets == person].ravel() for part in (known, new)]
        np.testing.assert_array_equal(np.sort(np.concatenate(both)), own)


def test_K2_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    same, other = rng.normal(0.3, 0.1, 50), rng.normal(0.5, 0.1, 50)
    grid = np.linspace(0, 1, 10_001)
    right = [np.sum(same < t) + np.sum(other >= t) for t in grid]
    limit = faces.threshold(same, other)
    assert np.sum(same < limit) + np.sum(other >= limit) == max(right)


def test_K2_says_which_folder_it_needs(perform, tmp_path) -> None:
    with pytest.raises(DataError, match=r"--input must be a folder .* att_faces\.zip"):
        perform("faces")
    write_faces(tmp_path / "few", people=2, pictures=4)
    with pytest.raises(DataError, match=r"people with 5 pictures must be 2 or more, got 0; unpack"):
        perform("faces", path=tmp_path / "few")


# --- key points


def test_K3_key_points(perform) -> None:
    results = perform("keypoints", people=120, steps=40)
    assert results["found"].shape == (12, 11, 2)
    assert results["distance"] < 0.3  # sides of the picture


def test_K3_points_of_a_person_lie_on_ink() -> None:
    picture, points = keypoints.person(np.random.default_rng(0))
    for x, y in (points * 48).astype(int):
        assert picture[0, y, x] > 0.6


def test_K3_reads_the_format_of_kaggle(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16))
    values = [" ".join(map(str, row)) for row in pixels]
    rows = [f"1.0,2.0,,,{values[0]}", f"1.0,2.0,3,0.5,{values[1]}"]
    path = tmp_path / "training.csv"
    path.write_text("\n".join(["eye_x,eye_y,nose_x,nose_y,Image", *rows]) + "\n")
    pictures, points = keypoints.read_csv(path)
    np.testing.assert_allclose(pictures, pixels.reshape(2, 1, 4, 4) / 255, rtol=1e-6)
    expected = [[[0.25, 0.5], [np.nan, np.nan]], [[0.25, 0.5], [0.75, 0.125]]]
    np.testing.assert_array_equal(points, np.float32(expected))
    (tmp_path / "bad.csv").write_text("eye_x,eye_y,Image\n1,2,3 4 5\n")
    for name in ("bad.csv", "none.csv"):
        with pytest.raises(DataError, match="must have x and y of each point"):
            keypoints.read_csv(tmp_path / name)


def test_K3_what_is_not_marked_is_not_learned() -> None:
    model = keypoints.network(8, 2)
    before = model[-2].bias.detach().numpy().copy()
    points = np.full((4, 2, 2), np.nan, np.float32)
    points[:, 0] = 0.5
    keypoints.train(model, np.ones((4, 1, 8, 8), np.float32), points, 3)
    changed = model[-2].bias.detach().numpy() != before
    assert changed.tolist() == [True, True, False, False]


# --- style transfer


def test_K5_style_transfer(perform, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    pictures = data.Dataset(
        "noise", rng.random((40, 3, 16, 16), np.float32), rng.integers(0, 10, 40), ("x",) * 10
    )
    monkeypatch.setattr(data, "load", lambda *_: pictures)
    results = perform("style_transfer", size=32, steps=(3, 40))
    history = results["history"]
    assert history[0, 0] < 1e-6  # it begins as the photograph
    assert history[-1, 1] < 0.3 * history[0, 1]  # and takes on the style
    assert results["result"].shape == (1, 3, 32, 32)


def test_K5_takes_pictures_of_ones_own(tmp_path) -> None:
    assert recipes.find("style_transfer").inputs
    with pytest.raises(ArgumentError, match="gates: inputs must be none"):
        recipes.find("gates").run(CheckedShow(tmp_path), ["photo.png"])


def test_K5_gram_matrix_and_roughness() -> None:
    f = np.random.default_rng(0).normal(size=(1, 3, 4, 5))
    expected = [[(f[0, a] * f[0, b]).mean() for b in range(3)] for a in range(3)]
    got = style_transfer.gram(gpunet.tensor(f)).numpy()
    np.testing.assert_allclose(got, expected, atol=2**4 * EPS["float64"])
    down, right = np.diff(f, axis=2), np.diff(f, axis=3)
    rough = style_transfer.roughness(gpunet.tensor(f)).item()
    assert rough == pytest.approx((down**2).mean() + (right**2).mean(), rel=1e-12)


# --- image generation


def test_K6_variational_autoencoder(perform) -> None:
    results = perform("vae", pictures=digits(), epochs=8)
    history = results["history"]
    assert history[-1].sum() < 0.7 * history[0].sum()
    assert (history[:, 1] > 0).all()
    samples = results["samples"]
    assert samples.shape == (48, 784)
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert samples.std(0).max() > 0.05  # not one picture for all


def test_K6_divergence_is_that_of_the_integral() -> None:
    mean, log_variance, z = 0.7, -0.4, np.linspace(-12, 12, 200_001)
    q = np.exp(-((z - mean) ** 2) / 2 / np.exp(log_variance)) / np.exp(log_variance / 2)
    log_ratio = -((z - mean) ** 2) / 2 / np.exp(log_variance) - log_variance / 2 + z**2 / 2
    integral = np.sum(q * log_ratio) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    one = [gpunet.tensor(np.full((1, 1), value)) for value in (mean, log_variance)]
    assert vae.divergence(*one).item() == pytest.approx(integral, rel=1e-9)


def test_K6_adversarial_network(perform) -> None:
    results = perform("gan", pictures=digits(), steps=30, maps=4)
    assert results["samples"].shape == (60, 28, 28)
    assert np.isfinite(results["history"]).all()
    assert results["samples"].min() >= 0
    assert results["samples"].std() > 0.01


def test_K6_the_judgement_is_that_of_the_paper() -> None:
    s = np.array([-2.0, 0.5, 3.0])
    D = 1 / (1 + np.exp(-s))
    scores = gpunet.tensor(s)
    assert gan.judged(scores, True).item() == pytest.approx(-np.log(D).mean())
    assert gan.judged(scores, False).item() == pytest.approx(-np.log(1 - D).mean())
