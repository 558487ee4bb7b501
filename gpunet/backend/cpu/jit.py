"""Compiles the CPU kernels: Numba, loaded on first use, one variant a dtype, cached on disk.

A kernel here is an ordinary Python function over flat arrays or scalars, marked `@kernel`. It is
written once for every floating dtype: when the variant for a dtype is made,

- the name `T` stands for that dtype (`T(0.5)`),
- float literals take that dtype (a stray `0.5` would otherwise widen float32 arithmetic to
  float64),
- names of other kernels stand for their variants of the same dtype.

The compiled code lies in the user's cache in a folder named after the sources and the versions, so
an edit to any kernel file, or another Numba, never runs stale code, and a second start compiles
nothing. All kernels are serial; calls of them are shared out over the threads of `threads.py`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

# Everything of fast-math but `reassoc`, which would cancel the rounding constant in `exp`, and
# `nnan`/`ninf`, which would let LLVM assume that the NaN we want to report cannot occur.
FAST = frozenset({"nsz", "arcp", "contract", "afn"})
# Sums may be reordered: that is what lets LLVM keep several partial sums in vector registers. The
# order is fixed when the kernel is compiled, so results stay reproducible.
FAST_SUM = FAST | {"reassoc"}
KEPT_VERSIONS = 4  # of the compiled kernels: environments with different versions may take turns


def cache_folder() -> Path:
    """Where compiled kernels lie: below `$XDG_CACHE_HOME` (or `~/.cache`).

    Each version of the sources has a folder of its own.
    """
    import llvmlite
    import numba

    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gpunet" / "kernels" / f"cpu-{digest.hexdigest()[:16]}"


class _Compiler:
    """Numba and the cache folder, set up once a process on the first kernel."""

    @cached_property
    def folder(self) -> Path | None:
        """The cache folder, None if it cannot be written (kernels then compile anew each start)."""
        folder = cache_folder()
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True)
                _forget_oldest(folder.parent)
            usable = os.access(folder, os.W_OK)
        except OSError:
            usable = folder.is_dir()  # another process was quicker
        return folder if usable else None

    @contextlib.contextmanager
    def _cache_in_folder(self) -> Iterator[None]:
        # Numba reads this setting when a function is decorated; other packages' keep theirs.
        from numba import config

        before = config.CACHE_DIR  # type: ignore[attr-defined]
        config.CACHE_DIR = str(self.folder)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            config.CACHE_DIR = before  # type: ignore[attr-defined]

    def compile(
        self,
        function: FunctionType,
        fastmath: frozenset[str],
        inline: bool,
        signature: Any = None,
        pointer: bool = False,
        nogil: bool = True,
    ) -> Callable[..., Any]:
        _load_without_scipy()
        from numba import cfunc, njit

        from gpunet.backend.cpu.wide import Wide

        options: dict[str, Any] = {
            "pipeline_class": Wide,
            # Python's check of every divisor would stop vectorisation (a factor of ten).
            "error_model": "numpy",
            "fastmath": set(fastmath),
        }
        if inline:  # no way in from Python, which would take longer to compile than the function
            options.update(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
            return njit(**options)(function)
        decorate: Any = cfunc if pointer else functools.partial(njit, nogil=nogil)
        signatures: Any = () if signature is None else (signature,)
        if self.folder is None:
            return decorate(*signatures, **options)(function)
        with self._cache_in_folder():
            return decorate(*signatures, **{**options, "cache": True})(function)


@functools.cache
def _load_without_scipy() -> None:
    """Loads Numba's array functions, but not SciPy.

    They import `scipy.linalg` to learn whether there is a BLAS, which takes as long as Numba itself
    (0.25 s), and no kernel here calls BLAS through Numba. So they are told whether SciPy is there.
    Functions of others that do call BLAS import it when they are compiled.
    """
    from numba.np import linalg

    ask = getattr(linalg, "ensure_blas", None)
    if ask is None:  # another Numba, which may take its time
        return

    def is_there() -> None:
        if importlib.util.find_spec("scipy") is None:
            raise ImportError

    linalg.ensure_blas = is_there
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        linalg.ensure_blas = ask


def _forget_oldest(caches: Path) -> None:
    """Removes the folders of versions long gone, all but the newest few."""
    folders = sorted(caches.glob("cpu-*"), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[:-KEPT_VERSIONS]:
        shutil.rmtree(folder, ignore_errors=True)


compiler = _Compiler()
_one_at_a_time = threading.RLock()  # threads that compile; Numba's folder is one for all


class Kernel(dict[Any, Any]):
    """A function of arrays or scalars, compiled for a dtype when that dtype is first seen.

    `kernel[dtype]` is the compiled variant; every call looks one up, so this is a dictionary.
    `bindings` give further names their meaning in the body; the families of pointwise kernels use
    them to put a scalar formula into a loop. A kernel with `pointer` is a C function, for other
    kernels to call: its variants have an `address`. Without `nogil` it keeps Python's lock.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        fastmath: frozenset[str] = FAST,
        inline: bool = False,
        bindings: dict[str, Any] | None = None,
        signature: Callable[[Any], Any] | None = None,
        pointer: bool = False,
        nogil: bool = True,
    ):
        assert isinstance(function, FunctionType)
        self.function, self.fastmath, self.inline = function, fastmath, inline
        self.name = name or function.__name__
        self.bindings = bindings or {}
        self.signature, self.pointer, self.nogil = signature, pointer, nogil
        self.__doc__ = function.__doc__

    def __missing__(self, dtype: np.dtype[Any]) -> Callable[..., Any]:
        with _one_at_a_time:
            if dtype not in self:
                self[dtype] = self._compile(dtype)
        return self[dtype]

    def _compile(self, dtype: np.dtype[Any]) -> Callable[..., Any]:
        code, names = self.function.__code__, {**self.function.__globals__, **self.bindings}
        used = {name: names[name] for name in code.co_names if name in names}
        for name, value in used.items():
            if isinstance(value, Kernel | ByDtype):
                used[name] = value[dtype]
        constants = tuple(dtype.type(c) if type(c) is float else c for c in code.co_consts)
        variant = FunctionType(
            code.replace(co_consts=constants, co_name=self.name),
            {
                "__builtins__": __builtins__,
                "__name__": self.function.__module__,
                **used,
                "T": dtype.type,
            },
            f"{self.name}_{dtype.name}",
            self.function.__defaults__,
        )
        variant.__qualname__ = variant.__name__  # names the file in the cache
        variant.__module__ = self.function.__module__
        signature = self.signature and self.signature(_numba_type(dtype))
        options = self.inline, signature, self.pointer, self.nogil
        return compiler.compile(variant, self.fastmath, *options)


class ByDtype:
    """A function with a version of its own for each dtype, e.g. a polynomial for float32."""

    def __init__(self, **versions: Any):
        self.versions = {np.dtype(name): version for name, version in versions.items()}

    def __getitem__(self, dtype: np.dtype[Any]) -> Any:
        version = self.versions[dtype]
        return version[dtype] if isinstance(version, Kernel) else version


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Marks a function as a kernel.

    Written `@kernel`, `@kernel(fastmath=FAST_SUM)` or `@kernel(inline=True)`.
    """
    if function is None:
        return lambda f: Kernel(f, **options)
    return Kernel(function, **options)


def _numba_type(dtype: np.dtype[Any]) -> Any:
    from numba import from_dtype

    return from_dtype(dtype)


T: Any = float  # for readers and type checkers; each variant sees its own dtype under this name
