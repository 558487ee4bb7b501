"""Finds and reads the CUDA sources: the text that is compiled, and the signatures in it.

Nothing here needs a GPU, CuPy or a compiler. What Python knows about a kernel it knows from the
text of its `.cu` file, so that nothing has to be written down twice.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

_KERNEL = re.compile(r"^KERNEL\((\w+)\)\(([^)]*)\)", re.MULTILINE)
_PARAMETER = re.compile(r"(const )?([\w ]+?)(\*?)( __restrict__)? ?(\w+)")

# NumPy's name of each dtype that the kernels are compiled for, and its type in CUDA.
CUDA_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "__half",
    "bfloat16": "__nv_bfloat16",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel, as its C signature declares it.

    Attributes:
        name: as in the source.
        type: of the value, or of what the pointer points to: "T", "acc_t", "long long", ...
        pointer: whether it is one. written: whether the kernel writes there.
        alone: whether the signature says `__restrict__`: no other argument may be the same array.
    """

    name: str
    type: str
    pointer: bool = False
    written: bool = False
    alone: bool = False

    def __str__(self) -> str:
        const = "const " if self.pointer and not self.written else ""
        restrict = " __restrict__" if self.alone else ""
        return f"{const}{self.type}{'*' * self.pointer}{restrict} {self.name}"

    @property
    def declared(self) -> str:
        """Its C type: the declaration without the name."""
        return str(self).removesuffix(f" {self.name}")


Signature = tuple[Parameter, ...]


def cooperative(signature: Signature) -> bool:
    """Whether the blocks of a kernel wait for each other, so that all must run at once."""
    return any(parameter.type == "GridBarrier" for parameter in signature)


def folder() -> Path:
    """The folder that holds `common.cuh` and the `.cu` files of the kernel families.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    package = Path(__file__).parents[2]
    for candidate in (package / "_kernels", package.parent / "kernels"):
        if (candidate / "common.cuh").is_file():
            return candidate
    raise FileNotFoundError(f"no CUDA sources in {package / '_kernels'}: reinstall gpunet")


def files(family: str) -> list[str]:
    """The names of a family's files: FAMILY.cu and, behind it, those named FAMILY_MORE.cu."""
    more = sorted(file.name for file in folder().glob(f"{family}_*.cu"))
    return [f"{family}.cu", *more]


@functools.cache
def text(family: str) -> str:
    """What is compiled for a family: its files behind the common header.

    All are put into one text instead of being included, so that a hash over the text is a hash
    over everything of ours that goes into the binary.
    """
    names = ("common.cuh", *files(family))
    return "".join(f'#line 1 "{name}"\n{(folder() / name).read_text()}\n' for name in names)


def signatures(source: str) -> dict[str, Signature]:
    """The kernels in a source text, in order, with their parameters.

    >>> found = signatures("KERNEL(scale)(const T* x, T* __restrict__ y, acc_t factor) {")
    >>> [str(parameter) for parameter in found["scale"]]
    ['const T* x', 'T* __restrict__ y', 'acc_t factor']
    """
    return {
        name: tuple(_parameter(declaration) for declaration in parameters.split(","))
        for name, parameters in _KERNEL.findall(source)
    }


def _parameter(declaration: str) -> Parameter:
    match = _PARAMETER.fullmatch(" ".join(declaration.split()))
    if match is None:
        raise ValueError(f"cannot read the kernel parameter {declaration!r}")
    const, kind, star, restrict, name = match.groups()
    return Parameter(name, kind, bool(star), bool(star) and not const, bool(restrict))


def kernels() -> dict[str, list[str]]:
    """Names of the kernels in each family, in the order of its files."""
    families = sorted(file.stem for file in folder().glob("*.cu") if "_" not in file.stem)
    return {family: list(signatures(text(family))) for family in families}
