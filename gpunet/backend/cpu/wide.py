"""Numba's pipeline, for loops in the widest vectors of the processor.

Where there is AVX-512, LLVM would use half of each vector on most of Intel's processors, since
those of 2017 lowered their clock for whole ones. Whole ones make `exp` and softmax 1.5 times as
fast. To others' functions Numba does what it did.
"""

from __future__ import annotations

from typing import Any

from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering


class _Lower(Lower):
    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)
        # llvmlite's own `add` knows only attributes that are a bare word.
        set.add(self.function.attributes, '"prefer-vector-width"="512"')


@register_pass(mutates_CFG=True, analysis_only=False)
class _WideLowering(NativeLowering):
    _name = "gpunet_wide_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return _Lower


class Wide(CompilerBase):
    """What compiles a kernel: as Numba does, but for its vectors."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        instead = {NativeLowering: _WideLowering}
        passes.passes = [(instead.get(each, each), text) for each, text in passes.passes]
        passes.finalize()
        return [passes]
