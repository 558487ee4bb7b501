"""Builds what a configuration describes: data, task, model, optimizer, schedule.

Checks names and arguments against the classes.
"""

from __future__ import annotations

from gpunet import backend, data, models, nn, optim
from gpunet.autograd import Tensor
from gpunet.data import DataLoader, Dataset
from gpunet.data import transforms as tf
from gpunet.errors import ConfigError
from gpunet.text import PADDING
from gpunet.train.config import AugmentConfig, Component, Config, DataConfig
from gpunet.train.make import kinds_in, make
from gpunet.train.schedule import build_schedule
from gpunet.train.summary import summarize
from gpunet.train.tasks import TASKS, LanguageModel, Task
from gpunet.train.toml import nearest
from gpunet.train.trainer import Trainer

_LAYERS = {
    name: kind
    for name, kind in kinds_in(nn, nn.Module).items()
    if not name.endswith("Loss") and kind is not nn.Sequential
}


def build_task(config: Config) -> Task:
    """The task of a configuration, with its loss and its metrics.

    Raises:
        ConfigError: no such task, or a loss, metric or `stateful` that does not fit it.
    """
    kind = TASKS.get(config.task)
    if kind is None:
        raise ConfigError(
            config.name, f'task "{config.task}" is not known', nearest(config.task, TASKS)
        )
    for name in config.train.metrics:
        if name not in kind.metrics:
            raise ConfigError(
                config.name,
                f'train.metrics: "{name}" is no metric of {config.task}',
                nearest(name, kind.metrics),
            )
    losses, criterion = {loss.__name__: loss for loss in kind.losses}, None
    if config.loss is not None:
        criterion = make(losses, config.loss, f"{config.name}: loss of {config.task}")
    if not config.train.stateful:
        return kind(criterion, config.train.metrics)
    if not issubclass(kind, LanguageModel):
        problem = f"train.stateful is for language models, got {config.task}"
        raise ConfigError(config.name, problem)
    if config.data.validation:
        problem = "train.stateful needs data.validation = 0: windows held out would be missing"
        raise ConfigError(config.name, problem)
    if config.train.auto_accumulate:
        problem = "train.stateful cannot be with train.auto_accumulate: batches stay whole"
        raise ConfigError(config.name, problem)
    return kind(criterion, config.train.metrics, stateful=True)


def build_model(config: Config) -> nn.Module:
    """The model of a configuration, with its weights drawn from the current seed.

    Raises:
        ConfigError: a model, layer or argument that does not exist, or a value that is refused.
    """
    described = config.model
    if described.kind:
        kind = Component(described.kind, described.arguments)
        model = make(kinds_in(models, nn.Module), kind, f"{config.name}: model")
    else:
        layers = [
            make(_LAYERS, layer, f"{config.name}: model.layers.{i}")
            for i, layer in enumerate(described.layers)
        ]
        model = nn.Sequential(*layers)
    if described.init != "default":
        _draw(model, described.init)
    return model


def _draw(model: nn.Module, init: str) -> None:
    """Draws all weights of two axes or more by one rule, and sets biases to 0."""
    draw = getattr(nn.init, init + "_")
    # He's rule is for the ReLU family; Xavier's takes no such argument.
    options = {"nonlinearity": "relu"} if "kaiming" in init else {}
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.ndim >= 2:
            draw(parameter, **options)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def build_optimizer(config: Config, model: nn.Module) -> optim.Optimizer:
    """The optimizer of a configuration over the parameters of `model`.

    Raises:
        ConfigError: an optimizer or argument that does not exist, or a value it refuses.
    """
    kinds = kinds_in(optim, optim.Optimizer)
    return make(kinds, config.optimizer, f"{config.name}: optimizer", list(model.parameters()))


def build_data(config: DataConfig, seed: int) -> tuple[Dataset, str, Dataset]:
    """The training set, and the set to evaluate on with its name.

    The name is "validation" if some is held out, else "test".
    """
    train = load_part(config, "train")
    if config.validation:
        train, held_out = train.split(config.validation, seed)
        return train, "validation", held_out
    return train, "test", load_part(config, "test")


def load_part(config: DataConfig, split: str) -> Dataset:
    """The "train" or the "test" part of the data of a configuration."""
    if config.path:
        return data.own.load(config.path, split, config.length, config.size)
    return data.load(config.set, split, config.length, config.fold)


def describe(config: DataConfig) -> data.Description:
    """What is known of the data of a configuration."""
    if config.path:
        return data.own.describe(config.path, config.size)
    return data.describe(config.set)


def build_example(config: DataConfig) -> tuple[Tensor, ...]:
    """What a model takes, a batch of one as the data set has them, without reading the set.

    Pictures are black; texts have the first token that is not padding everywhere.
    """
    known = describe(config)
    if known.format in ("text", "sentences", "pairs"):
        length = known.shape[0] if config.length is None else config.length
        text = Tensor(backend.cpu.full((1, length), PADDING + 1, "int64"), backend.cpu)
        return (text, text) if known.format == "pairs" else (text,)
    return (Tensor(backend.cpu.full((1, *known.shape), 0.0, "float32"), backend.cpu),)


def step_size(config: Config, model: nn.Module) -> int:
    """Multiply-adds of a training step, forward."""
    lines = summarize(model, *build_example(config.data))
    return config.train.batch_size * sum(line.multiply_adds for line in lines)


def build_loader(config: Config, train: Dataset) -> DataLoader:
    """Batches of the training set, augmented as the configuration says.

    They are shuffled, unless the model goes on from one to the next.
    """
    return DataLoader(
        train,
        config.train.batch_size,
        shuffle=not config.train.stateful,
        seed=config.seed,
        transform=build_transform(config.data.augment, train),
        workers=config.data.workers,
        consecutive=config.train.stateful,
    )


def build_transform(augment: AugmentConfig, train: Dataset) -> tf.Transform | None:
    """The changes of training pictures that a configuration asks for, if any.

    Raises:
        ConfigError: it asks for some, and the inputs are no pictures.
    """
    if augment == AugmentConfig():
        return None
    if train.inputs.ndim != 4:
        problem = f"is for pictures (N, C, H, W), got inputs {train.inputs.shape}"
        raise ConfigError("data.augment", problem, f"data set {train.name!r}")
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
    return tf.Compose(chosen)


def build_trainer(
    config: Config, model: nn.Module, train: Dataset, held_out: tuple[str, Dataset]
) -> Trainer:
    """The trainer of a run that is about to begin.

    Args:
        model: on its device. train: the training set. held_out: see `Trainer`.

    Raises:
        ConfigError: something that does not exist, does not fit, or is out of range.
    """
    task, loader = build_task(config), build_loader(config, train)
    task.check(model, train)
    if config.train.stateful and not hasattr(model, "read"):
        kind = type(model).__name__
        problem = f"train.stateful needs a model with read(tokens, state), got {kind}"
        raise ConfigError(config.name, problem)
    optimizer = build_optimizer(config, model)
    batches, each = len(loader), config.train.accumulate
    if each > batches:
        raise ConfigError(
            config.name,
            f"train.accumulate must be at most the {batches} batches of an epoch, got {each}",
        )
    schedule = build_schedule(config, optimizer, -(-batches // each), task.more_is_better)
    if config.precision.dtype != "float32" and isinstance(optimizer, optim.LBFGS):
        problem = "precision.dtype must be float32 with LBFGS, whose step has several gradients"
        raise ConfigError(config.name, f"{problem}, got {config.precision.dtype}")
    return Trainer(
        task,
        model,
        optimizer,
        loader,
        held_out,
        config.train,
        schedule,
        config.regularization,
        config.average,
        config.precision,
    )
