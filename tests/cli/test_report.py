"""`gpunet report`: one page, whole in itself, of a run that ended well or not."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest


class Page(HTMLParser):
    """What is on a page: the tags that were opened and not closed, the pictures, the text."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attributes)["src"] or "")
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def page(folder: Path) -> Page:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<link|<script", text)  # it needs nothing beside it
    found = Page(text)
    assert found.open == []
    return found


def test_a_finished_run(gpunet, run_folder) -> None:
    done = gpunet("report", run_folder)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"report, open it: {run_folder / 'report.html'}\n"
    found = page(run_folder)
    assert len(found.sources) == len(list(run_folder.glob("*.png"))) == 3
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in found.sources)
    for text in (
        *("2 of 2 epochs of classification on digits", "Linear(64, 32, bias=True)", "2,048"),
        *("2,410 parameters", 'kind = "AdamW"', "Python 3.", "train accuracy"),
    ):
        assert text in found.text


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_a_failed_run(gpunet, config, tmp_path) -> None:
    """The error, and the curve up to there; gone again once the run goes on."""
    folder = tmp_path / "run"
    settings = ("--set", "optimizer.kind=SGD", "--set", "optimizer.lr=1e38")
    assert gpunet("train", config, "--out", folder, *settings).status == 1
    assert gpunet("report", folder).status == 0
    found = page(folder)
    assert "0 of 2 epochs" in found.text
    assert "train: the loss must be finite, got " in found.text
    assert found.sources == []
    assert (folder / "failure.txt").exists()


def test_no_run(gpunet, tmp_path) -> None:
    done = gpunet("report", tmp_path)
    assert done.status == 1
    assert "must be the folder of a run" in done.err
