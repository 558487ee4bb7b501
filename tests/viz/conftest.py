"""Whether a figure can be read is a question of every picture's tests."""

import pytest

from tests import readable


@pytest.fixture
def assert_readable():
    return readable.assert_readable
