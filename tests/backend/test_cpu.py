"""The CPU backend's own functions, against NumPy's."""

import copy

import numpy as np
import pytest

from gpunet import backend
from gpunet.backend.base import Backend
from gpunet.backend.cpu.memory import SMALL

be = backend.cpu
LARGE = (130, 127)  # float32 of this shape is just above the size that is cached
assert 4 * np.prod(LARGE) > SMALL


def drawn(*shape: int, dtype: str = "float32") -> np.ndarray:
    return (100 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def test_asarray_copies_only_if_it_must() -> None:
    x = drawn(3)
    assert be.asarray(x) is x
    assert be.asarray(x, "float64").dtype == "float64"
    assert be.to_host(x) is x


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), LARGE], ids=str)
def test_copy_and_contiguous(shape) -> None:
    x = drawn(*shape)
    y = be.copy(x.T)
    assert y.flags.c_contiguous
    assert not np.may_share_memory(x, y)
    np.testing.assert_array_equal(y, x.T)
    assert be.contiguous(x) is x
    turned = be.contiguous(x.T)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, x.T)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), LARGE], ids=str)
def test_full(shape, dtype) -> None:
    x = be.full(shape, 1, dtype)
    assert (x.shape, x.dtype, x.flags.c_contiguous) == (shape, dtype, True)
    assert (x == 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("n", "k", "m"), [(1, 1, 1), (3, 4, 5), (0, 4, 5), (3, 0, 5), (130, 70, 127)]
)
def test_matmul_takes_views_as_they_are(n, k, m, dtype) -> None:
    """Against float64, within k roundings of the products' sizes (Higham, section 3.1)."""
    a, b = drawn(n, k, dtype=dtype), drawn(k, m, dtype=dtype)
    exact = np.einsum("ik,kj->ij", a, b, dtype="float64")
    bound = (k + 1) * np.finfo(dtype).eps * np.einsum("ik,kj->ij", abs(a), abs(b), dtype="float64")
    for x in (a, np.asfortranarray(a), np.repeat(a, 2, axis=1)[:, ::2]):
        for y in (b, np.asfortranarray(b), np.flip(np.flip(b).copy())):
            z = be.matmul(x, y)
            assert (z.dtype, z.flags.c_contiguous) == (dtype, True)
            assert (abs(z - exact) <= bound).all()


OPERANDS = {
    "two arrays": (drawn(*LARGE), drawn(*LARGE)),
    "broadcast": (drawn(*LARGE), drawn(127)),
    "float": (drawn(*LARGE), 2.5),
    "int": (3, drawn(*LARGE)),
    "bool": (drawn(*LARGE), True),
    "float32 and float64": (drawn(*LARGE), drawn(*LARGE, dtype="float64")),
    "float32 and a float64 scalar": (drawn(*LARGE), np.float64(2.5)),
    "integers": (drawn(*LARGE, dtype="int64"), drawn(*LARGE, dtype="int32") | 1),
    "integer and float": (drawn(*LARGE, dtype="int64"), 2.5),
    "views": (drawn(*LARGE).T, drawn(*LARGE, dtype="float64").T),
    "small": (drawn(3), drawn(3)),
    "no axes": (drawn(), drawn()),
}


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "greater"])
@pytest.mark.parametrize("operands", OPERANDS.values(), ids=OPERANDS)
def test_elementwise_functions_are_numpys(name, operands) -> None:
    """Same bits, same dtype, always an array; large results lie on cached memory."""
    got, expected = getattr(be.xp, name)(*operands), getattr(np, name)(*operands)
    assert type(got) is np.ndarray
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected, strict=got.ndim > 0)
    if got.nbytes >= SMALL:
        assert type(got.base).__name__ == "mmap"


def test_other_functions_are_numpys_too() -> None:
    assert be.xp.concatenate is np.concatenate
    with pytest.raises(AttributeError, match="nonsense"):
        be.xp.nonsense  # noqa: B018


def test_families_are_found_by_name() -> None:
    assert be.activation.__name__ == "gpunet.backend.cpu.activation"
    with pytest.raises(AttributeError, match="backend cpu has no kernel family 'nonsense'"):
        be.nonsense  # noqa: B018
    assert not hasattr(be, "_private")


def test_an_error_inside_a_family_is_not_hidden(tmp_path, monkeypatch) -> None:
    class Other(type(be)):
        package = "family_package"

    (tmp_path / "family_package").mkdir()
    (tmp_path / "family_package" / "broken.py").write_text("import a_module_that_is_missing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        Other().broken  # noqa: B018


def test_there_is_one_backend_a_device() -> None:
    assert copy.deepcopy(be) is copy.copy(be) is be
    assert repr(be) == "<backend cpu>"
    be.synchronize()


LONG_SUMS = [
    ((70_000,), (0,)),
    ((20_000, 3), (0,)),
    ((3, 20_000), (1,)),
    ((2, 9_000, 3), (1,)),
    ((300, 2_500), (0,)),
    ((300, 5, 40), (0, 2)),
    ((5, 40, 300), (1, 2)),
    ((5, 40, 300), (0, 1, 2)),
    ((1, 20_000, 1), (0, 2)),
]


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), LONG_SUMS, ids=str)
def test_sum_of_many_is_rounded_once(shape, axes, dtype, keepdims) -> None:
    x = (drawn(*shape) / 100).astype(dtype)
    got = be.sum(x, axes, keepdims)
    exact = np.sum(x, axes, dtype="longdouble", keepdims=keepdims)
    assert got.dtype == dtype
    assert got.base is None
    terms = np.abs(x).sum(axes, dtype="float64", keepdims=keepdims)
    tolerance = np.finfo(dtype).eps * abs(exact) + 1e-14 * terms
    assert (abs(got - exact) <= tolerance).all()
    turned = be.sum(x.T, tuple(x.ndim - 1 - i for i in axes), keepdims)
    np.testing.assert_allclose(turned.T.astype(float), got, rtol=2 * np.finfo(dtype).eps, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["maximum", "minimum", "logaddexp"])
def test_running_results_by_doubling(name, axis) -> None:
    """What backends do whose array module has no such function."""
    x = np.random.default_rng(0).standard_normal((5, 37))
    got = Backend.accumulate(be, name, x, axis)
    np.testing.assert_allclose(got, be.accumulate(name, x, axis), rtol=1e-14)
