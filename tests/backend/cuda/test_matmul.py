"""Matrix products: every layout becomes a call of cuBLAS that is right, with no needless copy."""

from __future__ import annotations

import numpy as np
import pytest

from gpunet.backend.cuda.matmul import _layout

# Shapes of a and b; each is also tried transposed in memory, and as every second row or column.
SHAPES = (
    ((3, 4), (4, 5)),
    ((1, 4), (4, 1)),
    ((1, 1), (1, 1)),
    ((3, 0), (0, 5)),
    ((0, 4), (4, 5)),
    ((7, 3, 4), (7, 4, 5)),
    ((7, 3, 4), (4, 5)),
    ((3, 4), (7, 4, 5)),
    ((1, 3, 4), (7, 4, 5)),
    ((2, 7, 3, 4), (7, 4, 5)),
    ((2, 7, 3, 4), (2, 7, 4, 5)),
    ((2, 1, 3, 4), (1, 7, 4, 5)),
    ((0, 3, 4), (0, 4, 5)),
)
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.swapaxes(-1, -2).copy(order="C").swapaxes(-1, -2),
    "rows of a wider array": lambda x: _padded(x, -1),
    "columns of a wider array": lambda x: _padded(x.swapaxes(-1, -2), -1).swapaxes(-1, -2),
    "every second column": lambda x: x.repeat(2, -1)[..., ::2],
    "backwards": lambda x: x[..., ::-1, :].copy(order="C")[..., ::-1, :],
    "batch last": lambda x: (
        x.transpose(*range(1, x.ndim), 0).copy().transpose(-1, *range(x.ndim - 1))
    ),
}


def _padded(x, axis):
    width = x.shape[axis]
    both = np.concatenate([x, x], axis)
    return both[..., :width]


def on(be, values, layout):
    """`values` on the device in a layout."""
    x = LAYOUTS[layout](values)
    if values.size == 0 or x.strides == np.ascontiguousarray(x).strides:
        return be.asarray(np.ascontiguousarray(values))
    found = be.asarray(values)
    if layout in ("rows of a wider array", "columns of a wider array"):
        rows = layout.startswith("rows")
        y = found if rows else found.swapaxes(-1, -2)
        wide = be.xp.concatenate([y, y], -1)[..., : y.shape[-1]]
        return wide if rows else wide.swapaxes(-1, -2)
    return LAYOUTS[layout](found)


@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_is_numpys(be, a, b, first, second) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-9, 9, a).astype("float64"), rng.integers(-9, 9, b).astype("float64")
    result = be.matmul(on(be, x, first), on(be, y, second))
    assert type(result) is be.gpu.array
    assert be.gpu.contiguous(result)
    np.testing.assert_array_equal(be.to_host(result), np.matmul(x, y))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_cublas_can_read_is_not_copied(be, monkeypatch, layout) -> None:
    x = on(be, np.ones((7, 3, 4)), layout)
    readable = _layout(x, False) is not None
    assert readable == (layout not in ("every second column", "backwards", "batch last"))
    copies = []
    monkeypatch.setattr(be.gpu.array, "copy", lambda x, order: copies.append(x), raising=True)
    if readable:
        be.matmul(x, be.asarray(np.ones((7, 4, 5))))
        assert not copies


def test_sums_of_half_types_are_kept_in_float32(be) -> None:
    # In half precision a sum of ones stops at 2048.
    ones = be.full((1, 4096), 1, "float16")
    assert be.to_host(be.matmul(ones, ones.T)) == 4096


def test_tf32_is_a_switch_and_off_at_first(be) -> None:
    x = be.full((1, 1), 1 + 2.0**-20, "float32")
    assert not be.allow_tf32
    assert be.to_host(be.matmul(x, be.full((1, 1), 1, "float32"))) == 1 + np.float32(2.0**-20)
    be.allow_tf32 = True
    assert be.to_host(be.matmul(x, be.full((1, 1), 1, "float32"))) == 1
    wide = be.full((1, 1), 1 + 2.0**-20, "float64")
    assert be.to_host(be.matmul(wide, wide)) > 1
