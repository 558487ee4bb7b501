"""The documentation site: it builds without a warning, and every public name is on a page of it."""

import os
import re
import subprocess
import sys
from html import unescape
from inspect import ismodule
from pathlib import Path

import pytest

from gpunet import functional, nn, optim
from gpunet.backend.cuda import evidence, nvrtc

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(
    "package", [functional, nn, optim, optim.lr_scheduler], ids=lambda p: p.__name__
)
def test_every_name_is_on_a_page(site, package) -> None:
    folder = site.joinpath("reference", *package.__name__.split(".")[1:])
    shown: set[str] = set()
    for page in folder.rglob("index.html"):
        text = unescape(page.read_text())
        shown |= {name.rpartition(".")[2] for name in re.findall(r'id="(gpunet\.[\w.]+)"', text)}
    names = {n for n in package.__all__ if not ismodule(getattr(package, n))}
    assert names - shown == set()


def test_every_difference_is_on_its_page(site) -> None:
    text = unescape((site / "differences" / "index.html").read_text())
    listed = set(re.findall(r'href="[^"]*#gpunet\.functional\.\w+\.(\w+)"', text))
    functions = {name: getattr(functional, name) for name in functional.__all__}
    told = {n for n, f in functions.items() if "Differs from PyTorch: " in (f.__doc__ or "")}
    assert listed == told


def test_pictures_are_there(site) -> None:
    for name in ("activation", "loss"):
        assert (site / "reference" / "images" / f"{name}.png").stat().st_size > 10_000


def test_every_kernel_is_on_a_page_with_its_evidence(site) -> None:
    page = unescape((site / "reference" / "kernels" / "index.html").read_text())
    shown = dict(re.findall(r"<td><code>(\w+)</code></td>\s*<td>(\w+)</td>", page))
    assert shown == evidence.states(evidence.read(), nvrtc.find())
