"""Every differentiable function, `gpunet.functional.NAME`; PyTorch's names, arguments and defaults.

A family is a module. Its operations (`class ReLU(Op)`) and its public functions stand side by side;
a function written there is public, and a case in `tests/cases/` is then demanded of it.
"""

from types import FunctionType as _Function
from types import ModuleType as _Module

from gpunet.functional.activation import *
from gpunet.functional.adaptive_pooling import *
from gpunet.functional.arithmetic import *
from gpunet.functional.attention import *
from gpunet.functional.classification import *
from gpunet.functional.comparison import *
from gpunet.functional.conv import *
from gpunet.functional.conversion import *
from gpunet.functional.ctc import *
from gpunet.functional.diagonals import *
from gpunet.functional.distance import *
from gpunet.functional.dropout import *
from gpunet.functional.einsum import *
from gpunet.functional.elementwise import *
from gpunet.functional.embedding import *
from gpunet.functional.extrema import *
from gpunet.functional.feature_dropout import *
from gpunet.functional.gathering import *
from gpunet.functional.gating import *
from gpunet.functional.indexing import *
from gpunet.functional.joining import *
from gpunet.functional.linear import *
from gpunet.functional.loss import *
from gpunet.functional.margin import *
from gpunet.functional.masking import *
from gpunet.functional.metric import *
from gpunet.functional.minmax import *
from gpunet.functional.normalization import *
from gpunet.functional.padding import *
from gpunet.functional.piecewise import *
from gpunet.functional.pooling import *
from gpunet.functional.power import *
from gpunet.functional.rank import *  # type: ignore[assignment]  # `mode`: not autograd's
from gpunet.functional.rearranging import *
from gpunet.functional.recurrent import *
from gpunet.functional.reduction import *
from gpunet.functional.resize import *
from gpunet.functional.rounding import *
from gpunet.functional.scan import *
from gpunet.functional.shape import *
from gpunet.functional.softmax import *
from gpunet.functional.sorting import *
from gpunet.functional.trigonometry import *

# Modules for the others, not for users.
_HELPERS = frozenset("check criterion dims geometry positions precision promotion windows".split())


def _public(value: object) -> bool:
    """Functions written in this package, and its modules; not what those modules import."""
    if isinstance(value, _Function):
        home = value.__module__
        return home.startswith(f"{__name__}.") and home.rpartition(".")[2] not in _HELPERS
    return isinstance(value, _Module) and value.__name__.startswith(__name__)


for _name in [n for n, v in globals().items() if not n.startswith("_") and not _public(v)]:
    del globals()[_name]

__all__ = [n for n, v in globals().items() if not n.startswith("_") and isinstance(v, _Function)]
