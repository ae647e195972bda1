"""Whether the chosen components fit each other and the data: declarations in, one error or some notes out."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from metacli.config.registry import SEVERAL, component
from metacli.config.schema import Config
from metacli.data.table import SPLITS, Description, check_shape
from metacli.errors import UserError

TASK_KIND = "classify"  # of every data set so far


def check(
    config: Config, data: Description, overrides: Sequence[str] = (), *, training: bool = True
) -> list[str]:
    """Raises UserError where the experiment cannot run; returns what to say of settings without effect.

    training: False where trained weights are only evaluated.
    """
    paradigm = component("paradigm", config.paradigm.name)
    trains = training and paradigm.trains
    _check_kind(config)
    for split in SPLITS if trains else (config.report.split,):
        shape = getattr(config.episode, split)
        check_shape(split, shape.ways, shape.shots, shape.queries, data.splits[split])
    _check_size(config, min(data.shape[1:]))
    if trains and not _has_weights(config):
        raise UserError(
            f"backbone={config.backbone.name}: it has no weights, nor has {config.paradigm.name}: nothing to train",
            "choose another backbone (metacli list backbone), or paradigm=nearest_centroid",
        )
    if trains and paradigm.fixed_ways:
        check_fixed_ways(config, config.episode.train.ways)
    second = getattr(config.paradigm, "order", "none") == "second"
    if second and not component("backbone", config.backbone.name).second_order:
        raise UserError(
            f"paradigm.order=second: backbone {config.backbone.name} cannot be differentiated twice",
            "use paradigm.order=first, or another backbone",
        )
    if training:
        _check_installed(config)
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    return list(_without_effect(config, keys, training))


def check_fixed_ways(config: Config, ways: int, splits: Sequence[str] = ("val", "test")) -> None:
    """`ways`: what the head was built for."""
    for split in splits:
        asked = getattr(config.episode, split).ways
        if asked != ways:
            raise UserError(
                f"episode.{split}.ways={asked}: the head of {config.paradigm.name} is built for {ways} ways",
                f"use {ways} ways everywhere, or a paradigm without a fixed head (metacli list paradigm)",
            )


def batch_norm_mode(config: Config) -> str:
    """What the report says: bn_mode where it matters."""
    return config.paradigm.bn_mode if getattr(config.backbone, "norm", "none") == "batch" else "none"


def _check_kind(config: Config) -> None:
    for group in ("paradigm", "backbone", "dataset"):
        name = getattr(config, group).name
        kinds = component(group, name).kinds
        if TASK_KIND not in kinds:
            raise UserError(
                f"{group}={name}: does {', '.join(kinds)}, not {TASK_KIND}", f"see: metacli list {group}"
            )


def _check_size(config: Config, side: int) -> None:
    if side < config.backbone.smallest:
        raise UserError(
            f"backbone={config.backbone.name}: nothing is left of an image of {side} pixels after all its pooling",
            f"use images of at least {config.backbone.smallest} (dataset.size), or a backbone of fewer blocks",
        )


def _check_installed(config: Config) -> None:
    """What is optional to install; the rest comes with metacli."""
    for group in SEVERAL:
        for name in getattr(config, group):
            extra = component(group, name).extra
            if extra and find_spec(extra) is None:
                raise UserError(
                    f"{group}={name}: the package {extra} is not installed", f'pip install "metacli[{extra}]"'
                )


def _has_weights(config: Config) -> bool:
    return any(component(group, getattr(config, group).name).weights for group in ("paradigm", "backbone"))


def _without_effect(config: Config, keys: Sequence[str], training: bool) -> Iterable[str]:
    """Settings that the user made and that nothing reads."""
    others = [f"episode.{split}" for split in SPLITS if split != config.report.split]
    if not training:
        unread = [
            "optimizer",
            "trainer",
            *others,
            "seed",
            "run",
            "device.workers",
            "dataset.augment",
            "tracker",
        ]
        yield from _unread(keys, unread, "nothing is trained here")
    elif not component("paradigm", config.paradigm.name).trains:
        unread = ["optimizer", "trainer", *others, "dataset.augment"]
        yield from _unread(keys, unread, f"{config.paradigm.name} does not train")
        if not _has_weights(config):
            nobody = f"neither {config.paradigm.name} nor {config.backbone.name} draws anything"
            yield from _unread(keys, ["seed"], nobody)
    if batch_norm_mode(config) == "none":
        yield from _unread(keys, ["paradigm.bn_mode"], f"backbone {config.backbone.name} has no batch norm")


def _unread(keys: Sequence[str], nodes: Sequence[str], why: str) -> Iterable[str]:
    for key in keys:
        below = any(f"{key}.".startswith(f"{node}.") for node in nodes)
        if below and key != "trainer.chunk":  # evaluation is done in chunks, too
            yield f"{key} has no effect: {why}"
