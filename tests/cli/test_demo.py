"""`gpunet demo`: the list, one demonstration, its source, all of them."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpunet import recipes
from gpunet.cli import demo
from gpunet.errors import DataError
from gpunet.recipes import Demonstration


def test_the_list_has_every_demonstration_under_its_topic(gpunet) -> None:
    done = gpunet("demo")
    assert done.status == 0
    lines = [line.split() for line in done.out.splitlines()]
    for name, each in recipes.demonstrations().items():
        assert [line[-len(each.rows) :] for line in lines if line[0] == name] == [list(each.rows)]
    assert "A  " in done.out
    assert "Neurons and gates" in done.out


def test_the_list_in_russian(gpunet) -> None:
    out = gpunet("demo", "--lang", "ru").out
    assert "Нейроны и логические элементы" in out
    assert recipes.translation("gates", "ru")[recipes.find("gates").title] in out


def test_one_of_them(gpunet, tmp_path) -> None:
    done = gpunet("demo", "gates", "--out", tmp_path)
    assert done.status == 0
    assert recipes.find("gates").seen in " ".join(done.out.split())
    assert f"figure: {tmp_path / 'gates' / 'boundaries.png'}" in done.out
    assert (tmp_path / "gates" / "boundaries.png").exists()


def test_its_source_is_printed_as_it_is(gpunet) -> None:
    file = Path(recipes.find("gates").module.__file__ or "")
    assert gpunet("demo", "gates", "--source").out == file.read_text()


def test_a_name_that_is_none(gpunet) -> None:
    done = gpunet("demo", "gate")
    assert done.status == 1
    assert "did you mean 'gates'?" in " ".join(done.err.split())


@pytest.mark.parametrize(
    "arguments",
    [("--all", "gates"), ("--all", "--source"), ("--source",), ("--all", "--input", "x")],
)
def test_arguments_that_do_not_go_together(gpunet, arguments) -> None:
    assert gpunet("demo", *arguments).status == 1


def test_applications_say_how_long_they_take(gpunet) -> None:
    lines = {line.split()[0]: line for line in gpunet("demo").out.splitlines() if line.strip()}
    assert "(2 min)" in lines["gan"]
    assert "min)" not in lines["gates"]


def test_a_file_for_one_that_takes_none(gpunet, tmp_path) -> None:
    done = gpunet("demo", "gates", "--input", "photo.png", "--out", tmp_path)
    assert done.status == 1
    assert "gates: inputs must be none, got photo.png" in " ".join(done.err.split())


def test_all_goes_on_where_one_cannot_run(gpunet, monkeypatch, tmp_path) -> None:
    """What is missing is said at the end, once, and the exit status tells of it."""

    def broken(show):
        raise DataError("load", "x.gz must lie in /data, got no such file")

    def works(show):
        show.path("a.png").write_bytes(b"")
        return {}

    both = {
        name: Demonstration(name, name, "Seen.", ("A1",), SimpleNamespace(run=run), minutes)
        for name, run, minutes in (("broken", broken, 0), ("works", works, 0), ("long", broken, 3))
    }
    monkeypatch.setattr(demo, "demonstrations", lambda: both)
    done = gpunet("demo", "--all", "--out", tmp_path)
    assert done.status == 1
    assert (tmp_path / "works" / "a.png").exists()
    assert done.out.splitlines()[-2].startswith("1 demonstrations in")
    said = "did not run broken: load: x.gz must lie in /data, got no such file"
    assert done.out.splitlines()[-1] == said


def test_numbers_in_russian_have_a_comma(gpunet, tmp_path) -> None:
    said = {lang: gpunet("demo", "losses", "--lang", lang, "--out", tmp_path).out
            for lang in ("en", "ru")}  # fmt: skip
    assert "0.2798" in said["en"]
    assert "0,2798" in said["ru"]
    assert not re.search(r"\d\.\d", said["ru"])
