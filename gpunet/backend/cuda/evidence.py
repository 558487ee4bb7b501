"""What of the kernels has been run on a GPU: the ledger kernels/evidence.json.

A line says what was seen of one kernel, for one dtype and architecture, and holds a hash over the
machine code that was run. As long as the source compiles to the same code, the evidence is fresh;
after a change that reaches the code it is stale. Comments and names of files do not reach it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

from gpunet.backend.cuda import loader, source
from gpunet.backend.cuda.nvrtc import Compiler

STATES = ("none", "stale", "fresh", "unchecked")


@dataclass(frozen=True)
class Line:
    """One kernel on one GPU.

    Attributes:
        family, kernel, dtype, architecture: what was compiled; 90 is sm_90.
        code: the hash over its machine code, see `code_hashes`. nvrtc: version that made it.
        date: as 2026-01-31. device: the GPU's name.
        error: the largest error, over the largest value of the float64 result.
        gb_per_s: bytes that must be moved over the time it took.
        share: the least time that its bytes and operations need, at the rates of a copy and of a
            matrix product there, over the time it took.
        sanitizer: the tools of compute-sanitizer that found nothing.
    """

    family: str
    kernel: str
    dtype: str
    architecture: int
    code: str
    nvrtc: str
    date: str
    device: str
    error: float
    gb_per_s: float
    share: float
    sanitizer: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """What there is one line of."""
        return self.kernel, self.dtype, self.architecture


def file() -> Path:
    """Where the ledger lies."""
    return source.folder() / "evidence.json"


def read(ledger: Path | None = None) -> list[Line]:
    """The lines of the ledger."""
    content = json.loads((ledger or file()).read_text())
    return [Line(**fields | {"sanitizer": tuple(fields["sanitizer"])}) for fields in content]


def write(lines: list[Line], ledger: Path | None = None) -> None:
    """Replaces the ledger, in a fixed order, a line a line."""
    texts = [json.dumps(asdict(line)) for line in sorted(lines, key=lambda line: line.key)]
    (ledger or file()).write_text("[\n" + ",\n".join(texts) + "\n]\n")


def record(new: list[Line], ledger: Path | None = None) -> None:
    """Adds lines; each takes the place of an older one of the same kernel, dtype, architecture."""
    kept = {line.key: line for line in read(ledger)} | {line.key: line for line in new}
    write(list(kept.values()), ledger)


def code_hashes(cubin: bytes) -> dict[str, str]:
    """For each kernel in a binary, a hash over its instructions and constants.

    A binary is an ELF file with a section `.text.KERNEL`, and others whose names end in `.KERNEL`.
    """
    offset, entry_size, count, names = _table(cubin)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", cubin, offset + i * entry_size) for i in range(count)
    ]
    names_at = headers[names][4]
    sections = {}
    for name, kind, _, _, start, size, *_ in headers:
        text = cubin[names_at + name : cubin.index(b"\0", names_at + name)].decode()
        no_bits = 8  # a section that takes room only when it is loaded: shared memory
        sections[text] = size.to_bytes(8, "little") + (
            b"" if kind == no_bits else cubin[start : start + size]
        )
    found = [name.removeprefix(".text.") for name in sections if name.startswith(".text.")]
    return {kernel: _digest(sections, kernel) for kernel in found}


def _table(cubin: bytes) -> tuple[int, int, int, int]:
    """Of the section headers: where they start, the size of one, how many; which has the names."""
    if cubin[:5] != b"\x7fELF\x02":
        raise ValueError("this is no binary for a GPU")
    (offset,) = struct.unpack_from("<Q", cubin, 0x28)
    return (offset, *struct.unpack_from("<HHH", cubin, 0x3A))


def _digest(sections: dict[str, bytes], kernel: str) -> str:
    digest = hashlib.sha256()
    for name in sorted(sections):
        # What the program counts and where its lines come from is not code.
        if name.endswith(f".{kernel}") and name.startswith(
            (".text.", ".nv.constant", ".nv.shared")
        ):
            digest.update(name.encode() + b"\0" + sections[name])
    return digest.hexdigest()[: loader.DIGEST]


def states(lines: list[Line], compiler: Compiler | None) -> dict[str, str]:
    """For each kernel what its evidence is worth, the worst of its lines.

    "none": it has never been run on a GPU. "fresh", "stale": the sources still give the code that
    was run, or no longer. "unchecked": it was run, and here is no compiler of the same version, to
    compare with.
    """
    found = {name: "none" for names in source.kernels().values() for name in names}
    today: dict[tuple[str, str, int], dict[str, str]] = {}
    for line in lines:
        if line.kernel not in found:
            continue
        state = "unchecked"
        if compiler is not None and line.nvrtc == version(compiler):
            place = line.family, line.dtype, line.architecture
            if place not in today:
                today[place] = code_hashes(loader.binary(*place, compiler).read_bytes())
            state = "fresh" if today[place].get(line.kernel) == line.code else "stale"
        before = found[line.kernel]
        order = ("stale", "unchecked", "fresh", "none")  # the first counts
        found[line.kernel] = min(before, state, key=order.index)
    return found


def version(compiler: Compiler) -> str:
    """As the ledger writes it: 13.4."""
    return ".".join(map(str, compiler.version))
