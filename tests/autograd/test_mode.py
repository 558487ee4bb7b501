"""Whether operations are recorded: blocks that nest, and that each thread has for itself."""

import threading

import pytest

import gpunet
from gpunet import enable_grad, is_grad_enabled, no_grad


@pytest.fixture
def x():
    return gpunet.tensor([1.0], requires_grad=True)


def test_blocks_nest(x) -> None:
    seen = [is_grad_enabled()]
    with no_grad():
        seen.append((x * 2).requires_grad)
        with enable_grad():
            seen.append((x * 2).requires_grad)
            with no_grad(), no_grad():
                seen.append((x * 2).requires_grad)
            seen.append((x * 2).requires_grad)
        seen.append((x * 2).requires_grad)
    seen.append((x * 2).requires_grad)
    assert seen == [True, False, True, False, True, False, True]


def test_nothing_is_kept(x) -> None:
    with no_grad():
        y = x.exp() * x
    assert y.is_leaf
    assert not y.requires_grad


def test_one_block_entered_again() -> None:
    block = no_grad()
    with block:
        with block:
            assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_an_error_leaves_the_block_as_it_was() -> None:
    with pytest.raises(ZeroDivisionError), no_grad():
        1 / 0  # noqa: B018
    assert is_grad_enabled()


def test_as_decorator(x) -> None:
    @no_grad()
    def double(x, depth=3):
        return double(x, depth - 1) if depth else x * 2

    assert not double(x).requires_grad
    assert is_grad_enabled()


def test_threads_do_not_see_each_other(x) -> None:
    seen, inside, looked = {}, threading.Event(), threading.Event()

    def other() -> None:
        with no_grad():
            inside.set()
            looked.wait()
            seen["other"] = (x * 2).requires_grad

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    seen["this"] = (x * 2).requires_grad
    looked.set()
    thread.join()
    assert seen == {"this": True, "other": False}


def test_a_new_thread_records(x) -> None:
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]
