"""Arrays that behave as CuPy's do, in host memory: they refuse what CuPy refuses.

A NumPy array among them is an error, as is a result that silently becomes a Python or NumPy number:
on a GPU each of these is a copy through the bus, or a wait. Reading a value is possible where CuPy
allows it (`item`, `float`, `bool`), and is counted.

One thing cannot be noticed: `numpy.asarray(x)`, which NumPy answers for its own subclasses without
asking them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.kernels.host import cupy_names

CUPY = cupy_names.read()
_UNMIXED = "an array of cuda:{} and a {} cannot be mixed"


class HostArray(np.ndarray[Any, Any]):
    """An array of the pretended GPU `number`."""

    number: int
    reads = 0  # of values of any array, by the host; a test may reset it

    def __array_finalize__(self, source: Any) -> None:
        self.number = getattr(source, "number", 0)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        out = keywords.get("out", ())
        inputs = tuple(plain(x, self.number) for x in inputs)
        if out:
            keywords["out"] = tuple(plain(x, self.number) for x in out)
        result = getattr(ufunc, method)(*inputs, **keywords)
        return out[0] if out else wrapped(result, self.number)

    def astype(self, *arguments: Any, **keywords: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):  # a GPU says nothing of either
            return super().astype(*arguments, **keywords)

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        arguments, keywords = plain(arguments, self.number), plain(keywords, self.number)
        return wrapped(function(*arguments, **keywords), self.number)

    def __getitem__(self, key: Any) -> Any:
        key = _key(key, self.number)
        result = super().__getitem__(key)
        if not isinstance(result, np.ndarray):  # a number: CuPy gives an array of no axes
            result = super().__getitem__((*key, ...) if isinstance(key, tuple) else (key, ...))
        return result

    def __setitem__(self, key: Any, value: Any) -> None:
        self.view(np.ndarray)[_key(key, self.number)] = plain(value, self.number)

    def fill(self, value: Any) -> None:
        self.view(np.ndarray).fill(value)

    # --- reads

    def get(self) -> np.ndarray[Any, Any]:
        """A copy as an array of the host."""
        HostArray.reads += 1
        return np.array(self.view(np.ndarray))

    def item(self, *arguments: Any) -> Any:
        HostArray.reads += 1
        return self.view(np.ndarray).item(*arguments)

    def tolist(self) -> Any:
        HostArray.reads += 1
        return self.view(np.ndarray).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())


def _limited(name: str) -> Any:
    """A method of arrays that takes what CuPy's takes, and gives an array also for one number."""

    def method(x: HostArray, *arguments: Any, **keywords: Any) -> Any:
        _check(f"ndarray.{name}", CUPY["methods"][name], len(arguments), keywords)
        return wrapped(getattr(x.view(np.ndarray), name)(*arguments, **keywords), x.number)

    return method


# What CuPy 14.2 has no bfloat16 in; the others of its functions have `EE->E` or the like.
_WITHOUT_BFLOAT16 = {"where", "around", "round", "divmod", "tril", "triu"}


def _check_dtypes(name: str, arguments: Any) -> None:
    """Refuses dtypes that CuPy would refuse."""
    if name in _WITHOUT_BFLOAT16 and any(
        isinstance(x, np.ndarray) and x.dtype.char == "E" for x in arguments
    ):
        raise TypeError(f"CuPy's {name} does not know bfloat16")


# Of CuPy's functions those that take no number in place of an array; ufuncs take one.
_ARRAYS_ALONE = {"all", "any", "isin"}


def _check_numbers(name: str, arguments: Any) -> None:
    """Refuses numbers where CuPy takes arrays alone."""
    for x in arguments if name in _ARRAYS_ALONE else ():
        if not isinstance(x, HostArray):
            raise TypeError(f"CuPy's {name} takes arrays alone, got {x!r}")


def _check(name: str, known: list[str] | None, count: int, keywords: dict[str, Any]) -> None:
    """Refuses arguments that CuPy would refuse."""
    if known is None or "*shape" in known or "*axes" in known:
        return
    unknown = keywords.keys() - set(known)
    if unknown or count > len(known):
        raise TypeError(f"CuPy's {name} takes {known}, got {count} and {sorted(keywords)}")


for _name in ("all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"):
    setattr(HostArray, _name, _limited(_name))


def wrapped(result: Any, device: int) -> Any:
    """A result of NumPy as CuPy gives it: an array also where it is one number."""
    if isinstance(result, (list, tuple)):
        return type(result)(wrapped(x, device) for x in result)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    array = np.asarray(result).view(HostArray)
    array.number = device
    return array


def plain(x: Any, device: int) -> Any:
    """What NumPy computes with, for an operand that CuPy would take.

    Raises:
        TypeError: an array of the host, or of another device.
    """
    if isinstance(x, HostArray):
        if x.number != device:
            raise TypeError(_UNMIXED.format(device, f"array of cuda:{x.number}"))
        return x.view(np.ndarray)
    if isinstance(x, np.ndarray):
        raise TypeError(_UNMIXED.format(device, "numpy.ndarray"))
    if isinstance(x, (list, tuple)):
        return type(x)(plain(part, device) for part in x)
    if isinstance(x, dict):
        return {name: plain(part, device) for name, part in x.items()}
    return x


def _key(key: Any, device: int) -> Any:
    """An index; CuPy takes positions and masks of the host, too."""
    if isinstance(key, tuple):
        return tuple(_key(part, device) for part in key)
    return plain(key, device) if isinstance(key, HostArray) else key


class HostModule:
    """NumPy's functions on arrays of a pretended GPU: what CuPy is to a real one."""

    def __init__(self, device: int):
        self._device = device

    def __getattr__(self, name: str) -> Any:
        if callable(getattr(np, name)) and name not in CUPY["functions"]:
            raise AttributeError(f"CuPy has no {name}")
        function = getattr(np, name)
        if isinstance(function, type) or not callable(function):
            return function

        def call(*arguments: Any, **keywords: Any) -> Any:
            device = self._device
            _check(name, CUPY["functions"][name], len(arguments), keywords)
            _check_dtypes(name, arguments)
            _check_numbers(name, arguments)
            arguments, keywords = plain(arguments, device), plain(keywords, device)
            return wrapped(function(*arguments, **keywords), device)

        if isinstance(function, np.ufunc):

            def at(x: Any, key: Any, *values: Any) -> None:
                if x.dtype not in ("int32", "int64", "uint32", "uint64"):
                    # CuPy knows floats, too, but adds them atomically: in any order.
                    raise TypeError(f"{name}.at must not be used on {x.dtype}")
                device = self._device
                function.at(plain(x, device), _key(key, device), *plain(values, device))

            call.at = at  # type: ignore[attr-defined]
        setattr(self, name, call)
        return call

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """An array of the device as it is; anything else is copied to it."""
        if isinstance(values, HostArray):
            return values if dtype is None else values.astype(dtype, copy=False)
        return wrapped(np.array(values, dtype), self._device)
