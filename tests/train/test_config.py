"""Configurations: what is read, what is written back, and how each mistake is told."""

import dataclasses
import re
from pathlib import Path

import pytest

from gpunet import data
from gpunet.errors import ConfigError
from gpunet.train.config import (
    AugmentConfig,
    Config,
    DataConfig,
    LayerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
    load,
    to_toml,
)

DIGITS = """\
# Recognise handwritten digits: 8×8 pictures by 43 writers, 10 classes.
name = "digits"
seed = 7
device = "cuda:1"

[data]
set = "digits"
validation = 0.1
augment = { shift = 1, rotate = 12.5 }

[model]
init = "kaiming_normal"
layers = [
    { kind = "Flatten" },
    { kind = "Linear", in_features = 64, out_features = 128 },
    { kind = "Dropout", p = 0.25 },
]

[optimizer]
kind = "Adam"
lr = 1e-3
betas = [0.9, 0.999]

[loss]
kind = "CrossEntropyLoss"
label_smoothing = 0.05

[schedule]
kind = "StepLR"
every = "epoch"
step_size = 10

[train]
epochs = 30
batch_size = 64
"""

MINIMAL = """\
name = "least"
[data]
set = "mnist"
[model]
layers = [{ kind = "Flatten" }]
[optimizer]
kind = "SGD"
[train]
epochs = 1
batch_size = 32
"""


@pytest.fixture
def digits(tmp_path) -> Path:
    file = tmp_path / "digits.toml"
    file.write_text(DIGITS, encoding="utf-8")
    return file


def message(file: Path, *overrides: str) -> str:
    """What `load` complains about, after the name of the file, which must come first."""
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    return text.removeprefix(f"{file}: ")


def changed(file: Path, old: str, new: str) -> Path:
    """`file` with the one place that reads `old` changed to `new`."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


def test_every_key_is_read(digits):
    assert load(digits) == Config(
        name="digits",
        seed=7,
        device="cuda:1",
        data=DataConfig("digits", validation=0.1, augment=AugmentConfig(shift=1.0, rotate=12.5)),
        model=ModelConfig(
            layers=(
                LayerConfig("Flatten", {}),
                LayerConfig("Linear", {"in_features": 64, "out_features": 128}),
                LayerConfig("Dropout", {"p": 0.25}),
            ),
            init="kaiming_normal",
        ),
        optimizer=OptimizerConfig("Adam", {"lr": 0.001, "betas": [0.9, 0.999]}),
        loss=LossConfig("CrossEntropyLoss", {"label_smoothing": 0.05}),
        schedule=ScheduleConfig("StepLR", {"step_size": 10}, "epoch"),
        train=TrainConfig(epochs=30, batch_size=64),
    )


def test_defaults(tmp_path):
    file = tmp_path / "least.toml"
    file.write_text(MINIMAL)
    config = load(str(file))
    assert (config.seed, config.device) == (1, "auto")
    assert config.data == DataConfig("mnist")
    assert config.model == ModelConfig((LayerConfig("Flatten"),), init="default")
    assert config.optimizer.arguments == {}
    assert (config.task, config.loss, config.schedule) == ("classification", None, None)
    assert config.train == TrainConfig(1, 32)


@pytest.mark.parametrize("text", [DIGITS, MINIMAL])
def test_round_trip(tmp_path, text):
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(text, encoding="utf-8")
    config = load(first)
    second.write_text(to_toml(config), encoding="utf-8")
    assert load(second) == config
    assert to_toml(load(second)) == to_toml(config)


def test_written_text_has_every_default_and_one_line_a_layer(tmp_path):
    file = tmp_path / "least.toml"
    file.write_text(MINIMAL)
    assert to_toml(load(file, ['model.layers=[{kind="Flatten"}, {kind="ReLU"}]'])) == (
        'name = "least"\ntask = "classification"\nseed = 1\ndevice = "auto"\n'
        '\n[data]\nset = "mnist"\nvalidation = 0.0\nworkers = 0\n'
        "\n[data.augment]\nmixup = 0.0\nshift = 0.0\nrotate = 0.0\nzoom = 0.0\nshear = 0.0\n"
        "pad = 0\ncrop = 0\nflip = false\nflip_vertical = false\ncutout = 0\n"
        '\n[model]\nlayers = [\n    { kind = "Flatten" },\n    { kind = "ReLU" },\n]\n'
        'init = "default"\n'
        '\n[optimizer]\nkind = "SGD"\n'
        "\n[train]\nepochs = 1\nbatch_size = 32\naccumulate = 1\nstateful = false\npatience = 0\n"
        "auto_accumulate = false\nstop_at_nan = true\n"
        '\n[precision]\ndtype = "float32"\ninit_scale = 65536.0\ngrowth_interval = 2000\n'
        "\n[regularization]\nl1 = 0.0\nnoise = 0.0\nclip_value = 0.0\nclip_norm = 0.0\n"
        "max_norm = 0.0\n"
        "\n[diagnostics]\nevery = 50\ngradient_norms = false\nweight_norms = false\n"
        "update_ratios = false\nactivations = false\ndead_units = false\nmemory = false\n"
        "\n[watch]\ntensorboard = false\nevery = 50\n"
        "\n[checkpoints]\nkeep = 1\nevery = 0\n"
    )


def test_layers_may_be_written_as_an_array_of_tables(digits, tmp_path):
    file = tmp_path / "long.toml"
    file.write_text(
        MINIMAL.replace('layers = [{ kind = "Flatten" }]', "").replace(
            "[optimizer]",
            '[[model.layers]]\nkind = "Flatten"\n'
            '[[model.layers]]\nkind = "Linear"\nin_features = 64\nout_features = 128\n'
            '[[model.layers]]\nkind = "Dropout"\np = 0.25\n[optimizer]',
        )
    )
    assert load(file).model.layers == load(digits).model.layers


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(digits):
    expected = load(digits)
    digits.write_bytes(b"\xef\xbb\xbf" + DIGITS.replace("\n", "\r\n").encode())
    assert load(digits) == expected


def test_configurations_are_frozen(digits):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(digits).train.epochs = 3


# ---- overrides ---------------------------------------------------------------------------------


def test_overrides(digits):
    config = load(
        digits,
        [
            " train.epochs = 3 ",
            "device=cuda:0",
            "name=wide_256.2",
            'data.set="mnist"',
            "model.layers.1.out_features=256",
            "model.layers.2.kind=AlphaDropout",
            "optimizer.lr=1e-2",
            "optimizer.amsgrad=true",
            "optimizer.betas.0=0.8",
        ],
    )
    assert (config.train.epochs, config.device, config.name) == (3, "cuda:0", "wide_256.2")
    assert config.data.set == "mnist"
    assert config.model.layers[1:] == (
        LayerConfig("Linear", {"in_features": 64, "out_features": 256}),
        LayerConfig("AlphaDropout", {"p": 0.25}),
    )
    assert config.optimizer.arguments == {"lr": 0.01, "amsgrad": True, "betas": [0.8, 0.999]}
    replaced = load(digits, ["optimizer={kind='SGD', lr=0.1}"]).optimizer
    assert replaced == OptimizerConfig("SGD", {"lr": 0.1})


def test_an_override_changes_nothing_else_and_the_last_one_wins(digits):
    before, after = load(digits), load(digits, ["train.epochs=3", "train.epochs=4"])
    assert after == dataclasses.replace(before, train=dataclasses.replace(before.train, epochs=4))


def test_an_override_may_begin_a_table_that_the_file_leaves_out(tmp_path):
    file = tmp_path / "part.toml"
    file.write_text(MINIMAL[: MINIMAL.index("[train]")])
    assert message(file) == "train is missing"
    assert load(file, ["train.epochs=2", "train.batch_size=8"]).train == TrainConfig(2, 8)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs", "must read KEY=VALUE, for example train.epochs=3"),
        ("=3", "must read KEY=VALUE, for example train.epochs=3"),
        ("train..epochs=3", "must read KEY=VALUE, for example train.epochs=3"),
        ("train.epochs=", "the value must be TOML or a bare word"),
        ("optimizer.betas=[0.9,", "the value must be TOML or a bare word"),
        ("name=two words", "the value must be TOML or a bare word"),
        ("train.epochs=3\nseed = 4", "the value must be TOML or a bare word"),
        ("optimizer.nesterov=True", "write true"),
        ("optimizer.nesterov=False", "write false"),
        ("train.epochs.x=3", "there is no x in 30 (an integer)"),
        ("optimizer.betas.2=3", "there is no 2 in [0.9, 0.999] (an array of 2)"),
        ("optimizer.betas.-1=3", "there is no -1 in [0.9, 0.999] (an array of 2)"),
    ],
)
def test_an_override_that_cannot_be_applied(digits, override, expected):
    assert message(digits, override) == f"override {override}: {expected}"


def test_an_error_says_which_override_it_came_from(digits):
    assert message(digits, "seed=2", "train.epochs=0") == (
        "train.epochs must be at least 1, got 0; set by the override train.epochs=0"
    )
    assert message(digits, "trian.epochs=3") == (
        'trian is no known key; did you mean "train"?; set by the override trian.epochs=3'
    )
    assert message(digits, "model.layers.1={kind=3}") == (
        "model.layers.1.kind must be a string, got 3 (an integer); "
        "set by the override model.layers.1={kind=3}"
    )


# ---- mistakes in the file ----------------------------------------------------------------------


# What the file has, what it is changed to, and (indented) what is then said.
MISTAKES = """
seed = 7 -> sead = 7
    sead is no known key; did you mean "seed"?
rotate = 12.5 -> rotation = 12.5
    data.augment.rotation is no known key; did you mean "rotate"?
[data] -> [dataset]
    dataset is no known key; did you mean "data"?
epochs = 30 -> epoch = 30
    train.epoch is no known key; did you mean "epochs"?
epochs = 30 -> zzz = 30
    train.zzz is no known key;
    known: "accumulate", "auto_accumulate", "batch_size", "epochs", "metrics",
    "patience", "stateful", "stop_at_nan"
batch_size = 64 -> # no batch size
    train.batch_size is missing
name = "digits" -> # no name
    name is missing
{ kind = "Flatten" } -> { knd = "Flatten" }
    model.layers.0.kind is missing

epochs = 30 -> epochs = "30"
    train.epochs must be an integer, got "30" (a string)
epochs = 30 -> epochs = true
    train.epochs must be an integer, got true (a boolean)
epochs = 30 -> epochs = 30.0
    train.epochs must be an integer, got 30.0 (a number)
epochs = 30 -> epochs = [30]
    train.epochs must be an integer, got [30] (an array of 1)
epochs = 30 -> epochs = 2026-01-31
    train.epochs must be an integer, got "2026-01-31" (a date or time)
validation = 0.1 -> validation = false
    data.validation must be a number, got false (a boolean)
name = "digits" -> name = 5
    name must be a string, got 5 (an integer)
validation = 0.1 -> validation = { part = 1 }
    data.validation must be a number, got {"part": 1} (a table)
{ kind = "Flatten" } -> "Flatten"
    model.layers.0 must be a table, got "Flatten" (a string)
kind = "Adam" -> kind = 3
    optimizer.kind must be a string, got 3 (an integer)
every = "epoch" -> every = 1
    schedule.every must be a string, got 1 (an integer)

epochs = 30 -> epochs = 0
    train.epochs must be at least 1, got 0
batch_size = 64 -> batch_size = -1
    train.batch_size must be at least 1, got -1
validation = 0.1 -> validation = nan
    data.validation must be at least 0 and less than 1, got NaN
validation = 0.1 -> validation = 1.0
    data.validation must be at least 0 and less than 1, got 1.0
validation = 0.1 -> validation = -0.1
    data.validation must be at least 0 and less than 1, got -0.1
rotate = 12.5 -> rotate = -12.5
    data.augment.rotate must be at least 0, got -12.5
rotate = 12.5 -> zoom = 1
    data.augment.zoom must be at least 0 and less than 1, got 1
validation = 0.1 -> length = 0
    data.length must be at least 1, got 0
seed = 7 -> seed = -7
    seed must be at least 0, got -7

set = "digits" -> set = "minst"
    data.set must be one of {sets}, got "minst"
every = "epoch" -> every = "epochs"
    schedule.every must be one of "batch", "epoch", got "epochs"
init = "kaiming_normal" -> kind = "LeNet5"
    model must have either layers, or the kind of a model of gpunet.models
init = "kaiming_normal" -> width = 3
    model must have no width beside its layers
"kaiming_normal" -> "he"
    model.init must be one of
    "default", "xavier_uniform", "kaiming_uniform", "kaiming_normal", got "he"
"cuda:1" -> "gpu"
    device must be "auto", "cpu", "cuda" or "cuda:N", got "gpu"
"cuda:1" -> "cuda:"
    device must be "auto", "cpu", "cuda" or "cuda:N", got "cuda:"
name = "digits" -> name = "../digits"
    name must be letters, digits, "_", "-" and ".",
    beginning with a letter or digit, got "../digits"
name = "digits" -> name = ""
    name must be letters, digits, "_", "-" and ".", beginning with a letter or digit, got ""
"""


@pytest.mark.parametrize("mistake", re.split(r"\n+(?! )", MISTAKES.strip()))
def test_mistake(digits, mistake):
    sets = ", ".join(f'"{name}"' for name in data.names())
    change, *expected = mistake.replace("{sets}", sets).split("\n    ")
    assert message(changed(digits, *change.split(" -> "))) == " ".join(expected)


def test_a_model_by_name_and_its_arguments(digits):
    config = load(digits, ["model={kind='UNet', width=16, init='xavier_uniform'}"])
    assert config.model == ModelConfig(kind="UNet", init="xavier_uniform", arguments={"width": 16})
    digits.write_text(to_toml(config), encoding="utf-8")
    assert load(digits) == config


def test_a_model_of_nothing(digits):
    assert message(digits, "model={layer=[]}") == (
        "model must have either layers, or the kind of a model of gpunet.models; "
        "set by the override model={layer=[]}"
    )


def test_no_layers(digits):
    assert message(digits, "model.layers=[]") == (
        "model.layers must be a list of at least one layer, got []; "
        "set by the override model.layers=[]"
    )


def test_a_long_value_is_cut_short(digits):
    text = message(digits, f"name={'x' * 200}/")
    assert f'got "{"x" * 58}…' in text


def test_an_int_is_fine_for_a_float(digits):
    validation = load(digits, ["data.validation=0"]).data.validation
    assert (validation, type(validation)) == (0.0, float)


# ---- files that are no configuration -----------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "epochs = 30",
            "epochs = = 30",
            "line 34, column 10 is not valid TOML: Invalid value; the line is `epochs = = 30`",
        ),
        (
            "[train]",
            "[data]",
            "line 33, column 6 is not valid TOML: Cannot declare ('data',) twice; "
            "the line is `[data]`",
        ),
        (
            "batch_size = 64\n",
            "batch_size = [2,",
            "line 35 is not valid TOML: Invalid value (at end of document)",
        ),
    ],
)
def test_a_syntax_error_names_its_line(digits, old, new, expected):
    assert message(changed(digits, old, new)) == expected


def test_a_missing_file_lists_those_that_are_there(digits, tmp_path):
    (tmp_path / "mnist_mlp.toml").touch()
    (tmp_path / "notes.txt").touch()
    assert message(tmp_path / "digit.toml") == (
        f"no such file; {tmp_path} holds digits.toml, mnist_mlp.toml"
    )
    (tmp_path / "empty").mkdir()
    assert message(tmp_path / "empty" / "digits.toml") == (
        f"no such file; {tmp_path / 'empty'} holds no .toml file"
    )
    assert message(tmp_path / "nowhere" / "digits.toml") == (
        f"no such file; there is no folder {tmp_path / 'nowhere'}"
    )


def test_a_folder_and_a_file_of_bytes_are_refused(tmp_path):
    assert message(tmp_path) == "cannot be read: Is a directory"
    file = tmp_path / "picture.toml"
    file.write_bytes(b"name\xff")
    assert message(file) == "must be UTF-8 text, is not at byte 4"


def test_an_empty_file(tmp_path):
    file = tmp_path / "empty.toml"
    file.touch()
    assert message(file) == "name is missing"
