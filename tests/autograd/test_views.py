"""Views share memory, and writes meet the graph: beside PyTorch wherever both allow a thing.

Where PyTorch would follow a write through views that were recorded before, gpunet refuses: at once
for a write into a recorded view, in the backward pass for one into what it shows.
"""

import numpy as np
import pytest

import gpunet
from gpunet.errors import ArgumentError, DTypeError, GradError, ShapeError

X = np.random.default_rng(0).standard_normal((4, 6))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


VIEWS = {
    "reshape": lambda x: x.reshape(6, 4),
    "view": lambda x: x.view(2, -1, 6),
    "view_as": lambda x: x.view_as(x.reshape(3, 8)),
    "reshape_as": lambda x: x.reshape_as(x.reshape(3, 8)),
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(1, (2, 3)),
    "squeeze": lambda x: x[:1].squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "transpose": lambda x: x.transpose(0, 1),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "movedim": lambda x: x.movedim(0, 1),
    "t": lambda x: x.t(),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "narrow": lambda x: x.narrow(1, 1, 3),
    "select": lambda x: x.select(1, 2),
    "diagonal": lambda x: x.diagonal(1),
    "unfold": lambda x: x.unfold(1, 2, 2),
    "integer": lambda x: x[1],
    "one element": lambda x: x[1, 2],
    "0-d tensor": lambda x: x[x.argwhere()[0, 0]],
    "slices": lambda x: x[1:, ::2],
    "None": lambda x: x[None, ..., None],
    "split": lambda x: x.split(2)[1],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "tensor_split": lambda x: x.tensor_split(3)[1],
    "unbind": lambda x: x.unbind()[2],
    "detach": lambda x: x.detach(),
}
COPIES = {
    "reshape of a transpose": lambda x: x.T.reshape(-1),
    "array": lambda x: x[[0, 1]],
    "mask": lambda x: x[[True, False, True, False]],
    "flip": lambda x: x.flip(0),
    "fliplr": lambda x: x.fliplr(),
    "roll": lambda x: x.roll(1),
    "rot90": lambda x: x.rot90(),
    "rot90 by 0": lambda x: x.rot90(0),
    "repeat": lambda x: x.repeat(1, 1),
    "tile": lambda x: x.tile(1),
    "diag": lambda x: x.diag(),
    "diag_embed": lambda x: x.diag_embed(),
    "tril": lambda x: x.tril(9),
    "index_select": lambda x: x.index_select(0, x.argwhere()[:1, 0]),
    "take": lambda x: x.take(x.argwhere()[:1, 0]),
}


@pytest.mark.parametrize("name", [*VIEWS, *COPIES])
def test_memory_is_shared_as_in_pytorch(torch, name) -> None:
    view = {**VIEWS, **COPIES}[name]
    results = []
    for make in (gpunet.tensor, torch.tensor):
        x = make(X)
        y = view(x)
        y += 100.0  # a write into the view shows in x
        after = np.array(y.numpy())
        x.zero_()  # and one into x in the view
        results.append((after, np.array(y.numpy())))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert results[0][1].any() == (name in COPIES)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_a_recorded_tensor_is_told_from_a_write_into_it(name) -> None:
    if name == "detach":
        return
    y = gpunet.tensor(X, requires_grad=True) * 1
    v = VIEWS[name](y)
    with gpunet.no_grad():
        y.zero_()
    with pytest.raises(GradError, match="overwritten since"):
        v.sum().backward()


@pytest.mark.parametrize("name", VIEWS)
def test_a_write_into_a_recorded_view_is_refused(name) -> None:
    y = VIEWS[name](gpunet.tensor(X, requires_grad=True) * 1)
    if name == "detach":
        y.zero_()  # it has left the graph
        return
    for write in (lambda: y.mul_(2), lambda: y.zero_(), lambda: y.copy_(y.detach() + 1)):
        with pytest.raises(GradError, match="must not write into a view"):
            write()


# What is done to y = x·1, given a source w, and both are then differentiated.
INDEX, ROWS = [[0, 1, 1], [2, 0, 5]], [3, 0, 3]
WRITES = {
    "one element": lambda y, w, i: y.__setitem__((1, 2), 7.0),
    "row": lambda y, w, i: y.__setitem__(1, w[0]),
    "slices": lambda y, w, i: y.__setitem__((slice(1, 3), slice(None, None, 2)), w[:2, :3]),
    "broadcast": lambda y, w, i: y.__setitem__((slice(None), 0), w[0, 0]),
    "leading ones": lambda y, w, i: y.__setitem__(slice(0, 2), w[None, None, :1]),
    "array": lambda y, w, i: y.__setitem__([0, 2], w[:2]),
    "integer and array": lambda y, w, i: y.__setitem__((0, [1, 4]), w[0, :2]),
    "mask": lambda y, w, i: y.__setitem__([True, False, True, False], w[:2]),
    "everything": lambda y, w, i: y.__setitem__(..., w),
    "twice": lambda y, w, i: (y.__setitem__(0, w[0]), y.__setitem__((0, 1), 2.0)),
    "fill_": lambda y, w, i: y.fill_(3.0),
    "fill_ with a tensor": lambda y, w, i: y.fill_(w[0, 0]),
    "zero_": lambda y, w, i: y.zero_(),
    "copy_": lambda y, w, i: y.copy_(w),
    "copy_ broadcast": lambda y, w, i: y.copy_(w[:1]),
    "index_fill_": lambda y, w, i: y.index_fill_(0, i(ROWS), 1.5),
    "index_copy_": lambda y, w, i: y.index_copy_(0, i(ROWS[:2]), w[:2]),
    "index_add_": lambda y, w, i: y.index_add_(0, i(ROWS), w[:3], alpha=-2),
    "scatter_": lambda y, w, i: y.scatter_(1, i([[0, 1, 2], [2, 0, 5]]), w[:2, :3]),
    "scatter_ a number": lambda y, w, i: y.scatter_(1, i(INDEX), 0.5),
    "scatter_add_": lambda y, w, i: y.scatter_add_(1, i(INDEX), w[:2, :3]),
    "masked_fill_": lambda y, w, i: y.masked_fill_(i([[1], [0], [1], [0]]).bool(), -1.0),
    "masked_scatter_": lambda y, w, i: y.masked_scatter_(i([[1], [0], [1], [0]]).bool(), w),
    "tril_": lambda y, w, i: y.tril_(1),
    "triu_": lambda y, w, i: y.triu_(),
    "addmm_": lambda y, w, i: y.addmm_(w, w.T @ w, beta=0.5),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_recorded_as_in_pytorch(torch, name) -> None:
    weights = np.random.default_rng(2).standard_normal(X.shape)
    results = []
    for make in (gpunet.tensor, torch.tensor):
        x, w = make(X), make(X[::-1].copy())
        x.requires_grad_()
        w.requires_grad_()
        y = same = x * 1
        WRITES[name](y, w, make)
        assert y is same
        (y * make(weights)).sum().backward()
        gw = np.zeros(X.shape) if w.grad is None else w.grad.numpy()
        results.append((y.detach().numpy(), x.grad.numpy(), gw))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_into_a_leaf_is_refused_but_without_recording(name) -> None:
    w = gpunet.tensor(X)
    x = gpunet.tensor(X, requires_grad=True)
    with pytest.raises(GradError, match="must not write into a leaf that requires a gradient"):
        WRITES[name](x, w, gpunet.tensor)
    np.testing.assert_array_equal(x.detach().numpy(), X)
    with gpunet.no_grad():
        WRITES[name](x, w, gpunet.tensor)
    plain = gpunet.tensor(X)
    WRITES[name](plain, w, gpunet.tensor)
    np.testing.assert_array_equal(x.detach().numpy(), plain.numpy())
    assert x.requires_grad


@pytest.mark.parametrize("name", WRITES)
def test_values_that_a_gradient_needs_are_watched(torch, name) -> None:
    """Both refuse the backward pass where the values it would need are gone."""
    for make, error in ((gpunet.tensor, GradError), (torch.tensor, RuntimeError)):
        x = make(X)
        y = x.requires_grad_() * 1
        z = y * y
        WRITES[name](y, make(X), make)
        with pytest.raises(error):
            z.sum().backward()


def test_an_index_that_changed_since_is_watched() -> None:
    x, index = gpunet.tensor(X, requires_grad=True), gpunet.tensor([0, 2])
    for pick in (lambda: x[index], lambda: x.index_select(0, index), lambda: x.take(index)):
        y = pick()
        index.fill_(1)
        with pytest.raises(GradError, match="overwritten since"):
            y.sum().backward()


def test_elements_that_share_memory_are_not_written() -> None:
    wide = gpunet.tensor([[1.0], [2.0]]).expand(2, 3)
    for write in (
        lambda: wide.fill_(1.0),
        lambda: wide.add_(1.0),
        lambda: wide.__setitem__((0, 0), 1.0),
        lambda: gpunet.meshgrid(wide[0], wide[1])[0].zero_(),
    ):
        with pytest.raises(ArgumentError, match=r"elements share memory.*write into x.clone\(\)"):
            write()
    assert gpunet.tensor([1.0]).expand(1, 1).fill_(2.0).tolist() == [[2.0]]


def test_overlapping_windows_add_their_gradients() -> None:
    x = gpunet.tensor(np.arange(5.0), requires_grad=True)
    x.unfold(0, 3, 1).sum().backward()
    assert x.grad.tolist() == [1, 2, 3, 2, 1]


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda x: x.fill_(gpunet.zeros(1)), ShapeError, r"fill_: value must be one number"),
        (lambda x: x.copy_(gpunet.zeros(5)), ShapeError, r"copy_: key and value must fit"),
        (lambda x: x.copy_(1.0), DTypeError, "copy_: src must be a gpunet.Tensor, got float"),
        (lambda x: x.__setitem__(9, 1.0), ShapeError, "setitem: key and value must fit: index 9"),
        (lambda x: x.__setitem__("a", 1.0), ShapeError, "setitem: key must fit the shape"),
        (lambda x: x.__setitem__((0, 0, 0), 1.0), ShapeError, "setitem: .*too many indices"),
        (lambda x: x.masked_fill_(gpunet.zeros(1, 4, 6).bool(), 1.0), ShapeError, "masked_fill_"),
        (lambda x: x.long().fill_(2**70), ShapeError, "fill_: key and value must fit"),
    ],
)
def test_refused(write, error, message) -> None:
    with pytest.raises(error, match=f"^{message}"):
        write(gpunet.tensor(X))
