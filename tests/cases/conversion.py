"""Copies."""

from tests.cases.case import Case, labels, normal


def clone():
    for shape in [(), (31,), (2, 3, 5), (0, 3), (130, 127)]:
        yield Case(lambda x: x, [normal(*shape)])
    yield Case(lambda x: x, [labels(9, 4)])
