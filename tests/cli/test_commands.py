"""The other commands: what they print, and what they say of bad input."""

import argparse
import json
import re

import numpy as np
import pytest
from PIL import Image

from gpunet import __version__, cli, data, functional, nn, optim
from gpunet.backend import cpu
from gpunet.backend.cpu import jit
from gpunet.backend.cuda import evidence as evidence_of
from gpunet.backend.cuda import loader
from gpunet.backend.cuda.source import kernels
from gpunet.cli import profile
from gpunet.train import Evaluation, Run, build, checkpoint
from gpunet.train.build import build_model, build_task
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended
from tests.process import python


@pytest.fixture(scope="session")
def result(trained) -> Evaluation:
    """What the trained network makes of the test set, without the command line."""
    run = Run.open(trained.folder)
    config = run.config
    model = build_model(config)
    checkpoint.restore_model(run.checkpoint, checkpoint.load(run.checkpoint), model)
    return build_task(config).evaluate(model, data.load("digits", "test"), cpu)


# --- eval


def test_eval(gpunet, trained, result) -> None:
    done = gpunet("eval", trained.folder)
    assert done.status == 0
    targets = data.load("digits", "test").targets
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["class", "examples", "recall", "precision"]
    for digit, row in enumerate(rows[1:11]):
        of_digit, said = targets == digit, result.outputs.argmax(1) == digit
        right = (of_digit & said).sum()
        figures = [f"{right / of_digit.sum():.2%}", f"{right / said.sum():.2%}"]
        assert row == [str(digit), str(of_digit.sum()), *figures]
    wrong = (result.outputs.argmax(1) != targets).sum()
    assert done.out.splitlines()[-1] == (
        f"digits test set: loss {result.figures['loss']:.4f}, "
        f"accuracy {result.figures['accuracy']:.2%} ({wrong} of 1,797 wrong)"
    )


def test_eval_of_a_class_that_is_never_said(gpunet, run_folder) -> None:
    """The last layer's bias keeps the network from ever saying 3."""
    run = Run.open(run_folder)
    saved, model = checkpoint.load(run.checkpoint), build_model(run.config)
    saved.tensors["model.4.bias"][3] = -1e9
    checkpoint.restore_model(run.checkpoint, saved, model)
    checkpoint.save(run.checkpoint, model, optim.SGD(model.parameters()), {})
    done = gpunet("eval", run_folder)
    assert done.status == 0
    assert done.out.splitlines()[4].split() == ["3", "183", "0.00%", "never", "said"]


# --- predict


@pytest.fixture
def picture(tmp_path, result):
    """Makes a picture of the surest right answer for a digit: black on white, 20 times as large."""
    test = data.load("digits", "test")

    def draw(digit: int, name: str) -> tuple[str, float]:
        chosen = (test.targets == digit) & (result.outputs.argmax(1) == digit)
        index = (result.outputs[:, digit] * chosen).argmax()
        ink = np.kron(test.inputs[index, 0], np.ones((20, 20)))
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.uint8(255 - 255 * ink)).save(file)
        return str(file)

    return draw


def test_predict(gpunet, trained, picture) -> None:
    """A line for the answer, and a bar for each class, the likeliest first."""
    files = [picture(7, "seven.png"), picture(0, "[bold]/zero [1].png"), picture(4, "4.bmp")]
    done = gpunet("predict", trained.folder, *files)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert len(lines) == 33
    for i, (file, digit) in enumerate(zip(files, "704", strict=True)):
        assert lines[11 * i] == f"{file}: {digit}"
        bars = [
            re.fullmatch(r"  (\d)  (█*) +([\d.]+)%", line)
            for line in lines[11 * i + 1 : 11 * i + 11]
        ]
        assert sorted(bar[1] for bar in bars) == list("0123456789")
        assert bars[0][1] == digit
        shares = [float(bar[3]) for bar in bars]
        assert shares == sorted(shares, reverse=True)
        assert abs(sum(shares) - 100) <= 10 * 0.005 + 1e-9
        for bar, share in zip(bars, shares, strict=True):
            assert abs(len(bar[2]) - 30 * share / 100) <= 0.5 + 30 * 0.00005


def test_predict_says_which_picture_is_bad(gpunet, trained, picture, tmp_path) -> None:
    good, bad = picture(7, "good.png"), tmp_path / "bad.png"
    bad.write_text("no picture")
    done = gpunet("predict", trained.folder, good, bad)
    assert done.status == 1
    assert done.out.startswith(f"{good}: 7\n")
    assert done.err.startswith(f"error read_image: {bad} must be a readable image, got: ")
    done = gpunet("predict", trained.folder, tmp_path / "missing.png")
    assert done.status == 1
    assert "missing.png must be a readable image" in done.err


@pytest.mark.parametrize("command", [("eval",), ("predict", "seven.png")])
def test_no_run(gpunet, tmp_path, command) -> None:
    name, *images = command
    for folder in (tmp_path, tmp_path / "missing"):
        done = gpunet(name, folder, *images)
        assert (done.status, done.out) == (1, "")
        assert done.err == (
            f"error run: must be the folder of a run, got {folder} without config.toml\n"
        )


def test_a_checkpoint_of_another_model(gpunet, run_folder) -> None:
    file = run_folder / "config.toml"
    file.write_text(file.read_text().replace("_features = 32", "_features = 33"))
    done = gpunet("eval", run_folder)
    assert done.status == 1
    assert "must be of this model, got another: load_state_dict: 1.weight must have" in done.err


# --- summary


def test_compare(gpunet, trained, run_folder, tmp_path) -> None:
    done = gpunet("compare", trained.folder, run_folder.rename(tmp_path / "other"),
                  "--out", tmp_path / "both.png")  # fmt: skip
    assert (done.status, done.err) == (0, "")
    title, first, second, picture = done.out.splitlines()
    figures = "train loss  train accuracy  test loss  test accuracy"
    assert " ".join(title.split()) == f"run epochs minutes {' '.join(figures.split())}"
    assert [line.split()[0] for line in (first, second)] == ["run", "other"]
    assert first.split()[1:] == second.split()[1:]
    last = json.loads((trained.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert first.split()[-1] == f"{last['test_accuracy']:.4f}"
    assert picture == f"picture, open it: {tmp_path / 'both.png'}"
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def test_compare_refuses_what_it_cannot_draw(gpunet, trained, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "metrics.jsonl").write_text("{")
    for folders, problem in (
        ([trained.folder, trained.folder], "runs must have different names, got run twice"),
        ([tmp_path / "empty"], "without metrics.jsonl; it is written after each epoch"),
        ([tmp_path / "broken"], "must hold a line of JSON an epoch, got:"),
    ):
        done = gpunet("compare", *folders, "--out", tmp_path / "a.png")
        assert done.status == 1
        assert problem in done.err
    assert not (tmp_path / "a.png").exists()


def test_summary(gpunet, config) -> None:
    done = gpunet("summary", config)
    assert done.status == 0
    rows = [re.split(r" {2,}", line.strip()) for line in done.out.splitlines()]
    assert rows == [
        ["tiny on digits"],
        ["layer", "output", "weights", "biases", "multiply-adds"],
        ["input", "1 × 8 × 8"],
        ["0", "Flatten(start_dim=1, end_dim=-1)", "64"],
        ["1", "Linear(64, 32, bias=True)", "32", "2,048", "32", "2,048"],
        ["2", "ReLU()", "32"],
        ["3", "Dropout(p=0.1)", "32"],
        ["4", "Linear(32, 10, bias=True)", "10", "320", "10", "320"],
        ["all", "2,368", "42", "2,368"],
        ["2,410 parameters, 0.01 MB in float32; multiply-adds for one example"],
    ]


def test_summary_of_memory(gpunet, config) -> None:
    """Layer 1 keeps x (64, 64), y (64, 32) for its ReLU and 4, and what Dropout gave."""
    done = gpunet("summary", config, "--memory", "--set", "optimizer.kind=SGD")
    assert done.status == 0
    rows = {line.split()[0]: re.split(r" {2,}", line.strip()) for line in done.out.splitlines()}
    assert rows["layer"] == ["layer", "parameters", "gradients", "optimizer", "kept", "all"]
    assert rows["1"] == ["1", "8.32 kB", "8.32 kB", "24.6 kB", "41.2 kB"]
    assert rows["4"][:3] == ["4", "1.32 kB", "1.32 kB"]
    assert rows["all"][:3] == ["all", "9.64 kB", "9.64 kB"]


def test_summary_of_layers_that_do_not_fit(gpunet, config) -> None:
    done = gpunet("summary", config, "--set", "model.layers.4.in_features=33")
    assert done.status == 1
    assert "x must have shape (..., in) = (..., 33), got (1, 32)" in done.err
    assert done.err.endswith("(in layer 4)\n")


# --- find-lr and verify-resume


def test_find_lr(gpunet, config, tmp_path) -> None:
    picture = tmp_path / "rates.png"
    done = gpunet("find-lr", config, "--steps", 60, "--out", picture)
    assert (done.status, done.err) == (0, "")
    found = re.search(r"the loss falls fastest at lr = (\S+), and was least at (\S+); ", done.out)
    assert 1e-4 < float(found[1]) < float(found[2]) < 1
    assert "; the configuration has 0.01\n" in done.out
    assert f"picture, open it: {picture}" in done.out
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_verify_resume(gpunet, config) -> None:
    done = gpunet("verify-resume", config, "--steps", 7, "--set", "train.batch_size=1024")
    assert (done.status, done.err) == (0, "")
    assert "7 steps, twice: stopped after 2 and 4" in done.out
    assert done.out.endswith("exact: the same bits with and without the stops\n")


def test_a_layer_that_keeps_things_to_itself_is_found(gpunet, config, monkeypatch) -> None:
    class Tiring(nn.Module):
        """Multiplies by less at each call, and does not write down how often it was called."""

        calls = 0

        def forward(self, x):
            self.calls += 1
            return x * (1 / self.calls)

    monkeypatch.setitem(build._LAYERS, "ReLU", Tiring)
    done = gpunet("verify-resume", config, "--steps", 3, "--set", "train.batch_size=2048")
    assert done.status == 1
    assert "not exact: what the model draws or keeps must be in its state" in done.out
    assert re.search(r"^  model\.1\.weight differs by up to [\d.e-]+$", done.out, re.M)
    assert "  the state of progress differs\n" in done.out


def test_verify_resume_of_too_few_steps(gpunet, config) -> None:
    done = gpunet("verify-resume", config, "--steps", 2)
    assert done.err == "error verify-resume: --steps must be at least 3, got 2\n"


# --- profile


def test_profile(gpunet, config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(profile, "LEAST", 0.0)
    trace = tmp_path / "trace.json"
    done = gpunet("profile", config, "--steps", 5, "--out", trace)
    assert (done.status, done.err) == (0, "")
    assert re.search(
        r"^5 steps of [\d.]+ ms, .* in use at the most; the recorder took", done.out, re.M
    )
    rows = [re.split(r" {2,}", line.strip()) for line in done.out.splitlines() if "%" in line]
    found = {tuple(row[:3]) for row in rows}
    assert {("forward", "1", "Linear + ReLU"), ("backward", "4", "Linear")} <= found
    assert ("optimizer", "AdamW") in {tuple(row[:2]) for row in rows}
    shares = [float(cell[:-1]) for row in rows for cell in row if re.fullmatch(r"[\d.]+%", cell)]
    assert min(shares) >= 0
    assert f"trace, open it in https://ui.perfetto.dev: {trace}" in done.out
    events = json.loads(trace.read_text())["traceEvents"]
    assert sum(event["ph"] == "X" and event["cat"] == "optimizer" for event in events) == 5


def test_profile_of_no_step(gpunet, config) -> None:
    done = gpunet("profile", config, "--steps", 0)
    assert done.err == "error profile: --steps must be at least 1, got 0\n"


# --- info and ops


def test_info(gpunet) -> None:
    loader.writable_folder.cache_clear()  # other tests take the folder away
    done = gpunet("info")
    assert done.status == 0
    rows = dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in done.out.splitlines())
    about_cuda = ["cuda", "cuda compiler", "cuda kernels", "cuda sources"]
    assert [row for row in rows if row not in about_cuda] == [
        *("gpunet", "packages", "cpu", "cpu kernels")
    ]
    assert [row for row in rows if row in about_cuda] == about_cuda
    assert rows["gpunet"].startswith(f"{__version__}, Python 3.")
    for package in ("numpy", "numba", "safetensors", "pillow"):
        assert re.search(rf"\b{package} \d+\.\d+", rows["packages"])
    assert re.search(r", \d+ cores; \d+ threads compute$", rows["cpu"])
    assert rows["cpu kernels"].endswith(f" MB in {jit.compiler.folder}")
    assert rows["cuda sources"].endswith("kernels")
    assert rows["cuda kernels"].endswith(f" MB in {loader.cache_folder()}")


def test_info_says_why_there_is_no_gpu(gpunet, monkeypatch) -> None:
    """As it is written: brackets are no mark-up."""
    monkeypatch.setattr("gpunet.cli.info.probe", lambda: "pip install 'gpunet[cuda13]' [/]")
    assert "pip install 'gpunet[cuda13]' [/]" in gpunet("info").out


def test_info_without_a_kernel_cache(gpunet, monkeypatch) -> None:
    monkeypatch.setattr(jit.compiler, "folder", None)
    assert (
        f"{jit.cache_folder()} cannot be written: kernels are compiled anew" in gpunet("info").out
    )


def test_info_of_a_machine_with_two_gpus(gpunet, monkeypatch) -> None:
    lines = [f"cuda:{n} NVIDIA H100, 80 GB, sm_90; driver CUDA 13.0" for n in range(2)]
    monkeypatch.setattr("gpunet.cli.info.probe", lambda: "")
    monkeypatch.setattr("gpunet.cli.info.devices", lambda: lines)
    monkeypatch.setattr("gpunet.cli.info.nvrtc.find", lambda: None)
    done = gpunet("info")
    assert re.search(rf"^cuda +{lines[0]} *\n +{lines[1]} *$", done.out, re.M)
    assert re.search(r"^cuda compiler +no NVRTC found *$", done.out, re.M)
    assert re.search(r"^cuda or cpu +not measured which is faster when: gpunet b", done.out, re.M)


# --- warmup, and the other commands on a GPU


def test_warmup_without_a_gpu_says_what_is_missing(gpunet, monkeypatch) -> None:
    monkeypatch.setattr("gpunet.backend.cuda.probe", lambda: "there is no driver [/]")
    done = gpunet("warmup")
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "error warmup: there must be a GPU to compile for, but there is no driver [/]\n"
    )


def test_warmup_loads_every_kernel_in_every_dtype(gpunet, monkeypatch) -> None:
    loaded = []
    monkeypatch.setattr(HostGPU, "load", lambda self, *what: loaded.append(what))
    with pretended(HostGPU()):
        done = gpunet("warmup")
    assert done.status == 0
    dtypes = ("float32", "float64", "float16", "bfloat16")
    assert loaded == [(family, dtype) for family in kernels() for dtype in dtypes]
    count = sum(map(len, kernels().values()))
    assert f"{count} kernels in 4 dtypes are ready for host after " in done.out


@needs.compiler
def test_a_run_of_the_cpu_on_a_gpu(gpunet, run_folder) -> None:
    """Accuracy and probabilities are those of the CPU to the digits that are shown."""
    plain = gpunet("eval", run_folder)
    with pretended(HostGPU()):
        there = gpunet("eval", run_folder, "--device", "cuda")
    assert (plain.status, there.status) == (0, 0)
    assert there.out == plain.out


@needs.compiler
def test_a_gpus_run_goes_on_on_the_cpu(gpunet, config, tmp_path) -> None:
    with pretended(HostGPU()):
        short = ("--set", "train.epochs=1")
        done = gpunet("train", config, "--device", "cuda", "--out", tmp_path / "run", *short)
    assert done.status == 0, done.err
    assert "device cuda:0" in done.out
    assert "test accuracy" in done.out
    assert gpunet("eval", tmp_path / "run", "--device", "cpu").status == 0


def test_ops(gpunet) -> None:
    """Every public function once, its kernels, and whole sources."""
    done = gpunet("ops")
    assert done.status == 0
    lines = done.out.splitlines()
    names = [n for n, f in vars(functional).items() if callable(f) and not n.startswith("_")]
    total, evidence = lines[-2:]
    assert total.startswith(f"{len(names)} operations. ")
    assert evidence.startswith("CUDA kernels by evidence from a GPU")
    for name in names:
        assert sum(name in line.split()[:2] for line in lines[:-2]) >= 1, name
    known = "|".join(set(evidence_of.STATES) - {"none"})  # it has run on a GPU
    relu = rf" relu +relu_fwd/bwd +floating +({known}) +Nair & Hinton, ICML 2010"
    assert re.search(relu, done.out)
    assert "Clevert et al., arXiv:1511.07289, eq. 16\n" in re.sub(" +\n", "\n", done.out)
    assert re.search(r"matmul +composed +any", done.out)


# --- help


def parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(commands.choices)


@pytest.mark.parametrize("name", parsers())
def test_help_mentions_every_option(gpunet, name) -> None:
    done = gpunet(name, "--help")
    assert done.status == 0
    text = " ".join(done.out.split())
    for action in parsers()[name]._actions:
        assert action.help
        assert action.help in text
        for option in action.option_strings or [action.metavar or action.dest]:
            assert option in text


def test_help_mentions_every_command_with_an_example(gpunet) -> None:
    done = gpunet("--help")
    assert done.status == 0
    assert set(parsers()) == {
        *("train", "folds", "eval", "predict", "generate", "chat", "compare", "summary", "report"),
        *("find-lr", "profile", "verify-resume", "demo", "bench", "info", "warmup", "ops"),
    }
    for name in parsers():
        assert re.search(rf"^    {name}\b", done.out, re.M)
        assert re.search(rf"^  gpunet {name}", done.out, re.M)


@pytest.mark.parametrize(
    "arguments", [(), ("trian",), ("train", "--epochs", "3"), ("predict", "run")]
)
def test_usage_errors(gpunet, arguments) -> None:
    done = gpunet(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("usage: gpunet")
    assert "gpunet: error: " in done.err or "error: " in done.err.splitlines()[-1]


def test_version(gpunet) -> None:
    assert gpunet("--version").out == f"gpunet {__version__}\n"
    assert python("-m", "gpunet.cli", "--version") == f"gpunet {__version__}\n"
