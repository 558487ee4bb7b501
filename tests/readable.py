"""How a figure came out: what stands where, and whether anything is cut off or covered."""

from __future__ import annotations

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[Text]:
    """All texts of the figure that are seen."""
    found = list(figure.texts)
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes._left_title, axes._right_title]
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            found += [axis.label, *(t.label1 for t in ticks if low <= t.get_loc() <= high)]
    return [text for text in found if text.get_visible() and text.get_text()]


def assert_readable(figure: Figure) -> None:
    """Fail where a text leaves the figure or covers another one."""
    FigureCanvasAgg(figure).draw()
    boxes = [(text, text.get_window_extent()) for text in texts(figure)]
    assert boxes
    for text, box in boxes:
        inside = figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max)
        assert inside, f"{text.get_text()!r} leaves the figure: {box} in {figure.bbox}"
    # The boxes around slanted texts overlap where the texts themselves do not.
    level = [(text, box) for text, box in boxes if text.get_rotation() % 90 == 0]
    for (one, box), (other, its_box) in itertools.combinations(level, 2):
        assert not box.overlaps(its_box), f"{one.get_text()!r} covers {other.get_text()!r}"
