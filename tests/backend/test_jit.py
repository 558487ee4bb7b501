"""How kernels are compiled: what names and literals mean, and where the machine code lies."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import config

from gpunet.backend.cpu import jit
from gpunet.backend.cpu.jit import ByDtype, Kernel, T, kernel
from tests.process import python

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache, which the kernels of the test use alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jit, "compiler", jit._Compiler())
    return tmp_path


@kernel
def half(x):
    return x * 0.5


@kernel
def half_by_name(x):
    return x * T(0.5)


@kernel
def quarter(x):
    return half(half(x))


@kernel
def third(x):
    return x * share


@kernel
def twice(x, times=2):
    return x * times


share = ByDtype(float32=np.float32(1 / 3), float64=1 / 3)
root = ByDtype(float32=Kernel(lambda x: x**0.5, name="root_of_float32"), float64=np.sqrt)


@kernel
def root_of_quarter(x):
    return root(quarter(x))


def returned(variant) -> str:
    """The dtype that the compiled function returns, which Python's own numbers hide."""
    return str(variant.nopython_signatures[0].return_type)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(half, 4.5), (half_by_name, 4.5), (quarter, 2.25), (root_of_quarter, 1.5)],
    ids=lambda x: getattr(x, "name", None),
)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_literals_and_names_take_the_dtype(folder, function, expected, dtype) -> None:
    """A stray float64 literal or callee would return float64 from a float32 kernel."""
    variant = function._compile(dtype)
    assert variant(dtype.type(9)) == expected
    assert returned(variant) == dtype.name


def test_two_threads_that_need_a_variant_compile_one(folder, monkeypatch) -> None:
    """Numba's setting of the folder is global: threads that came in between would undo it."""
    made = []

    def slowly(*args, **kwargs):
        before = config.CACHE_DIR
        time.sleep(0.1)
        made.append((before, config.CACHE_DIR))
        return compiled(*args, **kwargs)

    compiled = numba.njit
    monkeypatch.setattr(numba, "njit", slowly)
    fresh, other = (Kernel(lambda x: x + x, name=name) for name in ("fresh", "other"))
    with ThreadPoolExecutor(4) as pool:
        variants = list(pool.map(lambda k: k[FLOAT32], [fresh, other, fresh, other]))
    assert variants[0] is variants[2]
    assert variants[1] is variants[3]
    assert made == [(str(jit.compiler.folder), str(jit.compiler.folder))] * 2


def test_values_by_dtype(folder) -> None:
    assert third._compile(FLOAT64)(3.0) == 1.0
    assert third._compile(FLOAT32)(np.float32(3)) == np.float32(3) * np.float32(1 / 3)


def test_bindings_and_defaults(folder) -> None:
    bound = Kernel(lambda x: f(x) + 1.0, name="bound", bindings={"f": half})  # noqa: F821
    assert bound[FLOAT32](np.float32(4)) == 3
    assert returned(bound[FLOAT32]) == "float32"
    assert bound[FLOAT32] is bound[FLOAT32]
    assert twice._compile(FLOAT64)(1.5) == 3.0


def test_division_by_zero_is_ieee(folder) -> None:
    """Python's ZeroDivisionError would cost a branch an element."""
    ratio = Kernel(lambda x, y: x / y, name="ratio")
    assert ratio[FLOAT32](np.float32(1), np.float32(0)) == np.inf


# --- where machine code lies


def test_the_folder_is_named_after_the_sources(tmp_path, monkeypatch) -> None:
    package = tmp_path / "cpu"
    shutil.copytree(Path(jit.__file__).parent, package)
    monkeypatch.setattr(jit, "__file__", str(package / "jit.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = jit.cache_folder()
    assert first.parent == tmp_path / "cache" / "gpunet" / "kernels"
    assert jit.cache_folder() == first
    with open(package / "scalar.py", "a") as source:
        source.write("# another text\n")
    assert jit.cache_folder() != first
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert jit.cache_folder().parent == tmp_path / "home" / ".cache" / "gpunet" / "kernels"


def test_functions_of_others_are_cached_where_they_were(folder) -> None:
    from numba import config

    before = config.CACHE_DIR
    assert Kernel(lambda x: x + 1.0, name="one_more")[FLOAT32](np.float32(1)) == 2
    assert config.CACHE_DIR == before
    assert [file.name.split("-")[0] for file in folder.rglob("*.nbc")] == [
        "test_jit.one_more_float32"
    ]


STEP = """
import gc, json
from pathlib import Path
import gpunet
from gpunet import functional as F, nn, optim
from gpunet.backend.cpu.jit import Kernel, compiler

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = optim.SGD(model.parameters(), lr=0.1)
F.mse_loss(model(gpunet.tensor([[1.0] * 4] * 3)), gpunet.tensor([[1.0] * 2] * 3)).backward()
optimizer.step()

kernels = [k for k in gc.get_objects() if type(k) is Kernel]
pointers = [v for k in kernels if k.pointer for v in k.values()]
stats = [v.stats for k in kernels if not k.pointer for v in k.values()]
print(json.dumps({
    "hits": sum(sum(s.cache_hits.values()) for s in stats) + sum(v.cache_hits for v in pointers),
    "misses": sum(sum(s.cache_misses.values()) for s in stats)
    + sum(not v.cache_hits for v in pointers),
    "compiled": sorted(str(f) for f in Path(compiler.folder or ".").rglob("*.nbc")),
    "folder": str(compiler.folder),
    "bias": model[0].bias.detach().numpy().tolist(),
}))
"""


def test_a_second_process_compiles_nothing(tmp_path) -> None:
    first, second = [json.loads(python("-c", STEP, XDG_CACHE_HOME=str(tmp_path))) for _ in range(2)]
    assert first["misses"] > 0
    assert first["compiled"]
    assert second["misses"] == 0
    assert second["hits"] == len(first["compiled"])
    assert second["compiled"] == first["compiled"]
    assert second["bias"] == first["bias"]


def test_without_a_cache_folder_kernels_still_work(tmp_path) -> None:
    file = tmp_path / "a_file"
    file.write_text("no folder")
    done = json.loads(python("-c", STEP, XDG_CACHE_HOME=str(file / "below"), cwd=tmp_path))
    assert done["folder"] == "None"
    assert done["hits"] == 0
    assert done["misses"] > 0
    assert [path.name for path in tmp_path.rglob("*")] == ["a_file"]


LATE = """
import sys
import numba, numpy as np
import gpunet
assert gpunet.ones(3).relu().shape == (3,)
assert "numba.np.arraymath" in sys.modules
assert "scipy.linalg" not in sys.modules
assert numba.njit(lambda a, b: np.dot(a, b))(np.eye(3), 2 * np.eye(3)).trace() == 6
assert "scipy.linalg" in sys.modules
"""


def test_kernels_do_without_scipy_and_others_find_it() -> None:
    pytest.importorskip("scipy", reason="SciPy is not installed: beside it NOT tried")
    python("-c", LATE)
