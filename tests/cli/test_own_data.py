"""From a table of one's own to answers, without a data set that has a name."""

import pytest

CONFIG = """\
name = "own"

[data]
path = "sheet.csv"

[model]
layers = [
    { kind = "BatchNorm1d", num_features = 2 },
    { kind = "Linear", in_features = 2, out_features = 2 },
]

[optimizer]
kind = "Adam"
lr = 0.1

[train]
epochs = 20
batch_size = 20
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Sums below 0 are "low", others "high"."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{x},{y},{'high' if x + y > 0 else 'low'}" for x in range(-5, 6) for y in (-1.5, 1.5)]
    (tmp_path / "sheet.csv").write_text("\n".join(["x,y,what", *lines * 5]))
    (tmp_path / "own.toml").write_text(CONFIG)
    return tmp_path


def test_a_run_answers_though_its_data_has_gone(gpunet, here) -> None:
    outcome = gpunet("train", "own.toml", "--out", "run")
    assert outcome.status == 0
    assert "88 training and 22 test examples" in outcome.out
    assert "sheet.csv test set:" in gpunet("eval", "run").out
    (here / "moved.csv").write_bytes((here / "sheet.csv").read_bytes())
    (here / "sheet.csv").unlink()
    (here / "new.csv").write_text("x,y\n-4,1\n3,2\n")
    assert "new.csv: high" in gpunet("predict", "run", "new.csv").out
    outcome = gpunet("eval", "run")
    assert outcome.status == 1
    assert "sheet.csv must be readable" in outcome.err.replace("\n", " ")
    (here / "run" / "data.json").write_text("{}")
    outcome = gpunet("predict", "run", "new.csv")
    assert outcome.status == 1
    assert "data.json must be as it was written" in outcome.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.set=digits", "data must have either the name of a set, or the path of data"),
        ("data.fold=1", "data must have no fold beside its path"),
        ("data.path=none.csv", "none.csv must be readable"),
        ("model.layers.1.out_features=3", "must give a score for each of the 2 classes of 'sheet'"),
    ],
)
def test_what_does_not_fit_is_said_before_training(gpunet, here, override, message) -> None:
    outcome = gpunet("train", "own.toml", "--set", override)
    assert outcome.status == 1
    assert message in " ".join(outcome.err.split())
