"""What users get: the public names, and a wheel that holds all it needs and works on its own."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gpunet
from gpunet import data, functional, nn, optim, train, viz
from gpunet.autograd import creation
from tests.process import python

TOP = Path(__file__).parent.parent

# --- public names: a change here is a change that users see


OWN = """GradScaler Tensor autocast bool capture double enable_grad float float16 float32 float64
    functional grad gradcheck half int int16 int32 int64 int8 is_grad_enabled long manual_seed nn
    no_grad optim profile set_grad_enabled uint8"""


def test_public_names() -> None:
    assert sorted(gpunet.__all__) == sorted([*OWN.split(), *creation.__all__, *functional.__all__])


def public_classes(package) -> set[str]:
    """Classes written in the modules of a package, without those that only carry others."""
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0].isupper()
    }


@pytest.mark.parametrize("package", [nn, optim], ids=lambda package: package.__name__)
def test_every_class_is_exported(package) -> None:
    carriers = {
        *("ActivationLayer", "AveragedModel", "Border", "IncompatibleKeys", "Point"),
        *("RNNBase", "RNNCellBase"),
    }
    assert public_classes(package) - set(package.__all__) <= carriers
    assert len(set(package.__all__)) == len(package.__all__)


@pytest.mark.parametrize("module", [gpunet, nn, optim, data, train, viz], ids=lambda m: m.__name__)
def test_every_public_name_has_a_text(module) -> None:
    for name in module.__all__:
        assert getattr(module, name).__doc__, f"{module.__name__}.{name} has no docstring"


# --- the wheel


def run(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, TOP)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that holds gpunet alone, installed without its dependencies."""
    target = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", target, wheel)
    return target


def test_the_wheel_holds_the_package_and_nothing_else(wheel) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name == f"gpunet-{gpunet.__version__}-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {
        *("gpunet", f"gpunet-{gpunet.__version__}.dist-info")
    }
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]
    modules = {str(file.relative_to(TOP)) for file in (TOP / "gpunet").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_kernels_travel_with_it(installed) -> None:
    """Exactly the files of kernels/, byte for byte."""
    ours, theirs = TOP / "kernels", installed / "gpunet" / "_kernels"
    names = sorted(file.name for file in ours.iterdir())
    assert "common.cuh" in names
    assert len(names) > 3
    assert sorted(file.name for file in theirs.iterdir()) == names
    for name in names:
        assert (theirs / name).read_bytes() == (ours / name).read_bytes()


def test_data_types_and_licence_travel_with_it(installed) -> None:
    package = installed / "gpunet"
    attribution = (package / "data" / "digits.txt").read_text()
    assert "Alpaydin" in attribution
    for name in ("data/digits.npz", "data/digits.txt", "py.typed"):
        assert (package / name).read_bytes() == (TOP / "gpunet" / name).read_bytes()
    (information,) = installed.glob("*.dist-info")
    assert (information / "licenses" / "LICENSE").read_text() == (TOP / "LICENSE").read_text()
    assert "gpunet = gpunet.cli:main" in (information / "entry_points.txt").read_text()


STEP = """
import gpunet
from gpunet import data, functional as F, nn, optim
from gpunet.backend.cuda import folder
from gpunet.backend.cuda.source import kernels

gpunet.manual_seed(1)
train = data.load("digits", "train")
inputs, targets = next(iter(data.DataLoader(train, 64)))
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
optimizer = optim.SGD(model.parameters(), lr=0.1)
losses = []
for _ in range(2):
    optimizer.zero_grad()
    scores = model(gpunet.tensor(inputs))
    loss = F.mse_loss(scores, gpunet.tensor(inputs.reshape(64, 64)[:, :10]))
    losses.append(loss.item())
    loss.backward()
    optimizer.step()
assert losses[1] < losses[0], losses
assert len(kernels()) > 3
print(gpunet.__file__, folder(), sep="\\n")
"""


def test_it_works_on_its_own(installed, tmp_path) -> None:
    """From an empty folder: it finds its kernels, loads its digits and trains."""
    environment = {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    (tmp_path / "empty").mkdir()
    lines = python("-c", STEP, cwd=tmp_path / "empty", **environment).splitlines()
    assert lines == [str(installed / "gpunet/__init__.py"), str(installed / "gpunet/_kernels")]
    assert list((tmp_path / "empty").iterdir()) == []


def test_its_commands_work_on_their_own(installed, tmp_path) -> None:
    out = python("-m", "gpunet.cli", "info", cwd=tmp_path, PYTHONPATH=str(installed))
    assert "_kernels" in "".join(out.split())


def test_an_incomplete_installation_says_so(tmp_path, monkeypatch) -> None:
    from gpunet.backend.cuda import source

    monkeypatch.setattr(source, "__file__", str(tmp_path / "gpunet/backend/cuda/source.py"))
    with pytest.raises(FileNotFoundError, match=r"no CUDA sources in .*_kernels: reinstall gpunet"):
        source.folder()
