"""The drawn computation graph: which boxes, what stands in them, and where they are."""

import re
import shutil
import xml.etree.ElementTree as ET

import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn, viz
from gpunet.errors import ArgumentError
from gpunet.viz import layout, style
from gpunet.viz.graph import _draw, boxes


def logistic():
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    w = gpunet.tensor([0.5, -0.25], requires_grad=True)
    z = w @ x
    a = F.sigmoid(z)
    loss = -F.log(a)
    return loss, {"x": x, "w": w, "z": z, "a": a}


def test_boxes_of_logistic_regression() -> None:
    loss, names = logistic()
    found = boxes(loss, names, values=True)
    edges = {(below.lines[0], box.lines[0]) for box in found for below in box.inputs}
    assert edges == {("w", "z"), ("x", "z"), ("z", "a"), ("a", "L")}
    lines = {box.lines[0]: box.lines[1:] for box in found}
    assert lines == {
        "x": ["= 1, 2", "∂ −0.25, 0.125"],
        "w": ["= 0.5, −0.25", "∂ −0.5, −1"],
        "z": ["Dot", "= 0", "∂ −0.5"],
        "a": ["Sigmoid", "= 0.5", "∂ −2"],
        "L": ["Log, Negate", "= 0.693", "∂ 1"],
    }
    colours = {box.lines[0]: box.colour for box in found}
    assert colours["x"] == colours["w"] == style.GREEN
    assert colours["z"] == colours["a"] == style.BLUE
    assert colours["L"] == style.VERMILLION


def test_what_has_no_name_tells_its_operation_and_shape() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    hidden = F.tanh(model[0](gpunet.zeros(5, 3)))
    loss = F.mse_loss(model[1](hidden), gpunet.zeros(5, 1))
    found = boxes(loss, dict(model.named_parameters()), values=False)
    assert [box.lines for box in found] == [
        ["0.weight", "(4, 3)"],
        ["0.bias", "(4,)"],
        ["Linear", "(5, 4)"],
        ["1.weight", "(1, 4)"],
        ["1.bias", "(1,)"],
        ["Tanh, Linear", "(5, 1)"],
        ["L", "MSE"],
    ]


def test_long_values_are_told_by_their_norm() -> None:
    x = gpunet.tensor([3.0, 4.0, 0.0, 0.0, 0.0], requires_grad=True)
    (box, _) = boxes(x.sum(), {"x": x}, values=True)
    assert box.lines == ["x", "(5,)", "= ‖·‖ 5", "∂ ‖·‖ 2.24"]


def test_a_name_of_something_else_is_refused(tmp_path) -> None:
    loss, names = logistic()
    with pytest.raises(ArgumentError, match="names must be of tensors that the loss depends on"):
        viz.graph(loss, tmp_path / "a.png", names={**names, "t": gpunet.tensor(1.0)})


@pytest.mark.parametrize("values", [False, True])
def test_it_can_be_read(assert_readable, values) -> None:
    loss, names = logistic()
    assert_readable(_draw(boxes(loss, names, values)))


def test_svg_and_png(tmp_path) -> None:
    loss, names = logistic()
    png = viz.graph(loss, tmp_path / "a.png", names=names)
    assert png.read_bytes().startswith(b"\x89PNG")
    svg = viz.graph(loss, tmp_path / "a.svg", names=names)
    assert ET.parse(svg).getroot().tag.endswith("svg")
    again = viz.graph(loss, tmp_path / "b.svg", names=names)
    assert again.read_bytes() == svg.read_bytes()


# --- layout

GRAPHS = {
    "chain": (4, [(0, 1), (1, 2), (2, 3)]),
    "residual": (4, [(0, 1), (1, 2), (0, 3), (2, 3)]),
    "two layers": (8, [(0, 3), (1, 3), (2, 3), (3, 4), (4, 7), (5, 7), (6, 7)]),
    "crossed": (6, [(0, 3), (0, 4), (1, 3), (1, 5), (2, 4), (2, 5)]),
    "alone": (1, []),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("way", [layout.by_layers, layout.by_graphviz], ids=["own", "dot"])
def test_no_box_is_on_another_and_arrows_go_right(name, way) -> None:
    if way is layout.by_graphviz and not shutil.which("dot"):
        pytest.skip("Graphviz is missing, and its layout was NOT tried")
    count, edges = GRAPHS[name]
    sizes = [(0.6 + 0.1 * i, 0.4 + 0.05 * i) for i in range(count)]
    found = way(sizes, edges)
    areas = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(found.places, sizes, strict=True)
    ]
    for i, (left, low, right, high) in enumerate(areas):
        assert left > -1e-2
        assert low > -1e-2
        assert right < found.width + 1e-2
        assert high < found.height + 1e-2
        for others in areas[:i]:
            beside = others[2] <= left or right <= others[0]
            assert beside or others[3] <= low or high <= others[1]
    for a, b in edges:
        xs = [areas[a][2], *(x for x, _ in found.ways.get((a, b), [])), areas[b][0]]
        assert xs == sorted(xs)


def test_a_long_edge_passes_beside_the_boxes_between() -> None:
    count, edges = GRAPHS["residual"]
    found = layout.by_layers([(0.6, 0.4)] * count, edges)
    way = found.ways[0, 3]
    assert len(way) == 2
    for (x, y), node in zip(way, (1, 2), strict=True):
        assert x == pytest.approx(found.places[node][0])
        assert abs(y - found.places[node][1]) >= 0.2


def tool(folder, monkeypatch, script) -> None:
    """A program that is called `dot`, and is found first."""
    path = folder / "dot"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    "script",
    [
        "echo broken >&2; exit 1",
        "exec no-such-program",
        "echo graph",
        "echo graph 1 2 3; echo stop",
    ],
    ids=["fails", "is missing a part", "breaks off", "places nothing"],
)
def test_without_a_dot_that_works_gpunet_places_the_boxes(script, tmp_path, monkeypatch) -> None:
    count, edges = GRAPHS["two layers"]
    sizes = [(0.6, 0.4)] * count
    tool(tmp_path, monkeypatch, script)
    assert layout.lay_out(sizes, edges) == layout.by_layers(sizes, edges)
    monkeypatch.setenv("PATH", "")
    assert layout.lay_out(sizes, edges) == layout.by_layers(sizes, edges)


def test_a_dot_that_works_is_asked_and_believed(tmp_path, monkeypatch) -> None:
    (tmp_path / "plain").write_text(PLAIN)
    tool(tmp_path, monkeypatch, f"cat > {tmp_path}/asked; cat {tmp_path}/plain")
    found = layout.lay_out([(1.0, 0.5), (1.0, 0.5)], [(0, 1)])
    assert found == layout.read_plain(PLAIN, 2)
    assert (tmp_path / "asked").read_text() == layout.describe([(1.0, 0.5), (1.0, 0.5)], [(0, 1)])


ID, NUMBER = r"[A-Za-z_]\w*", r"-?(?:\.\d+|\d+(?:\.\d*)?)"
SETTING = rf"{ID}\s*=\s*(?:{ID}|{NUMBER})"
SETTINGS = rf"\[\s*{SETTING}(?:\s*[,;]\s*{SETTING})*\s*\]"
STATEMENT = rf"(?:{SETTING}|(?:graph|node|edge)\s*{SETTINGS}|{ID}\s*->\s*{ID}|{ID}\s*{SETTINGS})"


@pytest.mark.parametrize("name", GRAPHS)
def test_what_dot_is_given_is_in_its_language(name) -> None:
    """The grammar of www.graphviz.org/doc/info/lang.html, without what is not needed here."""
    count, edges = GRAPHS[name]
    sizes = [(0.6 + 0.1 * i, 0.4 + 0.05 * i) for i in range(count)]
    text = layout.describe(sizes, edges)
    assert re.fullmatch(rf"digraph\s*{{\s*(?:{STATEMENT}\s*;?\s*)*}}", text)
    boxes = re.findall(rf"(n\d+) \[width=({NUMBER}), height=({NUMBER})\]", text)
    expected = [(f"n{i}", *size) for i, size in enumerate(sizes)]
    assert [(node, float(w), float(h)) for node, w, h in boxes] == [
        (node, pytest.approx(w), pytest.approx(h)) for node, w, h in expected
    ]
    assert re.findall(r"n(\d+) -> n(\d+)", text) == [(str(a), str(b)) for a, b in edges]
    assert {"rankdir=LR", "fixedsize=true"} <= set(re.findall(r"[a-z]+=\w+", text))


PLAIN = """graph 1 3.5 1.25
node n0 0.5 0.75 1 0.5 n0 solid box black lightgrey
node n1 3 0.25 1 0.5 n1 solid box black lightgrey
edge n0 n1 7 1 0.7 1.2 0.6 1.5 0.5 1.75 0.45 2 0.4 2.2 0.3 2.4 0.3 solid black
stop
"""


def test_the_plain_format_of_graphviz() -> None:
    found = layout.read_plain(PLAIN, 2)
    assert (found.width, found.height) == (3.5, 1.25)
    assert found.places == [(0.5, 0.75), (3.0, 0.25)]
    assert found.ways == {(0, 1): [(1.75, 0.45)]}
