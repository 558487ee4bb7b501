"""Matrix products: sums of products, written as such."""

import numpy as np

from gpunet.errors import DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal

PLAIN = [((1, 1), (1, 1)), ((2, 3), (3, 4)), ((31, 3), (3, 33)), ((3, 31), (31, 1))]
VECTORS = [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,))]
STACKS = [
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (5, 3, 4)),
]
EMPTY = [((0, 3), (3, 4)), ((2, 3), (3, 0)), ((2, 0), (0, 4)), ((0, 2, 3), (3, 4))]
NAN = exactly([[np.nan, 1.0], [1.0, 1.0]])


def matmul():
    def formula(x, y):
        rows = x if x.ndim > 1 else x[None, :]
        columns = y if y.ndim > 1 else y[:, None]
        z = (rows[..., :, :, None] * columns[..., None, :, :]).sum(-2)
        z = z if x.ndim > 1 else z[..., 0, :]
        return z if y.ndim > 1 else z[..., 0]

    for x, y in [*PLAIN, *VECTORS, *STACKS, *EMPTY, ((130, 17), (17, 127))]:
        yield Case(formula, [normal(*x), normal(*y)])
    yield Edge(formula, [NAN, exactly([[1.0], [1.0]])])
    rule = "x's last axis must equal y's last but one, got 3 and 2"
    yield Invalid([normal(2, 3), normal(2, 4)], ShapeError, rule)
    rule = "leading axes must broadcast, got 2 and 3; x is (2, 2, 3) float64"
    yield Invalid([normal(2, 2, 3), normal(3, 3, 4)], ShapeError, rule)
    rule = "operands must have at least one axis; x is () float64"
    yield Invalid([normal(), normal(2)], ShapeError, rule)
    yield Case(formula, [labels(9, 4, 5), labels(9, 5, 6)])
    rule = "y must be float64 as the others, got int64"
    yield Invalid([normal(2, 2), labels(2, 2, 2)], DTypeError, rule)
    yield Invalid([exactly([True]), exactly([True])], DTypeError, "x must hold numbers, got bool")
    yield Invalid([normal(2, 2), 3.0], DTypeError, "y must be a gpunet.Tensor, got float")


def linear():
    def formula(x, weight, bias=None):
        y = (x[..., None, :] * weight).sum(-1)
        return y if bias is None else y + bias

    for shape in [(1, 1), (5, 3), (3,), (2, 4, 3), (31, 33), (1, 31), (0, 3), (2, 0, 3), (2, 5, 0)]:
        for outputs in (1, 4, 0):
            weight, bias = normal(outputs, shape[-1]), normal(outputs)
            yield Case(formula, [normal(*shape), weight])
            yield Case(formula, [normal(*shape), weight, bias])
    yield Case(formula, [normal(130, 17), normal(127, 17), normal(127)])
    yield Edge(formula, [NAN, exactly([[1.0, 1.0]]), exactly([1.0])])
    x, weight = normal(2, 3), normal(4, 3)
    yield Invalid([x, normal(3)], ShapeError, "weight must have shape (out, in), got (3,)")
    rule = "x must have shape (..., in) = (..., 3), got "
    yield Invalid([normal(3, 2), weight], ShapeError, rule + "(3, 2); weight is (4, 3) float64")
    yield Invalid([normal(), weight], ShapeError, rule + "()")
    rule = "bias must have shape (out,) = (4,), got (3,); weight is (4, 3) float64"
    yield Invalid([x, weight, normal(3)], ShapeError, rule)
    rule = "weight must be floating, got int64"
    yield Invalid([x, labels(2, 4, 3)], DTypeError, rule)
    yield Invalid([x, None], DTypeError, "weight must be a gpunet.Tensor, got NoneType")


def _wrong(names, fitting, wrong, *before):
    """Refused: operands of other shapes, of two dtypes, and booleans."""
    first, second = names
    for x, y, axes in wrong:
        name, shape, n = axes
        rule = f"{name} must have {n} axes, got shape {shape}"
        yield Invalid([*before, normal(*x), normal(*y)], ShapeError, rule)
    x, y = fitting
    rule = f"{first} and {second} must fit together, got {x} and {y}"
    yield Invalid([*before, normal(*x), normal(*y)], ShapeError, rule)
    rule = f"{second} must be float64 as the others, got int64"
    yield Invalid([*before, normal(*x), labels(9, *y)], DTypeError, rule)
    if not before:
        mask = exactly(np.ones(x, bool))
        yield Invalid([mask, mask], DTypeError, f"{first} must hold numbers, got bool")


def _sum_of_products(x, y):
    rows, columns = (x[None] if x.ndim == 1 else x), (y[:, None] if y.ndim == 1 else y)
    z = (rows[..., :, :, None] * columns[..., None, :, :]).sum(-2)
    z = z if x.ndim > 1 else z[..., 0, :]
    return z if y.ndim > 1 else z[..., 0]


def mm():
    for x, y in [((4, 5), (5, 6)), ((1, 31), (31, 1)), ((0, 3), (3, 2)), ((2, 0), (0, 3))]:
        yield Case(_sum_of_products, [normal(*x), normal(*y)])
    yield Case(_sum_of_products, [labels(9, 2, 3), labels(9, 3, 2)])
    wrong = [((3,), (3, 2), ("x", (3,), 2)), ((2, 3), (1, 3, 2), ("mat2", (1, 3, 2), 2))]
    yield from _wrong(("x", "mat2"), ((2, 3), (2, 3)), wrong)


def bmm():
    for x, y in [((3, 4, 5), (3, 5, 2)), ((1, 2, 3), (1, 3, 1)), ((0, 2, 3), (0, 3, 2))]:
        yield Case(_sum_of_products, [normal(*x), normal(*y)])
    yield Case(_sum_of_products, [labels(9, 2, 2, 3), labels(9, 2, 3, 2)])
    wrong = [((2, 3), (1, 3, 2), ("x", (2, 3), 3)), ((1, 2, 3), (3, 2), ("mat2", (3, 2), 3))]
    yield from _wrong(("x", "mat2"), ((2, 2, 3), (1, 3, 2)), wrong)
    yield from _wrong(("x", "mat2"), ((1, 2, 3), (1, 2, 3)), [])


def mv():
    for x, y in [((4, 5), (5,)), ((1, 31), (31,)), ((0, 3), (3,)), ((2, 0), (0,))]:
        yield Case(_sum_of_products, [normal(*x), normal(*y)])
    yield Case(_sum_of_products, [labels(9, 2, 3), labels(9, 3)])
    wrong = [((3,), (3,), ("x", (3,), 2)), ((2, 3), (3, 1), ("vec", (3, 1), 1))]
    yield from _wrong(("x", "vec"), ((2, 3), (2,)), wrong)


def _dot(other):
    for n in (31, 1, 0, 200):
        yield Case(lambda x, y: (x * y).sum(), [normal(n), normal(n)])
    yield Case(lambda x, y: (x * y).sum(), [labels(9, 3), labels(9, 3)])
    wrong = [((), (3,), ("x", (), 1)), ((3,), (1, 3), (other, (1, 3), 1))]
    yield from _wrong(("x", other), ((3,), (2,)), wrong)


def dot():
    yield from _dot("tensor")


def vdot():
    yield from _dot("other")


def outer():
    def formula(x, vec2):
        return np.array([[a * b for b in vec2] for a in x]).reshape(len(x), len(vec2))

    for n, m in [(31, 1), (5, 6), (0, 3)]:
        yield Case(formula, [normal(n), normal(m)])
    yield Case(lambda x, vec2: formula(x, vec2).astype(x.dtype), [normal(3), labels(9, 2)])
    yield Case(formula, [labels(9, 3), labels(9, 2)])
    yield Case(lambda *_: np.array([[True, False]]), [exactly([True]), exactly([True, False])])
    rule = "x and vec2 must have one axis, got (2, 3) and (3,)"
    yield Invalid([normal(2, 3), normal(3)], ShapeError, rule)


def _plus(x, a, b, beta=1, alpha=1):
    product = alpha * _sum_of_products(a, b)
    return product if beta == 0 else beta * x + product


def _sums(a, b, sums, names):
    """Rows of x + a·b, where x broadcasts to the shapes `sums`."""
    for shape in sums:
        yield Case(_plus, [normal(*shape), normal(*a), normal(*b)])
    x = normal(*sums[0])
    for beta, alpha in [(0.5, -2), (1, 0), (2, 1)]:
        yield Case(_plus, [x, normal(*a), normal(*b)], dict(beta=beta, alpha=alpha))
    whole = [labels(9, *shape) for shape in (sums[0], a, b)]
    yield Case(_plus, whole, dict(beta=2, alpha=3))
    nan = constant(exactly(np.full(sums[0], np.nan)))
    yield Edge(_plus, [nan, constant(normal(*a)), constant(normal(*b))], dict(beta=0))
    product = _sum_of_products(np.ones(a), np.ones(b)).shape
    for shape in [(1, *product), (*product[:-1], product[-1] + 1)]:
        rule = f"x must broadcast to {product}, got {shape}"
        yield Invalid([normal(*shape), normal(*a), normal(*b)], ShapeError, rule)
    yield from _wrong(names, (a, a), [], x) if len(a) == len(b) else ()
    rule = f"{names[0]} must be int64 as the others, got float64"
    yield Invalid([labels(9, *sums[0]), normal(*a), normal(*b)], DTypeError, rule)


def addmm():
    sums = [(4, 6), (6,), (4, 1), ()]
    yield from _sums((4, 5), (5, 6), sums, ("mat1", "mat2"))
    yield Case(_plus, [normal(0, 2), normal(0, 3), normal(3, 2)])


def addmv():
    yield from _sums((4, 5), (5,), [(4,), (1,), ()], ("mat", "vec"))
    rule = "mat and vec must fit together, got (4, 5) and (4,)"
    yield Invalid([normal(4), normal(4, 5), normal(4)], ShapeError, rule)


def baddbmm():
    sums = [(3, 4, 6), (4, 6), (3, 1, 1)]
    yield from _sums((3, 4, 5), (3, 5, 6), sums, ("batch1", "batch2"))


def kron():
    def formula(x, other):
        return np.kron(x, other).astype((x[:0] if x.ndim else x).dtype)

    for x, y in [((4, 5), (2, 3)), ((3,), (4,)), ((2, 3), (2,)), ((), (4, 5)), ((2, 1, 3), (2, 2))]:
        yield Case(formula, [normal(*x), normal(*y)])
    yield Case(formula, [normal(0, 3), normal(2, 2)])
    yield Case(formula, [normal(2, 2), labels(9, 2, 3)])
    yield Case(formula, [labels(9, 4), labels(9, 2)])


def cross():
    def formula(x, other, dim=None):
        dim = x.shape.index(3) if dim is None else dim
        a, b = np.moveaxis(x, dim, 0), np.moveaxis(other, dim, 0)
        z = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
        return np.moveaxis(np.array(z), 0, dim)

    for shape, dim in [((4, 3), 1), ((3, 5), 0), ((3, 3), -1), ((2, 3, 4), 1), ((3,), 0)]:
        yield Case(formula, [normal(*shape), normal(*shape)], dict(dim=dim))
    yield Case(formula, [normal(2, 3), normal(2, 3)])
    yield Case(formula, [normal(3, 3), normal(3, 3)])
    yield Case(formula, [normal(4, 3), normal(1, 3), -1])
    yield Case(formula, [normal(0, 3), normal(0, 3)])
    yield Case(formula, [labels(9, 3), labels(9, 3)])
    x = normal(2, 3)
    rule = "x must have an axis of length 3; x is (2, 2)"
    yield Invalid([normal(2, 2), normal(2, 2)], ShapeError, rule)
    rule = "x and other must have length 3 along axis 0, got (2, 3) and (2, 3)"
    yield Invalid([x, x, 0], ShapeError, rule)
    yield Invalid([x, normal(3)], ShapeError, "along axis 1, got (2, 3) and (3,)")
    yield Invalid([x, normal(4, 3)], ShapeError, "shapes must broadcast, got (2, 3) and (4, 3)")
    yield Invalid([x, labels(9, 2, 3)], DTypeError, "other must be float64 as the others")
