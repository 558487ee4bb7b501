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

import difflib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from gpunet import data
from gpunet.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Rule:
    """What a value must be beyond its type: `text` completes "must be …", `holds` decides."""

    text: str
    holds: Callable[[Any], Any]


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

REST = {"rest": True}  # marks the field that takes the keys of a table that no other field names


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
    """The data set, the fraction of its training part held out to validate, and its changes.

    `workers` is how many threads make batches ahead of their use.
    """

    set: Set
    validation: Fraction = 0.0
    augment: AugmentConfig = AugmentConfig()
    workers: NotNegative = 0


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
    """The loop."""

    epochs: Positive
    batch_size: Positive


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
    table = _parse(file)
    for override in overrides:
        try:
            _apply(override, table)
        except ValueError as error:
            raise ConfigError(str(file), f"override {override}: {error}") from None
    return _Reader(file, overrides).read(Config, table, "")


def to_toml(config: Config) -> str:
    """`config` as TOML with every default written out; `load` of that text gives an equal one."""
    return tomli_w.dumps(_plain(config))


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for somebody who wrote `word`: the known words close to it, or all of them.

    >>> nearest("relu", ["Linear", "ReLU", "Dropout"])
    'did you mean "ReLU"?'
    >>> nearest("Conv", ["Linear", "ReLU"])
    'known: "Linear", "ReLU"'
    """
    known = sorted(known)
    # Case must not count: `relu` shares one letter with `ReLU`, and yet it is what was meant.
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=3)
    if word.casefold() in folded:
        close = close[:1]
    if close:
        return f"did you mean {' or '.join(_show(folded[name]) for name in close)}?"
    return f"known: {', '.join(map(_show, known)) or 'none'}"


def _parse(file: Path) -> dict[str, Any]:
    """The tables of a TOML file, unchecked."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except FileNotFoundError:
        folder = file.parent
        names = ", ".join(sorted(path.name for path in folder.glob("*.toml"))) or "no .toml file"
        context = f"{folder} holds {names}" if folder.is_dir() else f"there is no folder {folder}"
        raise ConfigError(str(file), "no such file", context) from None
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), f"must be UTF-8 text, is not at byte {error.start}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(file), *_explain(error, text.split("\n"))) from error


def _explain(error: ValueError, lines: list[str]) -> tuple[str, str]:
    """The problem and the context of a TOML syntax error, with the line that it is on."""
    message = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
    if message is None:  # "… (at end of document)"
        return f"line {len(lines)} is not valid TOML: {error}", ""
    what, line, column = message.groups()
    problem = f"line {line}, column {column} is not valid TOML: {what}"
    return problem, f"the line is `{lines[int(line) - 1].strip()}`"


def _apply(override: str, table: dict[str, Any]) -> None:
    """Set in `table` what `override` says, or raise a ValueError that says why not."""
    key, equals, text = override.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ValueError("must read KEY=VALUE, for example train.epochs=3")
    _put(table, steps, _value(text.strip()))


def _value(text: str) -> Any:
    """The TOML value `text`, or `text` itself where it is a bare word."""
    if text in ("True", "False"):  # as a bare word it would be a string, and so true in either case
        raise ValueError(f"write {text.lower()}")
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except ValueError:
        if not re.fullmatch(r"[\w.:/+-]+", text):
            raise ValueError("the value must be TOML or a bare word") from None
        return text
    return value


def _put(place: Any, steps: list[str], value: Any) -> Any:
    """`place`, in which `steps` now lead to `value`; tables on the way come into being."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(place, dict):
        place[step] = _put(place.get(step, {}), rest, value)
    elif isinstance(place, list) and step.isdecimal() and int(step) < len(place):
        place[int(step)] = _put(place[int(step)], rest, value)
    else:
        raise ValueError(f"there is no {step} in {_describe(place)}")
    return place


class _Reader:
    """Turns plain TOML values into what the dataclasses declare, or says why they do not fit."""

    def __init__(self, file: Path, overrides: tuple[str, ...]):
        self.file, self.overrides = file, overrides

    def read(self, kind: Any, value: Any, key: str) -> Any:
        """`value`, found at the dotted `key`, as a `kind`: a type as dataclass fields have them."""
        if get_origin(kind) is UnionType:  # a table that may be left out
            kind = get_args(kind)[0]
        if get_origin(kind) is Annotated:
            kind, rule = get_args(kind)
            result = self.read(kind, value, key)
            if not rule.holds(result):
                raise self.error(key, f"must be {rule.text}, got {_show(value)}")
            return result
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            if self.read(str, value, key) not in choices:
                options = ", ".join(map(_show, choices))
                raise self.error(key, f"must be one of {options}, got {_show(value)}")
            return value
        if get_origin(kind) is tuple:
            items = self.read(list, value, key)
            return tuple(self.read(get_args(kind)[0], x, f"{key}.{i}") for i, x in enumerate(items))
        if is_dataclass(kind):
            return self.read_table(kind, self.read(dict, value, key), key)
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:  # not isinstance: a bool is no int here
            raise self.error(key, f"must be {_TYPES[kind]}, got {_describe(value)}")
        return value

    def read_table(self, kind: Any, table: dict[str, Any], key: str) -> Any:
        """A dataclass from a table: each field from its key, the rest where `REST` says."""
        prefix = f"{key}." if key else ""
        types = get_type_hints(kind, include_extras=True)
        named = {f.name: f for f in fields(kind) if not f.metadata.get("rest")}
        rest = next((f.name for f in fields(kind) if f.metadata.get("rest")), None)
        others = {name: value for name, value in table.items() if name not in named}
        if others and rest is None:
            unknown = next(iter(others))
            raise self.error(f"{prefix}{unknown}", "is no known key", nearest(unknown, named))
        arguments = {} if rest is None else {rest: others}
        for name, declared in named.items():
            if name in table:
                arguments[name] = self.read(types[name], table[name], f"{prefix}{name}")
            elif declared.default is MISSING and declared.default_factory is MISSING:
                raise self.error(f"{prefix}{name}", "is missing")
        try:
            return kind(**arguments)
        except ValueError as error:
            raise self.error(key, str(error)) from None

    def error(self, key: str, problem: str, hint: str = "") -> ConfigError:
        """What is wrong at `key`, with the overrides that had a hand in it."""
        context = [hint] if hint else []
        for override in self.overrides:
            changed = override.partition("=")[0].strip()
            if f"{key}.".startswith(f"{changed}.") or changed.startswith(f"{key}."):
                context.append(f"set by the override {override}")
        return ConfigError(str(self.file), f"{key} {problem}", "; ".join(context))


_TYPES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    list: "an array",
    dict: "a table",
}


def _show(value: Any) -> str:
    """`value` much as TOML writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _describe(value: Any) -> str:
    """`value` and its type, as error messages have them."""
    kind = _TYPES.get(type(value), "a date or time")
    return f"{_show(value)} ({kind}{f' of {len(value)}' if type(value) is list else ''})"


def _plain(value: Any) -> Any:
    """The reverse of `_Reader.read`: dataclasses as tables, tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not is_dataclass(value):
        return value
    table: dict[str, Any] = {}
    for declared in fields(value):
        item = _plain(getattr(value, declared.name))
        if item in (None, "", []):  # TOML has no word for what is not there
            continue
        table.update(item if declared.metadata.get("rest") else {declared.name: item})
    return table
