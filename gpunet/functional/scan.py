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


class Scan(Op):
    """Base of operations whose results depend on all elements before, along one axis."""

    def __init__(self, axis: int):
        self.axis = axis


class CumSum(Scan):
    def forward(self, be: Backend, x: Array) -> Array:
        return be.running("cumsum", x, self.axis)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.running("cumsum", gy, self.axis, True)


class CumProd(Scan):
    """gx_j = Σ_{k≥j} gy_k Π_{i≤k, i≠j} x_i, which is Σ_{k≥j} gy_k y_k / x_j before the first zero.

    At the first zero it is the sum with 1 in place of that zero; behind it everything is 0.
    """

    def forward(self, be: Backend, x: Array) -> Array:
        y = be.running("cumprod", x, self.axis)
        self.saved = x, y
        return y

    def backward(self, be: Backend, gy: Array) -> Array:
        x, y = self.saved
        xp = be.xp
        zero = xp.equal(x, 0)
        zeros = xp.cumsum(zero, axis=self.axis)
        first = xp.logical_and(zero, xp.equal(zeros, 1))
        one = xp.ones_like(x)
        risen = be.running("cumsum", xp.multiply(gy, y), self.axis, True)
        gx = xp.divide(risen, xp.where(zero, one, x))
        gx = xp.where(xp.equal(zeros, 0), gx, xp.zeros_like(gx))
        others = xp.multiply(gy, be.running("cumprod", xp.where(first, one, x), self.axis))
        return xp.where(first, be.running("cumsum", others, self.axis, True), gx)


class CumExtremum(Scan):
    """Running maximum or minimum, and the last place where it was met."""

    def __init__(self, axis: int, largest: bool):
        super().__init__(axis)
        self.largest = largest

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        y, self.saved = be.running_extrema(x, self.axis, self.largest)
        return y, self.saved

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
    return Picked(*apply(CumExtremum(one_axis("cummax", x, dim), True), x))


@method()
@over_axes
def cummin(x: Tensor, dim: int) -> Picked:
    """Running minimum along the axis `dim`, and where it was met last; NaN counts as smallest.

    Shapes: x any; the result is (values, indices), both of the same shape.
    """
    return Picked(*apply(CumExtremum(one_axis("cummin", x, dim), False), x))


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
