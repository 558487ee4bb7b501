"""Places for the nodes of a directed graph, from left to right, and ways for its edges.

Graphviz finds them where its `dot` is installed and does not fail. Otherwise: a node stands one
layer to the right of the last of its inputs, long edges get a waypoint in each layer they pass, and
sweeps to and fro put every node near the mean height of its neighbours (Sugiyama, Tagawa and Toda,
IEEE Trans. SMC 11, 1981).
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

GAP = (0.75, 0.35)  # between layers, and between nodes of one, in inches
WAY = 0.15  # room for an edge that passes a layer, in inches
SWEEPS = 24

Point = tuple[float, float]
Edge = tuple[int, int]


@dataclass
class Layout:
    """Centres of the nodes and the points that the edges pass, in inches from the lower left."""

    width: float
    height: float
    places: list[Point]
    ways: dict[Edge, list[Point]] = field(default_factory=dict)


def lay_out(sizes: Sequence[Point], edges: Sequence[Edge]) -> Layout:
    """Where nodes of these widths and heights go; edges lead from earlier numbers to later ones."""
    if shutil.which("dot"):
        # Where it fails, a picture placed otherwise is better than none.
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
            return by_graphviz(sizes, edges)
    return by_layers(sizes, edges)


def by_graphviz(sizes: Sequence[Point], edges: Sequence[Edge]) -> Layout:
    """As `dot` has it.

    Raises:
        OSError, SubprocessError, ValueError, IndexError: it can't be run, fails, takes longer than
            a minute, or answers with something else.
    """
    done = subprocess.run(
        ["dot", "-Tplain"],
        input=describe(sizes, edges),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return read_plain(done.stdout, len(sizes))


def describe(sizes: Sequence[Point], edges: Sequence[Edge]) -> str:
    """The graph in the language of `dot`: nodes n0, n1, ... as boxes, from left to right."""
    lines = [f"rankdir=LR; ranksep={GAP[0]}; nodesep={GAP[1]}; node [shape=box, fixedsize=true]"]
    lines += [f"n{i} [width={w:.3f}, height={h:.3f}]" for i, (w, h) in enumerate(sizes)]
    lines += [f"n{a} -> n{b}" for a, b in edges]
    return "digraph {\n" + ";\n".join(lines) + "\n}"


def read_plain(text: str, count: int) -> Layout:
    """Graphviz' plain format: "node NAME x y ...", "edge TAIL HEAD n x1 y1 ... xn yn ..."."""
    layout = Layout(0.0, 0.0, [(0.0, 0.0)] * count)
    placed = set()
    for line in text.splitlines():
        kind, *words = line.split()
        if kind == "graph":
            layout.width, layout.height = float(words[1]), float(words[2])
        elif kind == "node":
            layout.places[number := int(words[0][1:])] = float(words[1]), float(words[2])
            placed.add(number)
        elif kind == "edge":
            numbers = [float(word) for word in words[3 : 3 + 2 * int(words[2])]]
            points = list(zip(numbers[::2], numbers[1::2], strict=True))
            # Its splines have two control points between those that the line passes.
            layout.ways[int(words[0][1:]), int(words[1][1:])] = points[::3][1:-1]
    if len(placed) != count:
        raise ValueError(f"dot must place all {count} nodes, got {len(placed)}")
    return layout


def by_layers(sizes: Sequence[Point], edges: Sequence[Edge]) -> Layout:
    """Without help: layers by the longest way, heights by the neighbours."""
    layer = [0] * len(sizes)
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        layer[b] = max(layer[b], layer[a] + 1)
    for a in reversed(range(len(sizes))):  # inputs stand next to what they go into
        after = [layer[b] for start, b in edges if start == a]
        if after and not any(b == a for _, b in edges):
            layer[a] = min(after) - 1
    all_sizes, links, chains = [*sizes], [], {}
    for a, b in dict.fromkeys(edges):
        chain = [a]
        for between in range(layer[a] + 1, layer[b]):
            chain.append(len(all_sizes))
            all_sizes.append((0.0, WAY))
            layer.append(between)
        chains[a, b] = [*chain, b]
        links += list(zip(chain, [*chain[1:], b], strict=True))
    columns: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for node, column in enumerate(layer):
        columns[column].append(node)
    y = _heights(columns, all_sizes, links)
    x, across = [0.0] * len(all_sizes), 0.0
    for members in columns:
        widest = max(all_sizes[node][0] for node in members)
        for node in members:
            x[node] = across + widest / 2
        across += widest + GAP[0]
    low = min(y[i] - h / 2 for i, (_, h) in enumerate(all_sizes))
    high = max(y[i] + h / 2 for i, (_, h) in enumerate(all_sizes))
    points = [(x[i], y[i] - low) for i in range(len(all_sizes))]
    ways = {edge: [points[i] for i in chain[1:-1]] for edge, chain in chains.items()}
    return Layout(across - GAP[0], high - low, points[: len(sizes)], ways)


def _heights(
    columns: list[list[int]], sizes: Sequence[Point], links: Sequence[Edge]
) -> list[float]:
    """A height for each node: near the mean of its neighbours, apart from those of its layer."""
    neighbours: dict[str, dict[int, list[int]]] = {"left": {}, "right": {}}
    for a, b in links:
        neighbours["left"].setdefault(b, []).append(a)
        neighbours["right"].setdefault(a, []).append(b)
    y = [0.0] * len(sizes)
    for members in columns:
        _spread(members, y, sizes, {node: -place for place, node in enumerate(members)})
    for sweep in range(SWEEPS):
        side = neighbours["left" if sweep % 2 == 0 else "right"]
        for members in columns if sweep % 2 == 0 else reversed(columns):
            wished = {}
            for node in members:
                near = side.get(node, [])
                wished[node] = sum(y[n] for n in near) / len(near) if near else y[node]
            _spread(members, y, sizes, wished)
    return y


def _spread(
    members: list[int], y: list[float], sizes: Sequence[Point], wished: dict[int, float]
) -> None:
    """Puts the nodes of a layer where they wish to be, in that order, none on another."""
    members.sort(key=lambda node: -wished[node])
    top = float("inf")
    for node in members:
        half = sizes[node][1] / 2
        y[node] = min(wished[node], top - half)
        top = y[node] - half - GAP[1]
    # Pushed down they lie too low on the whole: back by the mean of it.
    back = sum(wished[node] - y[node] for node in members) / len(members)
    for node in members:
        y[node] += back
