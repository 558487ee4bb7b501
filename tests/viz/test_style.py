"""The look stays inside the pictures, and a picture reaches the disk whole or not at all."""

import os
import subprocess
import sys

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from gpunet.errors import GpunetError
from gpunet.viz import confusion_matrix, learning_curve, style


def small_figure():
    with style.look():
        figure = style.new_figure(4, 2)
        style.add_title(figure, "A title")
        style.add_axes(figure, 1, 0.5, 2, 1)
    return figure


def test_written_png_has_the_size_in_inches_times_the_resolution(tmp_path):
    path = style.write(small_figure(), tmp_path / "a.png")
    assert path == tmp_path / "a.png"
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (4 * 150, 2 * 150))


def test_axes_stand_where_they_were_put():
    figure = small_figure()
    box = figure.axes[0].get_window_extent()
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((150, 75, 450, 225))


def test_writing_replaces_and_leaves_nothing_else_behind(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    style.write(small_figure(), path)
    first = path.read_bytes()
    style.write(small_figure(), str(path))
    assert path.read_bytes() == first  # the same picture is the same bytes
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("stage", ["savefig", "replace"])
def test_a_failed_write_keeps_the_old_picture(tmp_path, monkeypatch, stage):
    path, figure = tmp_path / "a.png", small_figure()
    path.write_bytes(b"old")

    def full(target, *_, **__):
        with open(target, "ab") as file:
            file.write(b"half a pict")
        raise OSError("No space left on device")

    monkeypatch.setattr(*{"savefig": (figure, "savefig"), "replace": (os, "replace")}[stage], full)
    with pytest.raises(OSError, match="No space left"):
        style.write(figure, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_the_settings_of_the_caller_neither_change_nor_matter(tmp_path):
    plain = style.write(small_figure(), tmp_path / "plain.png").read_bytes()
    with matplotlib.rc_context(
        {"savefig.bbox": "tight", "figure.facecolor": "black", "font.size": 30}
    ):
        before = dict(matplotlib.rcParams)
        assert style.write(small_figure(), tmp_path / "own.png").read_bytes() == plain
        assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'gpunet\[plot\]'") as caught:
        learning_curve([{"epoch": 1, "train_loss": 1.0}], tmp_path / "a.png")
    assert isinstance(caught.value, GpunetError)
    with pytest.raises(ImportError, match="matplotlib, which is missing"):
        confusion_matrix([0], [0], ["a"], tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_the_package_loads_no_matplotlib_and_a_picture_no_pyplot(tmp_path):
    program = f"""
import sys
import gpunet.viz
assert "matplotlib" not in sys.modules
gpunet.viz.learning_curve([{{"epoch": 1, "train_loss": 1.0}}], {str(tmp_path / "a.png")!r})
import matplotlib
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.get_backend(auto_select=False) is None
print("fine")
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("fine\n", "")


@pytest.mark.parametrize("text", ["Ankle boot", "T-shirt/top", "0", "$5 and $6"])
def test_width_of_is_the_width_drawn(text):
    with style.look():
        figure = style.new_figure(4, 2)
        drawn = figure.text(0.1, 0.5, text, fontsize=style.SMALL)
        FigureCanvasAgg(figure).draw()
        width = drawn.get_window_extent().width / style.DPI
        # Drawn glyphs begin and end on whole pixels, and hinting shifts each by a fraction of one.
        assert abs(style.width_of(text, style.SMALL) - width) < (2 + 0.5 * len(text)) / style.DPI


def test_percent():
    assert style.percent(0.985, 2) == "98.50 %"
    assert style.percent(1, 0) == "100 %"
