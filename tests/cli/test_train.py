"""`gpunet train`: what it writes and says, what it refuses to begin, and how it is stopped."""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gpunet.cli import train as command
from gpunet.train import checkpoint
from gpunet.train.config import load

EPOCH = re.compile(r"^ +(\d+)/(\d+) +([\d.]+) +([\d.]+)% +([\d.]+) +([\d.]+)% +([\d,]+)$", re.M)


def metrics(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# --- a run


def test_it_says_how_it_goes(trained) -> None:
    """Also without a terminal: a line an epoch, with the figures of metrics.jsonl."""
    lines = trained.out.splitlines()
    assert lines[0] == "tiny  3,823 training and 1,797 test examples, 2,410 parameters"
    assert re.fullmatch(r"device cpu.*; ready after \d+\.\d s", lines[1])
    printed = EPOCH.findall(trained.out)
    assert [(row[0], row[1]) for row in printed] == [("1", "2"), ("2", "2")]
    for row, record in zip(printed, metrics(trained.folder), strict=True):
        assert row[2] == f"{record['train_loss']:.4f}"
        assert row[3] == f"{record['train_accuracy']:.2%}"[:-1]
        assert row[4] == f"{record['test_loss']:.4f}"
        assert row[5] == f"{record['test_accuracy']:.2%}"[:-1]
    accuracy = metrics(trained.folder)[-1]["test_accuracy"]
    assert f"\ntest accuracy {accuracy:.2%} in " in trained.out
    assert (
        f"written to {trained.folder}/: config.toml, metrics.jsonl, checkpoint.saf" in trained.out
    )


def test_it_learns(trained) -> None:
    """Two epochs of a small network; one in ten is right by chance."""
    assert metrics(trained.folder)[-1]["test_accuracy"] > 0.85


def test_files(trained) -> None:
    assert sorted(path.name for path in trained.folder.iterdir()) == [
        *("best.safetensors", "checkpoint.safetensors", "config.toml", "confusion_matrix.png"),
        *("learning_curve.png", "metrics.jsonl", "predictions.png"),
    ]
    config = load(trained.folder / "config.toml")
    assert (config.name, config.seed, config.train.epochs) == ("tiny", 3, 2)
    tensors = checkpoint.load(trained.folder / "checkpoint.safetensors").tensors
    assert tensors["model.1.weight"].shape == (32, 64)


@pytest.mark.parametrize("name", ["learning_curve", "confusion_matrix", "predictions"])
def test_pictures_can_be_opened(trained, name) -> None:
    assert f"{name}.png" in trained.out
    with Image.open(trained.folder / f"{name}.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) > 300
    assert len(np.unique(pixels)) > 20  # no empty page


def test_values_set_on_the_command_line(gpunet, config, tmp_path) -> None:
    done = gpunet(
        *("train", config, "--out", tmp_path / "run", "--device", "cpu"),
        *("--set", "train.epochs=1", "--set", "model.layers.1.out_features=8"),
        *("--set", "model.layers.4.in_features=8", "--set", "data.validation=0.5"),
    )
    assert done.status == 0, done.err
    used = load(tmp_path / "run" / "config.toml")
    assert (used.train.epochs, used.device, used.data.validation) == (1, "cpu", 0.5)
    assert used.model.layers[1].arguments["out_features"] == 8
    assert "1,911 training and 1,912 validation examples, 610 parameters" in done.out
    assert "validation accuracy" in done.out
    assert set(metrics(tmp_path / "run")[0]) >= {"validation_loss", "validation_accuracy"}


def test_without_a_name_for_the_folder_it_takes_the_next_free_one(
    gpunet, config, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "tiny-2"):
        done = gpunet("train", config, "--set", "train.epochs=1")
        assert done.status == 0
        assert (tmp_path / "runs" / name / "checkpoint.safetensors").is_file()
        assert f"written to runs/{name}/" in done.out


def test_without_matplotlib_there_are_no_pictures_but_all_the_rest(
    gpunet, config, tmp_path, monkeypatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = gpunet("train", config, "--out", tmp_path / "run", "--set", "train.epochs=1")
    assert done.status == 0
    assert "no pictures: " in done.out
    assert "pip install 'gpunet[plot]'" in done.out
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


def test_the_same_seed_gives_the_same_network(gpunet, config, trained, tmp_path) -> None:
    gpunet("train", config, "--out", tmp_path / "run")
    files = (folder / "checkpoint.safetensors" for folder in (trained.folder, tmp_path / "run"))
    first, second = (checkpoint.load(file).tensors for file in files)
    assert {k: v.tobytes() for k, v in first.items()} == {k: v.tobytes() for k, v in second.items()}


def test_in_float16_with_event_files(gpunet, config, tmp_path) -> None:
    pytest.importorskip(
        "tensorboardX", reason="tensorboardX is not installed: event files NOT tested"
    )
    done = gpunet(
        *("train", config, "--out", tmp_path / "run", "--set", "watch.tensorboard=true"),
        *("--set", "precision.dtype=float16", "--device", "cpu"),
    )
    assert done.status == 0, done.err
    assert "float16 is slower than float32 on a CPU" in done.out
    assert metrics(tmp_path / "run")[1]["skipped_steps"] == 0
    assert metrics(tmp_path / "run")[1]["test_accuracy"] > 0.8
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_with_diagnostics(gpunet, config, tmp_path) -> None:
    switches = [("--set", f"diagnostics.{n}=true") for n in ("gradient_norms", "update_ratios")]
    done = gpunet(
        *("train", config, "--out", tmp_path / "run", "--set", "diagnostics.every=20"),
        *(word for switch in switches for word in switch),
    )
    assert done.status == 0, done.err
    assert "diagnostics of 7 steps: nothing unusual\n" in done.out  # 1, 20, 40, ... of 120
    assert "gradient_flow.png" in done.out
    assert (tmp_path / "run" / "gradient_flow.png").is_file()


# --- refused before anything is computed


CONFIG, FOLDER = "{config}", "{folder}"
REFUSED = {
    "nothing to do": ([], "train: needs a configuration, or --resume RUN; for example configs/"),
    "no such file": (["missing.toml"], "missing.toml: no such file"),
    "typo in a key": (
        [CONFIG, "--set", "train.epoch=3"],
        'train.epoch is no known key; did you mean "epochs"?',
    ),
    "no such layer": (
        [CONFIG, "--set", "model.layers.2.kind=Relu"],
        'model.layers.2: kind "Relu" is not known; did you mean "ReLU"?',
    ),
    "bad value": ([CONFIG, "--set", "train.batch_size=0"], "batch_size must be at least 1, got 0"),
    "bad override": (
        [CONFIG, "--set", "epochs"],
        "must read KEY=VALUE, for example train.epochs=3",
    ),
    "no such device": ([CONFIG, "--device", "gpu"], '"cpu", "cuda" or "cuda:N", got "gpu"'),
    "folder taken": ([CONFIG, "--out", FOLDER], "a new or empty folder, got {folder}"),
    "no folder": (
        [CONFIG, "--out", f"{CONFIG}/run"],
        "{config}/run must be writable, got: Not a directory",
    ),
    "a file": ([CONFIG, "--out", CONFIG], "{config} must be writable, got: File exists"),
    "resume and more": ([CONFIG, "--resume", FOLDER], "--resume must stand alone"),
    "resume nothing": (["--resume", FOLDER], "got {folder} without config.toml"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(gpunet, config, tmp_path, monkeypatch, arguments, message) -> None:
    """One line on stderr, status 1, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    names = {"config": config, "folder": tmp_path}
    done = gpunet("train", *(argument.format(**names) for argument in arguments))
    assert done.status == 1
    assert done.out == ""
    assert done.err.startswith("error ")
    assert message.format(**names) in done.err
    assert done.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_gpu_cuda_is_refused_in_one_line(gpunet, config, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gpunet.backend.cuda.probe", lambda: "CuPy [x] finds no NVIDIA GPU")
    for device, number in (("cuda", 0), ("cuda:1", 1)):
        done = gpunet("train", config, "--device", device)
        assert done.status == 1
        assert done.err == (
            f"error device: cuda:{number} cannot be used: CuPy [x] finds no NVIDIA GPU; "
            "use device cpu or auto\n"
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_a_run_that_diverges(gpunet, config, tmp_path) -> None:
    settings = "--set", "optimizer.lr=1e38", "--set", "optimizer.kind=SGD"
    done = gpunet("train", config, "--out", tmp_path / "run", *settings)
    assert done.status == 1
    assert "the loss must be finite, got " in done.err
    assert " at epoch 1, batch 2; " in done.err
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


# --- stopped and taken up again


def test_a_finished_run_is_left_alone(gpunet, run_folder) -> None:
    before = {path: path.read_bytes() for path in run_folder.iterdir()}
    done = gpunet("train", "--resume", run_folder)
    assert done.status == 0
    assert f"{run_folder} is already trained to epoch 2" in done.out
    assert {path: path.read_bytes() for path in run_folder.iterdir()} == before


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None], ids=["empty", "other", "missing"])
def test_a_damaged_run_is_refused(gpunet, run_folder, damage) -> None:
    file = run_folder / "checkpoint.safetensors"
    file.unlink() if damage is None else file.write_bytes(damage)
    done = gpunet("train", "--resume", run_folder)
    assert done.status == 1
    assert f"{file}" in done.err
    assert done.err.startswith("error checkpoint: ")


def state(folder) -> dict:
    """Everything in the checkpoint but for the time it took."""
    saved = checkpoint.load(folder / "checkpoint.safetensors")
    for record in saved.state["progress"]["history"]:
        del record["seconds"], record["samples_per_second"]
    return {**saved.state, **{name: array.tobytes() for name, array in saved.tensors.items()}}


def narrow_pipe(room: int) -> tuple[int, int]:
    """Both ends of a pipe that takes `room` bytes before its writer must wait for a reader."""
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"\n" * (size - room))
    return reader, writer


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux has narrow pipes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_stopped_and_resumed_it_ends_with_the_same_bits(
    gpunet, config, tmp_path, monkeypatch, number
) -> None:
    """The pipe has room for some six of the lines, so training cannot end before the signal."""
    settings = "--set", "train.epochs=20", "--set", "train.batch_size=512"
    folder = tmp_path / "a run [1]"
    monkeypatch.setattr(command, "_pictures", lambda *_: [])
    reader, writer = narrow_pipe(700)
    process = subprocess.Popen(
        [sys.executable, "-m", "gpunet.cli", "train", config, "--out", folder, *settings],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    with process, open(reader, "rb", buffering=0) as output:
        while not EPOCH.match(line := output.readline().decode()):
            assert line, process.stderr.read().decode()
        process.send_signal(number)
        out, err = output.read().decode(), process.stderr.read().decode()
    assert (process.returncode, err) == (128 + number, "")
    assert re.search(r"^stopped in epoch \d+, batch \d; go on with$", out, re.M)

    resume = shlex.split(out.splitlines()[-1])
    assert resume == ["gpunet", "train", "--resume", str(folder)]
    assert 8 <= state(folder)["progress"]["step"] <= 8 * 10  # eight batches an epoch
    done = gpunet(*resume[1:])
    assert done.status == 0, done.err
    assert gpunet("train", config, "--out", tmp_path / "through", *settings).status == 0
    assert state(folder) == state(tmp_path / "through")
    assert len(metrics(folder)) == 20


def test_a_run_that_never_got_to_a_checkpoint_begins_anew(gpunet, config, trained, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(trained.folder / "config.toml", folder)
    done = gpunet("train", "--resume", folder)
    assert done.status == 0, done.err
    assert state(folder) == state(trained.folder)


def test_a_checkpoint_of_nowhere_cannot_be_resumed(gpunet, run_folder, tmp_path) -> None:
    alone = tmp_path / "best.safetensors"
    alone.write_bytes((run_folder / "best.safetensors").read_bytes())
    done = gpunet("train", "--resume", alone)
    assert done.status == 1
    assert f"must be the folder of a run, got {tmp_path} without config.toml" in done.err


def test_the_best_checkpoint_can_be_evaluated(gpunet, run_folder) -> None:
    best = max(metrics(run_folder), key=lambda record: record["test_accuracy"])
    done = gpunet("eval", run_folder / "best.safetensors")
    assert done.status == 0
    assert f"accuracy {best['test_accuracy']:.2%}" in done.out


def test_a_second_ctrl_c_ends_at_once(gpunet, config, tmp_path, monkeypatch) -> None:
    def impatient(trainer):
        trainer.stop = True
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the signal was not heard")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(command.Trainer, "fit", impatient)
    done = gpunet("train", config, "--out", tmp_path / "run")
    assert (done.status, done.err) == (130, "stopped\n")
    assert signal.getsignal(signal.SIGINT) is before
