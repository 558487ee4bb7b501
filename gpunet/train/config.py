"""Configurations: a TOML file read into frozen dataclasses; each key has a name, a type, a range.

The dataclasses below are the whole description of a configuration: their fields are the known keys,
their types what a value must be, their defaults what may be left out. A new key is a new field.

    name = "digits"

    [data]
    set = "digits"

    [model]
    layers = [
        { kind = "Flatten" },
        { kind = "Linear", in_features = 64, out_features = 10 },
    ]

    [optimizer]
    kind = "Adam"
    lr = 1e-3

    [train]
    epochs = 30
    batch_size = 64
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w

from gpunet import data
from gpunet.errors import ConfigError
from gpunet.train.toml import REST, Reader, Rule, apply, parse, plain, show, tomllib

Name = Annotated[
    str,
    Rule(
        'letters, digits, "_", "-" and ".", beginning with a letter or digit',
        re.compile(r"[^\W_][\w.-]*").fullmatch,  # it names the folder of the run
    ),
]
Device = Annotated[
    str, Rule('"auto", "cpu", "cuda" or "cuda:N"', re.compile(r"auto|cpu|cuda(:[0-9]+)?").fullmatch)
]
Set = Annotated[
    str, Rule(f"one of {', '.join(map(json.dumps, data.names()))}", data.names().__contains__)
]
Positive = Annotated[int, Rule("at least 1", lambda value: value >= 1)]
NotNegative = Annotated[int, Rule("at least 0", lambda value: value >= 0)]
Amount = Annotated[float, Rule("at least 0", lambda value: value >= 0)]
Fraction = Annotated[float, Rule("at least 0 and less than 1", lambda value: 0 <= value < 1)]


@dataclass(frozen=True)
class Component:
    """A class by name, and the arguments it is built with: every other key of its table.

    Which kinds there are, and which arguments they take, is checked where they are built.
    """

    kind: str
    arguments: dict[str, Any] = field(default_factory=dict, metadata=REST)


class LayerConfig(Component):
    """One layer: a class of `gpunet.nn` and its arguments."""


class OptimizerConfig(Component):
    """The optimizer: a class of `gpunet.optim` and its arguments other than the parameters."""


class LossConfig(Component):
    """What is minimised, where it is not what the task has: a loss of `gpunet.nn`."""


@dataclass(frozen=True)
class ScheduleConfig(Component):
    """The learning rate's way: a class of `gpunet.optim.lr_scheduler`, stepped once a `every`.

    Lengths left out (`total_steps`, `T_max`) are the run's, and `max_lr` is the optimizer's rate.
    """

    every: Literal["batch", "epoch"] = "batch"


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of each training picture; see `data.transforms` for more on each.

    Args:
        mixup: the alpha of `MixUp`.
        shift, rotate, zoom, shear: the amounts of `Affine`.
        pad, crop: pixels of the border, and of the sides of the square cut out (0: as large as the
            picture was), of `RandomCrop`.
        flip, flip_vertical: whether every other picture is turned around, or upside down.
        cutout: pixels of the sides of the square that `Cutout` sets to 0.
    """

    mixup: Amount = 0.0
    shift: Amount = 0.0
    rotate: Amount = 0.0
    zoom: Fraction = 0.0
    shear: Amount = 0.0
    pad: NotNegative = 0
    crop: NotNegative = 0
    flip: bool = False
    flip_vertical: bool = False
    cutout: NotNegative = 0


@dataclass(frozen=True)
class DataConfig:
    """The data to learn from, the fraction of it held out to validate, and its changes.

    Args:
        set: a data set by its name.
        path: or data of one's own, a folder of pictures, a table or a text; see `data.own`.
        size: pixels of the sides that one's own pictures are scaled to; where it is left out, as
            many as the first one has.
        validation: the fraction of the training part that is held out.
        workers: threads that make batches ahead of their use.
        length: characters in a window of a text, 64 where it is left out.
        fold: the part that a set without a split of its own is tested on, the first where it is
            left out.
    """

    set: Set = ""
    path: str = ""
    size: Annotated[int | None, Rule("at least 1", lambda value: value >= 1)] = None
    validation: Fraction = 0.0
    augment: AugmentConfig = AugmentConfig()
    workers: NotNegative = 0
    length: Annotated[int | None, Rule("at least 1", lambda value: value >= 1)] = None
    fold: Annotated[int | None, Rule("at least 0", lambda value: value >= 0)] = None

    def __post_init__(self) -> None:
        if bool(self.set) == bool(self.path):
            raise ValueError("must have either the name of a set, or the path of data of one's own")
        for key in ("size",) if self.set else ("fold",):
            if getattr(self, key) is not None:
                kind = "set" if self.set else "path"
                raise ValueError(f"must have no {key} beside its {kind}")

    @property
    def name(self) -> str:
        """What people are shown."""
        return self.set or self.path


@dataclass(frozen=True)
class ModelConfig:
    """The layers in order, or a class of `gpunet.models` and its arguments.

    `init` is how weights are drawn; "default" leaves it to each layer.
    """

    layers: Annotated[tuple[LayerConfig, ...], Rule("a list of at least one layer", len)] = ()
    kind: str = ""
    init: Literal["default", "xavier_uniform", "kaiming_uniform", "kaiming_normal"] = "default"
    arguments: dict[str, Any] = field(default_factory=dict, metadata=REST)

    def __post_init__(self) -> None:
        if bool(self.layers) == bool(self.kind):
            raise ValueError("must have either layers, or the kind of a model of gpunet.models")
        if self.layers and self.arguments:
            raise ValueError(f"must have no {next(iter(self.arguments))} beside its layers")


@dataclass(frozen=True)
class TrainConfig:
    """The loop.

    Args:
        epochs: at the most.
        batch_size: examples; as many as there are, or more, make full batches.
        accumulate: batches whose gradients are added up for one step, those of an epoch at most.
        stateful: a language model with a memory goes on with it from window to window; the gradient
            ends at the border (truncated backpropagation through time). Then the text is cut into
            batch_size parts that are read at once, from their beginnings to their ends.
        patience: end after so many epochs without a better figure, and with the weights of the
            best epoch; 0 never does.
        metrics: further figures of the held-out set; which there are depends on the task.
        auto_accumulate: where the memory does not reach for a batch, make its step of parts, each
            half as large as those that did not fit. The step is the same but for rounding, for
            what dropout draws, and for layers that look at the batch as a whole.
        stop_at_nan: end at the first loss or gradient that is not finite, and say where it came
            from, before it reaches a weight.
    """

    epochs: Positive
    batch_size: Positive
    accumulate: Positive = 1
    stateful: bool = False
    patience: NotNegative = 0
    metrics: tuple[str, ...] = ()
    auto_accumulate: bool = False
    stop_at_nan: bool = True


@dataclass(frozen=True)
class PrecisionConfig:
    """In which dtype products are computed in training; see `gpunet.autocast`.

    Weights, gradients and the optimizer's state stay in float32, and evaluation is in float32.

    Args:
        dtype: "float16" scales the loss; see `optim.GradScaler` for how. "bfloat16", which has the
            range of float32, needs no scale.
        init_scale: what the loss of float16 is first multiplied by.
        growth_interval: good steps in a row after which that is doubled. A step with a gradient
            that is not finite is left out, and halves it.
    """

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    init_scale: Annotated[float, Rule("above 0", lambda value: value > 0)] = 65536.0
    growth_interval: Positive = 2000


@dataclass(frozen=True)
class RegularizationConfig:
    """What holds gradients and weights back; 0 leaves out. See `train.regularization`."""

    l1: Amount = 0.0
    noise: Amount = 0.0
    clip_value: Amount = 0.0
    clip_norm: Amount = 0.0
    max_norm: Amount = 0.0


@dataclass(frozen=True)
class AverageConfig:
    """An average of the weights, which is what is evaluated.

    Args:
        kind: "ema", of every step, older ones counting less by `decay`; "swa", of every epoch.
        start: epochs before the first that counts.
    """

    kind: Literal["ema", "swa"]
    decay: Fraction = 0.999
    start: NotNegative = 0


@dataclass(frozen=True)
class DiagnosticsConfig:
    """What is looked at every so many (`every`) steps; see `train.diagnostics`."""

    every: Positive = 50
    gradient_norms: bool = False
    weight_norms: bool = False
    update_ratios: bool = False
    activations: bool = False
    dead_units: bool = False
    memory: bool = False

    @property
    def wanted(self) -> bool:
        """Whether anything is looked at."""
        switches = (self.gradient_norms, self.weight_norms, self.update_ratios)
        return any((*switches, self.activations, self.dead_units, self.memory))


@dataclass(frozen=True)
class WatchConfig:
    """What other programs show of a run: TensorBoard, which is told `every` so many steps."""

    tensorboard: bool = False
    every: Positive = 50


@dataclass(frozen=True)
class CheckpointsConfig:
    """What is kept beside the latest checkpoint and the best: those of the last `keep` epochs.

    A checkpoint is written after each epoch and, if not 0, after so many (`every`) steps.
    """

    keep: Positive = 1
    every: NotNegative = 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a training run, given the machine."""

    name: Name
    task: str = "classification"
    seed: NotNegative = 1
    device: Device = "auto"
    data: DataConfig
    model: ModelConfig
    loss: LossConfig | None = None
    optimizer: OptimizerConfig
    schedule: ScheduleConfig | None = None
    train: TrainConfig
    precision: PrecisionConfig = PrecisionConfig()
    regularization: RegularizationConfig = RegularizationConfig()
    average: AverageConfig | None = None
    diagnostics: DiagnosticsConfig = DiagnosticsConfig()
    watch: WatchConfig = WatchConfig()
    checkpoints: CheckpointsConfig = CheckpointsConfig()


def load(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Config:
    """The configuration in the TOML file `path`, after `overrides`.

    Args:
        path: the file, in UTF-8.
        overrides: texts such as `"train.epochs=3"` or `"model.layers.1.out_features=256"`, applied
            in order before anything is checked. The value is TOML; a bare word (`device=cuda:0`)
            is a string.

    Raises:
        ConfigError: the file is missing, unreadable or no TOML, or a key is unknown, missing, of
            the wrong type or out of range. The message names the file and the dotted key.
    """
    file, overrides = Path(path), tuple(overrides)
    table = parse(file)
    for override in overrides:
        try:
            apply(override, table)
        except ValueError as error:
            raise ConfigError(str(file), f"override {override}: {error}") from None
    return Reader(file, overrides).read(Config, table, "")


def loads(text: str) -> Config:
    """The configuration that `to_toml` wrote."""
    return Reader(Path("configuration"), ()).read(Config, tomllib.loads(text), "")


def to_toml(config: Config) -> str:
    """`config` as TOML with every default written out; `load` of that text gives an equal one."""
    return tomli_w.dumps(plain(config))


def differences(before: Config, now: Config) -> list[str]:
    """How two configurations differ: a sentence for each dotted key."""
    old, new = _flat(plain(before)), _flat(plain(now))
    return [
        f"{key} is {show(new.get(key))}, was {show(old.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """The values of nested tables and lists by their dotted keys."""
    if not isinstance(value, dict | list) or not value:
        return {key: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    flat: dict[str, Any] = {}
    for name, item in items:
        flat.update(_flat(item, f"{key}.{name}" if key else str(name)))
    return flat
