"""Sums over named axes: loops over every value of every name."""

import itertools
import math
import string

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def _summed(terms, output, operands):
    """y[output] = Σ Π operand[term], by one loop over all names."""
    lengths = {}
    for term, x in zip(terms, operands, strict=True):
        for name, n in zip(term, x.shape, strict=True):
            lengths[name] = n if lengths.get(name, 1) == 1 else lengths[name]
    names = list(lengths)
    dtype = operands[0].dtype if operands[0].dtype.kind != "b" else np.dtype(int)
    y = np.zeros([lengths[name] for name in output], dtype)
    for values in itertools.product(*[range(lengths[name]) for name in names]):
        at = dict(zip(names, values, strict=True))
        factors = [
            x[tuple(at[name] if n > 1 else 0 for name, n in zip(term, x.shape, strict=True))]
            for term, x in zip(terms, operands, strict=True)
        ]
        y[tuple(at[name] for name in output)] += math.prod(factors[1:], start=factors[0])
    return y


def _einsum(equation, *operands):
    operands = operands[0] if isinstance(operands[0], tuple) else operands
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = [x.ndim - len(t.replace("...", "")) for t, x in zip(terms, operands, strict=True)]
    spare = "αβγδ"[: max(hidden)]
    terms = [t.replace("...", spare[len(spare) - n :]) for t, n in zip(terms, hidden, strict=True)]
    if not arrow:
        letters = "".join(terms)
        right = spare + "".join(
            c for c in string.ascii_uppercase + string.ascii_lowercase if letters.count(c) == 1
        )
    return _summed(terms, right.replace("...", spare), operands)


def einsum():
    for equation, *shapes in [
        ("ij,jk->ik", (4, 5), (5, 6)),
        ("ij,jk", (4, 5), (5, 6)),
        ("ij,kj->ki", (4, 5), (6, 5)),
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
        ("bij,bkj->kib", (2, 3, 4), (2, 5, 4)),
        ("ij->ji", (4, 5)),
        ("ij->", (4, 5)),
        ("ij->j", (4, 5)),
        ("ba", (4, 5)),
        ("ii", (5, 5)),
        ("ii->i", (5, 5)),
        ("iji->j", (3, 4, 3)),
        ("iii->i", (3, 3, 3)),
        ("ij,ij->ij", (4, 5), (4, 5)),
        ("ij,ij->", (4, 5), (4, 5)),
        ("ij,ij->i", (4, 5), (4, 5)),
        ("i,j->ij", (4,), (5,)),
        ("i,j->", (4,), (5,)),
        ("i,i", (31,), (31,)),
        (",ij->ij", (), (4, 5)),
        (",->", (), ()),
        ("->", ()),
        ("ii,ij->j", (4, 4), (4, 5)),
        ("i,oij,j->o", (3,), (2, 3, 4), (4,)),
        ("bi,oij,bj->bo", (3, 2), (4, 2, 5), (3, 5)),
        ("ab,bc,cd,de->ae", (2, 3), (3, 4), (4, 2), (2, 5)),
        ("ij,ik,il->jkl", (2, 3), (2, 2), (2, 4)),
        ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
        ("...i,...j->...ij", (3, 2), (4, 3, 5)),
        ("...j", (2, 3, 4)),
        ("...j->...", (2, 3, 4)),
        ("i...i->...", (2, 3, 2)),
        ("...ij->ji", (2, 3, 4)),
        ("i...->...i", (2, 3, 4)),
        ("bA,cA->cb", (2, 3), (4, 3)),
        ("bA, cA -> c b", (2, 3), (4, 3)),
        ("ij,jk->ik", (2, 3), (1, 4)),
        ("ij,ij->ij", (2, 3), (1, 3)),
        ("ij,ij->j", (2, 3), (1, 3)),
        ("ij,jk,k->i", (2, 3), (1, 4), (4,)),
        ("ij->ij", (1, 1)),
        ("ij,jk->ik", (0, 3), (3, 2)),
        ("ij,jk->ik", (2, 0), (0, 3)),
    ]:
        yield Case(_einsum, [equation, *[normal(*shape) for shape in shapes]])
    yield Case(_einsum, ["ij,jk", (normal(2, 3), normal(3, 2))])
    yield Case(_einsum, ["ij,kj->ik", labels(9, 2, 3), labels(9, 4, 3)])
    yield Case(_einsum, ["ij->i", exactly([[True, True], [False, True]])])
    yield Case(lambda *_: _[0].T, [normal(4, 5), (0, 1), (1, 0)])
    yield Case(lambda x, a, y, b, c: x @ y, [normal(2, 3), (0, 51), normal(3, 2), (51, 5), (0, 5)])
    yield Case(lambda x, a: np.trace(x, 0, 0, 2), [normal(3, 4, 3), (7, Ellipsis, 7)])
    yield Edge(_einsum, ["ij,j->i", exactly([[np.nan, 1.0], [1.0, 1.0]]), exactly([1.0, 1.0])])
    yield from _refused()


def _refused():
    x = normal(2, 3)
    for equation, problem in [
        ("ij,jk", "equation must have 1 operands, got 2 in 'ij,jk'"),
        ("i1", "equation must name axes by letters, got 'i1'"),
        ("i.j", "equation must name axes by letters, got 'i.j'"),
        ("ij->ji->i", "equation must name each axis of the result once"),
        ("ij->iij", "one that there is, got 'i' in 'ij->iij'"),
        ("ij->k", "one that there is, got 'k' in 'ij->k'"),
    ]:
        yield Invalid([equation, x], ArgumentError, problem)
    for equation in ("i", "ijk", "ijk..."):
        rule = f"operand must have {len(equation.strip('.'))} axes for {equation!r}; x is (2, 3)"
        yield Invalid([equation, x], ShapeError, rule)
    rule = "axes of one name must have one length, got 2 and 3 for 'i' in 'ii'"
    yield Invalid(["ii", x], ShapeError, rule)
    rule = "axes of one name must have one length, got 3 and 2 for 'j'"
    yield Invalid(["ij,jk", x, x], ShapeError, rule)
    rule = "operands[1] must be float64 as the others, got int64"
    yield Invalid(["ij,ij", x, labels(9, 2, 3)], DTypeError, rule)
    yield Invalid(
        ["i,i", exactly([True]), exactly([True])], DTypeError, "must hold numbers, got bool"
    )
    yield Invalid([3, x], DTypeError, "equation must be a str or a gpunet.Tensor, got int")
    yield Invalid([x, (0, 52)], ArgumentError, "names of axes must be in [0, 52), got 52")


def tensordot():
    def formula(a, b, dims=2):
        if isinstance(dims, np.ndarray):
            dims = dims.tolist()
        if isinstance(dims, int):
            dims = [range(a.ndim - dims, a.ndim), range(dims)]
        first, second = ([d % x.ndim for d in of] for of, x in zip(dims, (a, b), strict=True))
        left, right = list(string.ascii_letters[: a.ndim]), list(string.ascii_letters[-b.ndim :])
        for i, j in zip(first, second, strict=True):
            right[j] = left[i]
        kept = [left[i] for i in range(a.ndim) if i not in first]
        kept += [right[j] for j in range(b.ndim) if j not in second]
        return _summed([left, right[: b.ndim]], kept, [a, b])

    yield Case(formula, [normal(4, 5), normal(4, 5)])
    yield Case(formula, [normal(4, 5), normal(5, 2), 1])
    yield Case(formula, [normal(2, 3), normal(4), 0])
    yield Case(formula, [normal(2, 3, 4), normal(4, 5, 3), ((1, 2), (2, 0))])
    yield Case(formula, [normal(2, 3, 4), normal(4, 2), ((-1, 0), (0, 1))])
    yield Case(formula, [normal(2, 3), normal(1, 4), ((0,), (0,))])
    yield Case(formula, [normal(2, 3), normal(2, 4), exactly([[0], [0]])])
    yield Case(formula, [labels(9, 2, 3), labels(9, 2, 3)])
    x = normal(2, 3)
    rule = "contracted axes must have equal length, got 3 and 2"
    yield Invalid([x, x, 1], ShapeError, rule)
    for n in (-1, 3):
        yield Invalid([x, x, n], ArgumentError, f"dims must be in [0, 2], got {n}")
    rule = "dims must name equally many axes, got ((0,), (0, 1))"
    yield Invalid([x, x, ((0,), (0, 1))], ArgumentError, rule)
    yield Invalid([x, x, ((0, 0), (0, 1))], ArgumentError, "dims must name each axis once")
    yield Invalid([x, x, ((0,),)], ArgumentError, "dims must be two lists of axes, got ((0,),)")
    yield Invalid([x, x, ((2,), (0,))], ShapeError, "dim must be in [-2, 2), got 2")
    yield Invalid([x, labels(9, 2, 3)], DTypeError, "b must be float64 as the others, got int64")


def inner():
    def formula(x, other):
        if not x.ndim or not other.ndim:
            return x * other
        rows, columns = x.reshape(-1, x.shape[-1]), other.reshape(-1, other.shape[-1])
        z = np.array([[(a * b).sum() for b in columns] for a in rows], x.dtype)
        return z.reshape((*x.shape[:-1], *other.shape[:-1]))

    for x, y in [((31,), (31,)), ((4, 5), (5,)), ((4, 5), (2, 3, 5)), ((), (4, 5)), ((3,), ())]:
        yield Case(formula, [normal(*x), normal(*y)])
    yield Case(formula, [labels(9, 2, 3), labels(9, 3)])
    rule = "last axes must have equal length, got 3 and 4; x is (2, 3)"
    yield Invalid([normal(2, 3), normal(4)], ShapeError, rule)
    rule = "other must be float64 as the others, got int64"
    yield Invalid([normal(2, 3), labels(9, 3)], DTypeError, rule)
    yield Invalid([exactly([True]), exactly([True])], DTypeError, "x must hold numbers, got bool")


def bilinear():
    def formula(input1, input2, weight, bias=None):
        products = input1[..., None, :, None] * weight * input2[..., None, None, :]
        y = products.sum((-1, -2))
        return y if bias is None else y + bias

    for lead in [(), (5,), (1,), (2, 3), (0,)]:
        inputs = [normal(*lead, 3), normal(*lead, 4), normal(2, 3, 4)]
        yield Case(formula, inputs)
        yield Case(formula, [*inputs, normal(2)])
    yield Case(formula, [normal(4, 5), normal(4, 6), normal(3, 5, 6), normal(3)])
    yield Case(formula, [labels(9, 2, 3), labels(9, 2, 2), labels(9, 2, 3, 2)])
    x, weight = normal(2, 3), normal(4, 3, 3)
    rule = "weight must have shape (out, in1, in2), and the inputs equal leading axes"
    yield Invalid([x, normal(1, 3), weight], ShapeError, rule)
    yield Invalid([x, x, normal(3, 3)], ShapeError, rule)
    rule = "inputs must have shapes (..., 3) and (..., 2), got (2, 3) and (2, 3)"
    yield Invalid([x, x, normal(4, 3, 2)], ShapeError, rule)
    yield Invalid([x, x, weight, normal(3)], ShapeError, "bias must have shape (4,), got (3,)")
    yield Invalid([x, labels(9, 2, 3), weight], DTypeError, "input2 must be float64 as the others")
