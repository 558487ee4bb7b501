"""Builds what a configuration describes: data, model, optimizer.

Checks names and arguments against the classes.
"""

from __future__ import annotations

import inspect
from typing import Any

from gpunet import data, nn, optim
from gpunet.data import DataLoader, Dataset
from gpunet.data import transforms as tf
from gpunet.errors import ConfigError, GpunetError
from gpunet.train.config import AugmentConfig, Component, Config, DataConfig, nearest

_LAYERS: dict[str, type[nn.Module]] = {
    name: value
    for name, value in vars(nn).items()
    if inspect.isclass(value) and issubclass(value, nn.Module) and not name.endswith("Loss")
}
_LAYERS = {name: kind for name, kind in _LAYERS.items() if kind not in (nn.Module, nn.Sequential)}
_OPTIMIZERS: dict[str, type[optim.Optimizer]] = {
    name: value
    for name, value in vars(optim).items()
    if inspect.isclass(value)
    and issubclass(value, optim.Optimizer)
    and value is not optim.Optimizer
}


def build_model(config: Config) -> nn.Sequential:
    """The layers of a configuration, with their weights drawn from the current seed.

    Raises:
        ConfigError: a layer or argument that does not exist, or a value the layer refuses.
    """
    layers = [
        _make(_LAYERS, layer, f"{config.name}: model.layers.{i}")
        for i, layer in enumerate(config.model.layers)
    ]
    model = nn.Sequential(*layers)
    if config.model.init != "default":
        draw = getattr(nn.init, config.model.init + "_")
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and parameter.ndim >= 2:
                # He's rule is for the ReLU family; Xavier's takes no such argument.
                draw(
                    parameter,
                    **({"nonlinearity": "relu"} if "kaiming" in config.model.init else {}),
                )
            else:
                nn.init.zeros_(parameter)
    return model


def build_optimizer(config: Config, model: nn.Module) -> optim.Optimizer:
    """The optimizer of a configuration over the parameters of `model`.

    Raises:
        ConfigError: an optimizer or argument that does not exist, or a value it refuses.
    """
    return _make(
        _OPTIMIZERS, config.optimizer, f"{config.name}: optimizer", list(model.parameters())
    )


def build_data(config: DataConfig, seed: int) -> tuple[Dataset, str, Dataset]:
    """The training set, and the set to evaluate on with its name.

    The name is "validation" if some is held out, else "test".
    """
    train = data.load(config.set, "train")
    if config.validation:
        train, held_out = train.split(config.validation, seed)
        return train, "validation", held_out
    return train, "test", data.load(config.set, "test")


def build_loader(config: Config, train: Dataset) -> DataLoader:
    """Shuffled batches of the training set, augmented as the configuration says."""
    return DataLoader(
        train,
        config.train.batch_size,
        shuffle=True,
        seed=config.seed,
        transform=build_transform(config.data.augment, train),
        workers=config.data.workers,
    )


def build_transform(augment: AugmentConfig, train: Dataset) -> tf.Transform | None:
    """The changes of training pictures that a configuration asks for, if any."""
    affine = tf.Affine(augment.shift, augment.rotate, augment.zoom, augment.shear)
    chosen: list[tf.Transform] = []
    if augment.mixup:
        chosen.append(tf.MixUp(train, augment.mixup))
    if affine != tf.Affine():
        chosen.append(affine)
    if augment.pad or augment.crop:
        chosen.append(tf.RandomCrop(augment.crop or train.inputs.shape[2:4], augment.pad))
    if augment.flip:
        chosen.append(tf.RandomHorizontalFlip())
    if augment.flip_vertical:
        chosen.append(tf.RandomVerticalFlip())
    if augment.cutout:
        chosen.append(tf.Cutout(augment.cutout))
    return tf.Compose(chosen) if chosen else None


def _make(kinds: dict[str, Any], component: Component, where: str, *arguments: Any) -> Any:
    kind = kinds.get(component.kind)
    if kind is None:
        raise ConfigError(
            where, f'kind "{component.kind}" is not known', nearest(component.kind, kinds)
        )
    signature = inspect.signature(kind)
    known = list(signature.parameters)[len(arguments) :]
    for name in component.arguments:
        if name not in known:
            raise ConfigError(
                where, f"{component.kind} has no argument {name}", nearest(name, known)
            )
    missing = [
        name
        for name in known
        if signature.parameters[name].default is inspect.Parameter.empty
        and name not in component.arguments
    ]
    if missing:
        raise ConfigError(where, f"{component.kind} needs {', '.join(missing)}")
    try:
        return kind(*arguments, **component.arguments)
    except GpunetError as error:
        raise ConfigError(where, str(error)) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            where, f"{component.kind} refuses {component.arguments}: {error}"
        ) from error
