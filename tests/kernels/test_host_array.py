"""The arrays of the pretended GPU refuse what CuPy's refuse."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.host.array import HostArray, HostModule

xp = HostModule(0)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, y: x + y,
        lambda x, y: y + x,
        lambda x, y: np.add(y, x),
        lambda x, y: xp.add(x, y),
        lambda x, y: xp.concatenate([x, y]),
        lambda x, y: np.concatenate([x, y]),
        lambda x, y: x.__setitem__(slice(2), y),
        lambda x, y: x.__iadd__(y),
    ],
)
def test_arrays_of_the_host_are_refused(mix) -> None:
    for other in (np.ones(2), HostModule(1).asarray(np.ones(2))):
        with pytest.raises(TypeError, match="cannot be mixed"):
            mix(xp.asarray(np.ones(2)), other)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(),
        lambda x: x.max(),
        lambda x: x[0, 1],
        lambda x: x[0],
        lambda x: x.T,
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: xp.sum(x),
        lambda x: xp.asarray(2.0),
        lambda x: x.argmax(),
        lambda x: x.astype("float32"),
        lambda x: abs(x) ** 2,
        lambda x: x.reshape(-1)[1:],
        lambda x: x.copy(),
        lambda x: xp.equal(2.0, 0),
    ],
)
def test_results_stay_on_the_device(call) -> None:
    y = call(xp.asarray(np.ones((2, 3))))
    assert type(y) is HostArray
    assert y.number == 0


def test_views_know_their_base_and_results_have_none() -> None:
    x = xp.asarray(np.ones((2, 3)))
    assert x[1:].base is x
    assert x.T[0].base is x
    assert type((x + 1).base) is not HostArray


def test_what_cupy_does_not_take() -> None:
    x = xp.asarray(np.ones((2, 3)))
    with pytest.raises(TypeError, match=r"CuPy's ndarray.max takes \['axis', 'out', 'keepdims'\]"):
        x.max(initial=0)
    with pytest.raises(TypeError, match=r"CuPy's amax takes"):
        xp.amax(x, where=x > 0)
    with pytest.raises(AttributeError, match="CuPy has no nditer"):
        xp.nditer  # noqa: B018


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_sums_that_are_not_deterministic(dtype: str) -> None:
    x, at = xp.asarray(np.ones(3, dtype)), xp.asarray(np.array([1, 1]))
    with pytest.raises(TypeError, match=f"add.at must not be used on {dtype}"):
        xp.add.at(x, at, x[:2])
    whole = x.astype("int64")
    xp.add.at(whole, at, whole[:2])
    assert whole.get().tolist() == [1, 3, 1]


def test_reads_are_counted() -> None:
    x = xp.asarray(np.ones(1))
    for read in (float, int, bool, HostArray.item, HostArray.tolist, HostArray.get):
        HostArray.reads = 0
        read(x)
        assert HostArray.reads == 1, read
