"""What a configuration describes is built, and what it cannot describe is said with a hint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gpunet
from gpunet import models, nn, optim
from gpunet.data import Dataset
from gpunet.data import transforms as tf
from gpunet.errors import ConfigError
from gpunet.train.build import (
    build_data,
    build_loader,
    build_model,
    build_optimizer,
    build_task,
    build_transform,
    step_size,
)
from gpunet.train.config import (
    AugmentConfig,
    DataConfig,
    LayerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    load,
)


def layers(*configs: LayerConfig, init: str = "default") -> ModelConfig:
    return ModelConfig(configs, init=init)


def linear(inputs: int, outputs: int) -> LayerConfig:
    return LayerConfig("Linear", {"in_features": inputs, "out_features": outputs})


def test_model(config) -> None:
    model = build_model(config)
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Flatten(start_dim=1, end_dim=-1)\n"
        "  (1): Linear(64, 16, bias=True)\n"
        "  (2): ReLU()\n"
        "  (3): Dropout(p=0.2)\n"
        "  (4): Linear(16, 10, bias=True)\n"
        ")"
    )


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (LayerConfig("Relu"), 'kind "Relu" is not known; did you mean "ReLU"?'),
        (LayerConfig("Linaer"), 'kind "Linaer" is not known; did you mean "Linear"'),
        (LayerConfig("Xyzzy"), 'kind "Xyzzy" is not known; known: "'),
        (LayerConfig("Sequential"), 'kind "Sequential" is not known; '),
        (LayerConfig("MSELoss"), 'kind "MSELoss" is not known; '),
        (LayerConfig("init"), 'kind "init" is not known; '),
        (LayerConfig("Dropout", {"P": 0.5}), 'Dropout has no argument P; did you mean "p"?'),
        (LayerConfig("Sigmoid", {"slope": 1}), "Sigmoid has no argument slope; known: none"),
        (LayerConfig("Linear", {"in_features": 3}), "Linear needs out_features"),
        (LayerConfig("Linear"), "Linear needs in_features, out_features"),
        (LayerConfig("Dropout", {"p": 1.5}), "Dropout: p must be in [0, 1], got 1.5"),
        (linear(0, 3), "Linear: in_features and out_features must be at least 1, got 0 and 3"),
        (linear("64", 3), "Linear refuses {'in_features': '64', 'out_features': 3}: "),
        (
            LayerConfig("Linear", {"in_feature": 64, "out_features": 3}),
            'Linear has no argument in_feature; did you mean "in_features" or ',
        ),
    ],
)
def test_layers_refused(config, layer, problem) -> None:
    """The message names the run and the place in its list of layers."""
    with pytest.raises(ConfigError) as caught:
        build_model(replace(config, model=layers(LayerConfig("Flatten"), layer)))
    assert str(caught.value).startswith(f"small: model.layers.1: {problem}")


@pytest.mark.parametrize(
    ("init", "bound"),
    [("xavier_uniform", (6 / 80) ** 0.5), ("kaiming_uniform", (6 / 64) ** 0.5)],
)
def test_uniform_init(config, init, bound) -> None:
    """Weights fill their range to the last hundredth, biases are zero."""
    gpunet.manual_seed(1)
    model = build_model(replace(config, model=layers(linear(64, 16), init=init)))
    w = model[0].weight.array
    assert 0.99 * bound < np.abs(w).max() <= bound
    assert (model[0].bias.array == 0).all()


def test_normal_init(config) -> None:
    """He: variance 2 / 64; 1024 draws tell it within 5 √(2 / 1024) of it."""
    gpunet.manual_seed(1)
    model = build_model(replace(config, model=layers(linear(64, 16), init="kaiming_normal")))
    variance = (model[0].weight.array ** 2).mean()
    assert abs(variance / (2 / 64) - 1) < 5 * (2 / 1024) ** 0.5
    assert (model[0].bias.array == 0).all()


def test_default_init_is_the_layers_own(config) -> None:
    gpunet.manual_seed(1)
    built = build_model(replace(config, model=layers(linear(64, 16))))
    gpunet.manual_seed(1)
    np.testing.assert_array_equal(built[0].weight.array, nn.Linear(64, 16).weight.array)


def test_optimizer(config) -> None:
    model = build_model(config)
    options = {"lr": 0.1, "betas": [0.8, 0.9], "weight_decay": 0.5}
    optimizer = build_optimizer(replace(config, optimizer=OptimizerConfig("AdamW", options)), model)
    assert type(optimizer) is optim.AdamW
    (group,) = optimizer.param_groups
    assert group["params"] == list(model.parameters())
    assert {k: group[k] for k in options} == {**options, "betas": (0.8, 0.9)}


@pytest.mark.parametrize(
    ("optimizer", "problem"),
    [
        (OptimizerConfig("adam_w"), 'kind "adam_w" is not known; did you mean "AdamW"'),
        (
            OptimizerConfig("Optimizer"),
            'kind "Optimizer" is not known; known: "Adadelta", "Adagrad", ',
        ),
        (
            OptimizerConfig("SGD", {"momentun": 0.9}),
            'SGD has no argument momentun; did you mean "mom',
        ),
        (OptimizerConfig("SGD", {"params": []}), "SGD has no argument params; "),
        (OptimizerConfig("SGD", {"lr": -1}), "SGD: lr must be at least 0, got -1"),
        (OptimizerConfig("Adam", {"betas": 0.9}), "Adam refuses {'betas': 0.9}: "),
        (OptimizerConfig("Adam", {"lr": "fast"}), "Adam refuses {'lr': 'fast'}: "),
    ],
)
def test_optimizers_refused(config, optimizer, problem) -> None:
    with pytest.raises(ConfigError) as caught:
        build_optimizer(replace(config, optimizer=optimizer), build_model(config))
    assert str(caught.value).startswith(f"small: optimizer: {problem}")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"task": "clasification"}, 'task "clasification" is not known; did you mean "class'),
        (
            {"loss": LossConfig("MSELoss")},
            'loss of classification: kind "MSELoss" is not known; known: "CrossEntropyLoss", ',
        ),
        (
            {"loss": LossConfig("CrossEntropyLoss", {"smoothing": 0.1})},
            'loss of classification: CrossEntropyLoss has no argument smoothing; did you mean "lab',
        ),
    ],
)
def test_tasks_refused(config, change, problem) -> None:
    with pytest.raises(ConfigError) as caught:
        build_task(replace(config, **change))
    assert str(caught.value).startswith(f"small: {problem}")


def test_the_loss_is_the_tasks_own_or_that_of_the_configuration(config) -> None:
    assert type(build_task(replace(config, loss=None)).criterion) is nn.CrossEntropyLoss
    smoothed = build_task(config).criterion
    assert (type(smoothed), smoothed.label_smoothing) == (nn.CrossEntropyLoss, 0.05)


def test_a_model_by_name(config, monkeypatch) -> None:
    """A class of gpunet.models with its arguments; biases are cleared, scales are left alone."""

    class Plain(nn.Module):
        def __init__(self, width: int, depth: int = 1):
            self.layers = nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)])
            self.norm = nn.BatchNorm1d(width)

    monkeypatch.setattr(models, "Plain", Plain, raising=False)
    model = build_model(replace(config, model=ModelConfig(kind="Plain", arguments={"width": 3})))
    assert [name for name, _ in model.named_parameters()] == [
        *("layers.0.weight", "layers.0.bias", "norm.weight", "norm.bias")
    ]
    model = build_model(
        replace(
            config,
            model=ModelConfig(kind="Plain", arguments={"width": 3}, init="kaiming_normal"),
        )
    )
    assert (model.norm.weight.array == 1).all()
    assert (model.layers[0].bias.array == 0).all()
    for arguments, problem in (
        ({}, "Plain needs width"),
        ({"width": 3, "deph": 2}, 'Plain has no argument deph; did you mean "depth"?'),
    ):
        with pytest.raises(ConfigError) as caught:
            build_model(replace(config, model=ModelConfig(kind="Plain", arguments=arguments)))
        assert str(caught.value) == f"small: model: {problem}"
    with pytest.raises(ConfigError, match=r'small: model: kind "Plan" is not known; did you mean'):
        build_model(replace(config, model=ModelConfig(kind="Plan")))


def test_data() -> None:
    train, name, test = build_data(DataConfig("digits"), seed=1)
    assert (len(train), name, len(test)) == (3823, "test", 1797)
    rest, name, held_out = build_data(DataConfig("digits", validation=0.2), seed=1)
    assert (len(rest), name, len(held_out)) == (3058, "validation", 765)
    together = np.concatenate([rest.inputs, held_out.inputs]).reshape(3823, -1)
    order = [np.lexsort(x.T) for x in (together, train.inputs.reshape(3823, -1))]
    np.testing.assert_array_equal(together[order[0]], train.inputs.reshape(3823, -1)[order[1]])


def test_loader(config, digits) -> None:
    loader = build_loader(config, digits[0])
    assert (loader.batch_size, loader.shuffle, loader.seed) == (32, True, 5)
    assert loader.transform == tf.Compose([tf.Affine(shift=1.0, rotate=10.0)])
    still = replace(config, data=replace(config.data, augment=AugmentConfig()))
    assert build_loader(still, digits[0]).transform is None


@pytest.mark.parametrize(
    ("augment", "transforms"),
    [
        ({"zoom": 0.1, "shear": 0.2}, [tf.Affine(zoom=0.1, shear=0.2)]),
        ({"pad": 2}, [tf.RandomCrop((8, 8), 2)]),
        ({"crop": 6}, [tf.RandomCrop(6)]),
        ({"flip": True}, [tf.RandomHorizontalFlip()]),
        ({"flip_vertical": True, "cutout": 3}, [tf.RandomVerticalFlip(), tf.Cutout(3)]),
    ],
)
def test_transforms(augment, transforms, digits) -> None:
    assert build_transform(AugmentConfig(**augment), digits[0]) == tf.Compose(transforms)


def test_only_pictures_are_augmented() -> None:
    rows = Dataset("rows", np.ones((3, 5), np.float32), np.zeros(3, np.int64), ("one",))
    assert build_transform(AugmentConfig(), rows) is None
    with pytest.raises(
        ConfigError, match=r"is for pictures .*, got inputs \(3, 5\); data set 'rows'"
    ):
        build_transform(AugmentConfig(pad=2), rows)


def test_mixup_comes_first_and_draws_from_the_training_set(digits) -> None:
    transform = build_transform(AugmentConfig(mixup=0.4, flip=True), digits[0])
    assert transform == tf.Compose([tf.MixUp(digits[0], 0.4), tf.RandomHorizontalFlip()])


def test_step_size() -> None:
    """A dense layer multiplies each weight once an example."""
    config = load(Path(__file__).parents[2] / "configs" / "digits.toml", ["train.batch_size=7"])
    model = build_model(config)
    weights = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    assert step_size(config, model) == 7 * weights
