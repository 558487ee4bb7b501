"""TOML into dataclasses and back: what a value must be is what the field's type says.

A table becomes a dataclass, whose fields are the known keys. `Annotated[type, Rule(...)]` asks for
more than the type, and a field marked with `REST` takes the keys that no other field names.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

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


REST = {"rest": True}  # marks the field that takes the keys of a table that no other field names


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
        return f"did you mean {' or '.join(show(folded[name]) for name in close)}?"
    return f"known: {', '.join(map(show, known)) or 'none'}"


def parse(file: Path) -> dict[str, Any]:
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


def apply(override: str, table: dict[str, Any]) -> None:
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


class Reader:
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
                raise self.error(key, f"must be {rule.text}, got {show(value)}")
            return result
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            if self.read(str, value, key) not in choices:
                options = ", ".join(map(show, choices))
                raise self.error(key, f"must be one of {options}, got {show(value)}")
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


def show(value: Any) -> str:
    """`value` much as TOML writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _describe(value: Any) -> str:
    """`value` and its type, as error messages have them."""
    kind = _TYPES.get(type(value), "a date or time")
    return f"{show(value)} ({kind}{f' of {len(value)}' if type(value) is list else ''})"


def plain(value: Any) -> Any:
    """The reverse of `Reader.read`: dataclasses as tables, tuples as lists."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if not is_dataclass(value):
        return value
    table: dict[str, Any] = {}
    for declared in fields(value):
        item = plain(getattr(value, declared.name))
        if item in (None, "", []):  # TOML has no word for what is not there
            continue
        table.update(item if declared.metadata.get("rest") else {declared.name: item})
    return table
