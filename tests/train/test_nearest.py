"""What is meant by a word that is not known."""

import pytest

from gpunet.train.toml import nearest


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("Liner", ["Linear", "ReLU"], 'did you mean "Linear"?'),
        ("linear", ["Linear", "Bilinear"], 'did you mean "Linear"?'),
        ("RELU", ["ReLU", "GELU", "SELU"], 'did you mean "ReLU"?'),
        ("BatchNorm", ["BatchNorm1d", "BatchNorm2d", "Linear"],
         'did you mean "BatchNorm2d" or "BatchNorm1d"?'),
        ("zzz", ["b", "a"], 'known: "a", "b"'),
        ("zzz", [], "known: none"),
    ],
)  # fmt: skip
def test_nearest(word, known, expected):
    assert nearest(word, known) == expected
