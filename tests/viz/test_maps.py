"""Filters and feature maps: the colours are the values."""

import os

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import feature_maps, filters, style
from gpunet.viz.maps import _draw_filters, _draw_maps, _seen


def squares(figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_colours_of_filters_are_their_weights() -> None:
    weight = np.random.default_rng(1).standard_normal((5, 3, 2, 2))
    drawn = squares(_draw_filters(weight, 4))
    for square, values in zip(drawn, weight, strict=True):
        expected = 0.5 + values.transpose(1, 2, 0) / abs(values).max() / 2
        np.testing.assert_allclose(square, expected)


def test_other_filters_go_from_blue_to_vermillion() -> None:
    weight = np.zeros((2, 2, 2, 2))
    weight[1, 0] = [[4, -4], [2, 0]]
    drawn = squares(_draw_filters(weight, 8))
    assert len(drawn) == 4
    for empty in (drawn[0], drawn[1], drawn[3]):
        assert (empty == 1).all()
    (plus, minus), (half, zero) = drawn[2]
    blue, vermillion = (
        np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        for c in (style.BLUE, style.VERMILLION)
    )
    np.testing.assert_allclose(plus, blue)
    np.testing.assert_allclose(minus, vermillion)
    np.testing.assert_allclose(half, (1 + blue) / 2)
    np.testing.assert_allclose(zero, 1)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.BatchNorm2d(12), nn.Conv2d(12, 2, 3, stride=2)
    )


def test_what_is_seen_is_what_convolutions_return() -> None:
    model, image = network(), np.random.default_rng(1).random((1, 9, 9), np.float32)
    seen = _seen(model, image)
    x = gpunet.tensor(image[None])
    with gpunet.no_grad():
        first = F.conv2d(x, model[0].weight, model[0].bias)
        second = model.eval()(x)
    assert list(seen) == ["0", "3"]
    np.testing.assert_array_equal(seen["0"], first.numpy()[0])
    np.testing.assert_array_equal(seen["3"], second.numpy()[0])


def test_the_model_is_left_as_it_was() -> None:
    model = network()
    before = model[2].running_mean.numpy().copy()
    _seen(model, np.ones((1, 9, 9), np.float32))
    assert model.training
    assert not any(layer._forward_hooks for layer in model)
    np.testing.assert_array_equal(model[2].running_mean.numpy(), before)


def test_of_many_layers_some_are_drawn_and_of_many_maps_the_first() -> None:
    model = nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(21)))
    assert list(_seen(model, np.ones((1, 2, 2), np.float32))) == ["0", "4", "8", "12", "16", "20"]
    image = np.ones((1, 9, 9), np.float32)
    figure = _draw_maps(image, _seen(network(), image))
    assert len(figure.axes) == 1 + 10 + 2
    assert squares(figure)[0].max() == 1
    words = [text.get_text() for text in figure.texts]
    assert "layer 0: 12 maps of 7×7, the first 10" in words
    assert "layer 3: 2 maps of 3×3" in words


def test_each_map_has_its_own_full_colour() -> None:
    maps = np.array([[[1.0, -0.5]], [[0.01, 0.0]]])
    _, strong, weak = squares(_draw_maps(np.full((1, 4, 4), 0.2), {"layer": maps}))
    np.testing.assert_array_equal(strong[0, 0], weak[0, 0])
    assert (weak[0, 1] == 1).all()
    assert strong[0, 1, 0] > strong[0, 1, 2]  # rather vermillion than blue


def test_nothing_is_cut_off_or_covered(assert_readable) -> None:
    image = np.ones((1, 9, 9), np.float32)
    assert_readable(_draw_maps(image, _seen(network(), image)))
    assert_readable(_draw_filters(np.ones((3, 1, 3, 3)), 8))
    assert_readable(_draw_filters(np.ones((32, 3, 3, 3)), 8))


def test_the_files(tmp_path) -> None:
    filters(np.ones((2, 1, 3, 3)), tmp_path / "filters.png")
    feature_maps(network(), np.ones((1, 9, 9), np.float32), tmp_path / "maps.png")
    assert sorted(os.listdir(tmp_path)) == ["filters.png", "maps.png"]


def test_what_has_no_filters_is_refused(tmp_path) -> None:
    with pytest.raises(ShapeError, match=r"weight must have shape .*, got \(3, 4\)"):
        filters(np.ones((3, 4)), tmp_path / "a.png")
    with pytest.raises(ArgumentError, match="model must have a Conv2d, got none"):
        feature_maps(nn.Sequential(nn.Linear(2, 2)), np.ones((1, 2, 2)), tmp_path / "a.png")
