"""The rooms of gpunet, and who may call whom: imports run to the left only, wherever they stand."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpunet
from tests.process import python

PACKAGE = Path(gpunet.__file__).parent
TOP = Path(__file__).parent.parent

# From left to right. The kernels hold no Python; the version number belongs to no room.
ROOMS = [
    *({"errors"}, {"backend"}, {"autograd"}, {"functional"}, {"nn"}, {"optim"}),
    *({"profiling"}, {"gpunet"}, {"text"}, {"data", "models"}, {"viz"}, {"train"}, {"recipes"}),
    {"cli"},
]
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
WITHOUT_ARRAY_MODULES = ("autograd", "functional", "nn", "optim")  # they get a backend instead
SLOW = ("numba", "cupy", "rich", "matplotlib", "PIL", "safetensors", "urllib.request")


def room_of(module: str) -> str:
    """The room of a dotted name; "gpunet" is the package itself, which shows what rooms hold."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, also inside functions and for type checkers."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: relative imports hide the room"
            for alias in node.names:
                # From the package itself come rooms; from a module come things of its room.
                package = node.module == "gpunet"
                yield node.lineno, f"{node.module}.{alias.name}" if package else str(node.module)


def uphill(room: str, source: str) -> list[str]:
    """The imports of rooms that stand to the right of `room`, or beside it."""
    found = []
    for line, module in imports(source):
        if module.split(".")[0] != "gpunet" or module == "gpunet.__version__":
            continue
        other = room_of(module)
        other = other if other in RANK else "gpunet"  # something else that the package itself has
        if other != room and RANK[other] >= RANK[room]:
            found.append(f"line {line} imports {module}, but {other} is not to the left of {room}")
    return found


FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize(
    "file", FILES, ids=[str(file.relative_to(PACKAGE)) for file in FILES]
)


def room_of_file(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return "gpunet" if parts == ("__init__",) else parts[0]


@every_file
def test_imports_run_to_the_left(file) -> None:
    assert uphill(room_of_file(file), file.read_text()) == []


def test_every_room_has_its_place() -> None:
    assert {room_of_file(file) for file in FILES} == RANK.keys()


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("nn", "from gpunet import optim", ["gpunet.optim"]),
        ("nn", "def f():\n    from gpunet.train.run import Run", ["gpunet.train.run"]),
        ("backend", "import gpunet", ["gpunet"]),
        ("backend", "from gpunet import Tensor", ["gpunet.Tensor"]),
        ("models", "import gpunet.data.loader", ["gpunet.data.loader"]),
        ("train", "from gpunet import viz", []),
        ("errors", "import numpy, gpunet.backend as b", ["gpunet.backend"]),
        ("backend", "from gpunet import __version__", []),
        ("nn", "from gpunet import backend, nn\nfrom gpunet.nn import init\nimport math", []),
        ("data", "import gpunet", []),
    ],
)
def test_an_import_that_runs_uphill_is_found(room, source, found) -> None:
    assert [line.split()[3].rstrip(",") for line in uphill(room, source)] == found


@every_file
def test_array_modules_stay_in_the_backend(file) -> None:
    """An operation of these rooms gets its backend passed in, so it runs on every device."""
    if room_of_file(file) in WITHOUT_ARRAY_MODULES:
        modules = {module.split(".")[0] for _, module in imports(file.read_text())}
        assert not modules & {"numpy", "cupy", "numba"}


LONG = 450  # lines; one sitting's reading


def test_files_are_short() -> None:
    sources = [
        file
        for folder in ("gpunet", "kernels", "tests", "bench")
        for suffix in ("py", "cu", "cuh", "hpp", "cpp")
        for file in (TOP / folder).rglob(f"*.{suffix}")
    ]
    assert len(sources) > 100
    lengths = {str(f.relative_to(TOP)): len(f.read_text().splitlines()) for f in sources}
    assert {name: length for name, length in lengths.items() if length > LONG} == {}


def test_importing_gpunet_loads_nothing_slow(tmp_path) -> None:
    code = f"import gpunet, json, sys; print(json.dumps([m for m in {SLOW} if m in sys.modules]))"
    assert json.loads(python("-c", code, cwd=tmp_path)) == []


def test_the_command_line_loads_nothing_slow_before_it_knows_the_command(tmp_path) -> None:
    code = (
        "import json, sys; from gpunet.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        f"print(json.dumps([m for m in {SLOW} if m in sys.modules]))"
    )
    assert json.loads(python("-c", code, cwd=tmp_path).splitlines()[-1]) == []
