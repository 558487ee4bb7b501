"""Running sums, products and extrema along an axis, and differences of neighbours."""

from __future__ import annotations

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, DType, dtypes
from gpunet.backend import dtype as known_dtype
from gpunet.errors import ArgumentError
from gpunet.functional.check import describe, floating, is_tensor, shape_error
from gpunet.functional.dims import Picked, one_axis, over_axes
from gpunet.functional.joining import cat
from gpunet.functional.positions import along, sum_at
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import cast, wide

# A running sum has as many roundings behind it as elements: it is kept in a wider type.
_WIDER = {"e": "float32", "E": "float32", "f": "float64"}


class Scan(Op):
    """Base of operations whose results depend on all elements before, along one axis."""

    def __init__(self, axis: int):
        self.axis = axis

    def running(self, be: Backend, name: str, x: Array) -> Array:
        """`"cumsum"` or `"cumprod"`, computed in the wider type."""
        dtype = _WIDER.get(x.dtype.char, x.dtype)
        return be.asarray(getattr(be.xp, name)(x, axis=self.axis, dtype=dtype), x.dtype)

    def backwards(self, be: Backend, x: Array) -> Array:
        """The sum over the elements from each one on."""
        flipped = be.xp.flip(x, self.axis)
        return be.contiguous(be.xp.flip(self.running(be, "cumsum", flipped), self.axis))


class CumSum(Scan):
    def forward(self, be: Backend, x: Array) -> Array:
        return self.running(be, "cumsum", x)

    def backward(self, be: Backend, gy: Array) -> Array:
        return self.backwards(be, gy)


class CumProd(Scan):
    """gx_j = Σ_{k≥j} gy_k Π_{i≤k, i≠j} x_i, which is Σ_{k≥j} gy_k y_k / x_j before the first zero.

    At the first zero it is the sum with 1 in place of that zero; behind it everything is 0.
    """

    def forward(self, be: Backend, x: Array) -> Array:
        y = self.running(be, "cumprod", x)
        self.saved = x, y
        return y

    def backward(self, be: Backend, gy: Array) -> Array:
        x, y = self.saved
        xp = be.xp
        zero = xp.equal(x, 0)
        zeros = xp.cumsum(zero, axis=self.axis)
        first = xp.logical_and(zero, xp.equal(zeros, 1))
        one = xp.ones_like(x)
        gx = xp.divide(self.backwards(be, xp.multiply(gy, y)), xp.where(zero, one, x))
        factors = xp.where(first, one, x)
        others = xp.multiply(gy, self.running(be, "cumprod", factors))
        gx = xp.where(xp.equal(zeros, 0), gx, xp.zeros_like(gx))
        return xp.where(first, self.backwards(be, others), gx)


class CumExtremum(Scan):
    """Running maximum or minimum, and the last place where it was met."""

    def __init__(self, name: str, axis: int):
        super().__init__(axis)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        xp = be.xp
        y = be.accumulate(self.reduce, x, self.axis)
        new = xp.equal(x, y)
        if dtypes.floating(x.dtype):  # NaN stays the extremum, and is met anew where x is NaN
            new = xp.logical_or(new, xp.isnan(x))
        count = [-1 if i == self.axis else 1 for i in range(x.ndim)]
        places = xp.arange(x.shape[self.axis], dtype="int64").reshape(count)
        indices = be.accumulate("maximum", xp.where(new, places, 0), self.axis)
        self.saved = indices
        return y, indices

    def backward(self, be: Backend, gy: Array, _: None) -> Array:
        # An extremum that lasts gets all gradients meanwhile.
        return sum_at(be, gy, along(be, gy.shape, self.saved, self.axis), gy.shape)


class LogCumSumExp(Scan):
    """gx_j = Σ_{k≥j} gy_k exp(x_j − y_k), summed as logarithms: no exponential overflows."""

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.accumulate("logaddexp", x, self.axis)
        self.saved = x, y
        return y

    def backward(self, be: Backend, gy: Array) -> Array:
        risen = self._part(be, gy)
        return be.xp.subtract(risen, self._part(be, be.xp.negative(gy)))

    def _part(self, be: Backend, gy: Array) -> Array:
        """What the positive gradients bring."""
        x, y = self.saved
        xp = be.xp
        positive = xp.greater(gy, 0)
        none = xp.asarray(-float("inf"), gy.dtype)
        log = xp.where(positive, xp.log(xp.where(positive, gy, xp.ones_like(gy))), none)
        flipped = xp.flip(xp.subtract(log, y), self.axis)
        total = xp.flip(be.accumulate("logaddexp", flipped, self.axis), self.axis)
        return xp.exp(xp.add(total, x))


class Difference(Op):
    """Of neighbours along an axis; of booleans, whether they differ."""

    def __init__(self, axis: int):
        before = (slice(None),) * axis
        self.later, self.earlier = (*before, slice(1, None)), (*before, slice(-1))

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        function = be.xp.not_equal if x.dtype.kind == "b" else be.xp.subtract
        return function(x[self.later], x[self.earlier])

    def backward(self, be: Backend, gy: Array) -> Array:
        gx = be.full(self.shape, 0, gy.dtype)
        gx[self.later] = gy
        gx[self.earlier] -= gy
        return gx


def _running(operation: str, kind: type[Scan], x: Tensor, dim: int, dtype: DType | None) -> Tensor:
    along = one_axis(operation, x, dim)
    if dtype is not None:
        x = cast(x, known_dtype(dtype))
    elif not dtypes.floating(x.dtype):
        x = cast(x, dtypes.int64)
    return apply(kind(along), x)


@method("cumsum", "cumsum_")
@over_axes
@in_single
def cumsum(x: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Running sum along the axis `dim`: y_k = Σ_{i≤k} x_i.

    Shapes: x any; the result has the same shape.
    Args:
        dtype: x is cast to it before. Integers and booleans otherwise give int64.

    >>> import gpunet
    >>> gpunet.cumsum(gpunet.tensor([1, 2, 3]), dim=0)
    tensor([1, 3, 6])
    """
    return _running("cumsum", CumSum, x, dim, dtype)


@method("cumprod", "cumprod_")
@over_axes
@in_single
def cumprod(x: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Running product along the axis `dim`: y_k = Π_{i≤k} x_i.

    Its gradient is right where elements are 0, too.
    Shapes: x any; the result has the same shape.
    Args:
        dtype: x is cast to it before. Integers and booleans otherwise give int64.
    """
    return _running("cumprod", CumProd, x, dim, dtype)


@method()
@over_axes
def cummax(x: Tensor, dim: int) -> Picked:
    """Running maximum along the axis `dim`, and where it was met last; NaN counts as largest.

    Shapes: x any; the result is (values, indices), both of the same shape.

    >>> import gpunet
    >>> gpunet.cummax(gpunet.tensor([1, 3, 2, 3]), dim=0).indices
    tensor([0, 1, 1, 3])
    """
    return Picked(*apply(CumExtremum("maximum", one_axis("cummax", x, dim)), x))


@method()
@over_axes
def cummin(x: Tensor, dim: int) -> Picked:
    """Running minimum along the axis `dim`, and where it was met last; NaN counts as smallest.

    Shapes: x any; the result is (values, indices), both of the same shape.
    """
    return Picked(*apply(CumExtremum("minimum", one_axis("cummin", x, dim)), x))


@method()
@over_axes
@in_single
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """log Σ_{i≤k} exp(x_i) along the axis `dim`; nothing overflows.

    Shapes: x any; the result has the same shape.
    Dtypes: floating.
    """
    floating("logcumsumexp", "x", x)
    along = one_axis("logcumsumexp", x, dim)
    return cast(apply(LogCumSumExp(along), wide(x)), x.dtype)


@method()
def diff(
    x: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Differences x_{k+1} − x_k along the axis `dim`, taken `n` times.

    Of booleans, whether they differ.

    Shapes: x (..., L, ...) with at least one axis; the result (..., L − n, ...).
    Args:
        n: how often, at least 0.
        prepend, append: put before and behind x along `dim` first; of x's shape elsewhere.

    >>> import gpunet
    >>> gpunet.diff(gpunet.tensor([1, 4, 9, 16]))
    tensor([3, 5, 7])
    """
    along = one_axis("diff", x, dim)
    if not isinstance(n, int) or n < 0:
        raise ArgumentError("diff", f"n must be an integer of at least 0, got {n!r}", describe(x=x))
    for name, end in (("prepend", prepend), ("append", append)):
        if end is None:
            continue
        is_tensor("diff", name, end)
        wanted = tuple(None if i == along else m for i, m in enumerate(x.shape))
        if tuple(None if i == along else m for i, m in enumerate(end.shape)) != wanted:
            rule = f"{name} must have x's shape but for axis {along}, got {end.shape}"
            shape_error("diff", rule, x=x)
    if n and (prepend is not None or append is not None):
        x = cat([part for part in (prepend, x, append) if part is not None], along)
    for _ in range(n):
        x = apply(Difference(along), x)
    return x
