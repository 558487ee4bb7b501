"""A small run on the real digits, trained once by the command itself."""

import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from gpunet.cli import main
from gpunet.cli.console import console, errors

CONFIG = """\
name = "tiny"
seed = 3

[data]
set = "digits"

[model]
layers = [
    { kind = "Flatten" },
    { kind = "Linear", in_features = 64, out_features = 32 },
    { kind = "ReLU" },
    { kind = "Dropout", p = 0.1 },
    { kind = "Linear", in_features = 32, out_features = 10 },
]

[optimizer]
kind = "AdamW"
lr = 1e-2

[train]
epochs = 2
batch_size = 64
"""


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def gpunet(capsys, monkeypatch) -> Command:
    """Runs `gpunet ARGUMENTS` in this process; tables get a wide terminal, errors a narrow one."""
    monkeypatch.setattr(console, "width", 300)
    monkeypatch.setattr(errors, "width", 40)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse ends the process itself
            status = int(ended.code or 0)
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def config(tmp_path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(CONFIG)
    return file


class Trained(NamedTuple):
    folder: Path
    out: str


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """A finished run of two epochs, and what was printed. Not to be changed: see `run_folder`."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(CONFIG)
    out = StringIO()
    with redirect_stdout(out):
        assert main(["train", str(folder / "tiny.toml"), "--out", str(folder / "run")]) == 0
    return Trained(folder / "run", out.getvalue())


@pytest.fixture
def run_folder(trained, tmp_path) -> Path:
    """A copy of the finished run, to do things to."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))
