"""The computation graph of a loss, as a picture drawn from its backward graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpunet.autograd import Tensor
from gpunet.autograd.graph import Node, trace
from gpunet.errors import ArgumentError
from gpunet.viz import style
from gpunet.viz.layout import Layout, lay_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.3  # inches
LINE = 0.19  # inches from one line of text to the next
MOST = 4  # numbers of a value that are written out


@dataclass(eq=False)
class Box:
    """A value in the picture: its lines of text, its colour, and the boxes it is made from."""

    lines: list[str]
    colour: str
    inputs: list[Box]

    @property
    def size(self) -> tuple[float, float]:
        widths = [1.2 * style.width_of(self.lines[0], style.NORMAL)]
        widths += [style.width_of(line, style.SMALL) for line in self.lines[1:]]
        return max(0.55, max(widths) + 0.3), LINE * len(self.lines) + 0.22


def graph(
    loss: Tensor,
    path: str | os.PathLike[str],
    *,
    names: Mapping[str, Tensor] | None = None,
    values: bool = False,
) -> Path:
    """Draw how `loss` was computed, as its backward pass sees it; returns `path`.

    A box is a value, an arrow says what it goes into. Leaves are green, the loss is vermillion,
    what lies between is blue and tells the operation that made it. Values without a name that have
    one input and go into one other value are left out; their operations stand in the next box. An
    activation that `nn.Sequential` computes together with the layer before it has none of its own.
    Graphviz places the boxes where its `dot` is installed, gpunet itself otherwise.

    Args:
        loss: of one element; the graph is kept, and no gradient is stored.
        path: the PNG or SVG file to write, by its ending.
        names: names for leaves and results, such as {"x": x, "z": z} or
            `dict(model.named_parameters())`; the loss is called "L" by default.
        values: whether values, where they are known by `names`, and gradients are written out.

    Raises:
        GradError: the loss needs no gradient, or its graph has been freed.
        ShapeError: it has more than one element.
        ArgumentError: a name is of a tensor that the loss does not depend on.
    """
    return style.write(_draw(boxes(loss, names or {}, values)), path)


def boxes(loss: Tensor, names: Mapping[str, Tensor], values: bool) -> list[Box]:
    """The boxes of a graph, each after its inputs."""
    nodes = trace(loss)
    known: dict[Any, tuple[str, Tensor | None]] = {loss.origin or loss: ("L", loss)}
    for name, tensor in names.items():
        edge = tensor.origin or tensor
        if edge not in nodes:
            problem = f"names must be of tensors that the loss depends on, got {name!r}"
            raise ArgumentError("graph", problem, "does it require a gradient?")
        known[edge] = name, tensor
    uses: dict[Node, int] = {}
    for node in nodes.values():
        for below in node.inputs:
            uses[below] = uses.get(below, 0) + 1
    drawn: dict[Node, Box] = {}
    hidden: dict[Node, list[str]] = {}  # what is left out: its operations
    for edge, node in nodes.items():
        operations = [o for below in node.inputs for o in hidden.get(below, [])]
        operations += [node.operation] if node.operation else []
        inputs = [drawn[below] for below in node.inputs]
        if edge not in known and len(node.inputs) == 1 and uses[node] == 1:
            hidden[node], drawn[node] = operations, inputs[0]
            continue
        name, shown = known.get(edge, ("", node.leaf))
        lines = _lines(name, operations, node, shown, values)
        last = edge == (loss.origin or loss)
        colour = style.VERMILLION if last else style.BLUE if node.operation else style.GREEN
        drawn[node] = Box(lines, colour, inputs)
    return list(dict.fromkeys(drawn.values()))


def _lines(
    name: str, operations: list[str], node: Node, tensor: Tensor | None, values: bool
) -> list[str]:
    """The name, the operations, the shape, and on request the value and the gradient."""
    made = ", ".join(operations)
    lines = [name, made] if name and made else [name or made or "leaf"]
    written = values and tensor is not None and node.gradient.size <= MOST
    if node.gradient.shape and not written:
        lines.append(str(node.gradient.shape))
    if values and tensor is not None:
        lines.append(f"= {_numbers(tensor.detach().numpy())}")
    if values:
        lines.append(f"∂ {_numbers(node.gradient)}")
    return lines


def _numbers(array: Any) -> str:
    """A few numbers in full, of many the norm."""
    flat = array.reshape(-1).tolist()
    if len(flat) > MOST:
        return f"‖·‖ {sum(x * x for x in flat) ** 0.5:.3g}"
    return ", ".join(f"{x:.3g}" for x in flat).replace("-", "−")


@style.look()
def _draw(found: list[Box]) -> Figure:
    number = {box: i for i, box in enumerate(found)}
    edges = [(number[below], i) for i, box in enumerate(found) for below in box.inputs]
    layout = lay_out([box.size for box in found], edges)
    figure = style.new_figure(layout.width + 2 * MARGIN, layout.height + 2 * MARGIN)
    axes = style.add_axes(figure, MARGIN, MARGIN, layout.width, layout.height)
    axes.set(xlim=(0, layout.width), ylim=(0, layout.height))
    axes.axis("off")
    for edge in dict.fromkeys(edges):
        _arrow(axes, found, layout, edge)
    for box, (x, y) in zip(found, layout.places, strict=True):
        _box(axes, box, x, y)
    return figure


def _box(axes: Axes, box: Box, x: float, y: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = box.size
    shape = FancyBboxPatch(
        (x - width / 2 + 0.06, y - height / 2 + 0.06),
        width - 0.12,
        height - 0.12,
        boxstyle="round,pad=0.06",
        facecolor=style.PAPER,
        edgecolor=box.colour,
        linewidth=1.5,
        clip_on=False,
    )
    axes.add_patch(shape)
    for i, line in enumerate(box.lines):
        at = y + LINE * ((len(box.lines) - 1) / 2 - i)
        font: dict[str, Any] = {"fontsize": style.SMALL, "color": style.GREY}
        if i == 0:
            font = {"fontsize": style.NORMAL, "fontweight": "bold", "color": box.colour}
        axes.text(x, at, line, ha="center", va="center", **font)


def _arrow(axes: Axes, found: list[Box], layout: Layout, edge: tuple[int, int]) -> None:
    """From the right side of a box to the left side of another, level at both ends."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    start, end = edge
    (x1, y1), (x2, y2) = layout.places[start], layout.places[end]
    first = (x1 + found[start].size[0] / 2, y1)
    last = (x2 - found[end].size[0] / 2 - 0.03, y2)
    points, codes = [first], [Curve.MOVETO]
    for (xa, ya), (xb, yb) in pairwise([first, *layout.ways.get(edge, []), last]):
        middle = (xa + xb) / 2
        points += [(middle, ya), (middle, yb), (xb, yb)]
        codes += [Curve.CURVE4] * 3
    arrow = FancyArrowPatch(
        path=Curve(points, codes),
        arrowstyle="-|>,head_length=5,head_width=2.5",
        color=style.LIGHT,
        linewidth=1.3,
        shrinkA=0,
        shrinkB=0,
        clip_on=False,
    )
    axes.add_patch(arrow)
