"""Whether a config fits its data: the kind of task, what an item is, and how many a class has."""

from collections.abc import Sequence
from dataclasses import replace

from metacli.config.compatibility.facts import asked_splits, is_fitted, moves
from metacli.config.compose import options_of, typed
from metacli.config.registry import component, components
from metacli.config.schema import Config
from metacli.config.schema.features import Fitted
from metacli.data.table import Description, check_shape
from metacli.data.tagged import check_entities
from metacli.errors import UserError


def check_kind(config: Config, data: Description) -> None:
    name = config.paradigm.name
    kinds = component("paradigm", name).kinds
    if data.kind not in kinds:
        able = [other for other, entry in components("paradigm").items() if data.kind in entry.kinds]
        raise UserError(
            f"paradigm={name}: does {', '.join(kinds)}, but dataset {config.dataset.name} is to {data.kind}",
            f"paradigms that do: {', '.join(able)}",
        )
    if data.kind == "tag" and hasattr(config.paradigm, "inner") and "head" not in moves(config, "inner"):
        raise UserError(
            f"paradigm.moves.inner=[{','.join(moves(config, 'inner'))}]: types begin alike, and only a head that moves "
            "tells them apart",
            "add head",
        )
    if component("paradigm", name).varies_images and len(data.shape) != 3:
        raise UserError(
            f"paradigm={name}: varies images, and dataset {config.dataset.name} has none", "paradigm=transfer"
        )


def check_features(config: Config, data: Description) -> None:
    """What can be told without building any."""
    name, declared = config.features.name, component("features", config.features.name)
    given = data.form
    if given not in declared.inputs:
        raise UserError(
            f"features={name}: takes no {given}, which is what dataset {config.dataset.name} holds",
            "features=none",
        )
    features = config.features
    if isinstance(features, Fitted) and is_fitted(config):
        there = sum(data.splits["train"].values())
        images = min(features.images, there)
        if images < features.fewest:
            raise UserError(
                f"features={name}: {features.fewest} numbers of an image need so many images; it has {images}",
                f"ask for fewer numbers, or more images (meta-train has {there})",
            )
    try:
        config.features.output(data.shape, component("backbone", config.backbone.name).form)
    except ValueError as error:
        raise UserError(
            f"features={name}: {error}", "see docs/features.md for what backbones are given"
        ) from None


def check_input(config: Config, data: Description, overrides: Sequence[str] = ()) -> None:
    name, declared = (
        typed("backbone", config.backbone.name, overrides),
        component("backbone", config.backbone.name),
    )
    shape = config.features.output(data.shape, declared.form)
    given = replace(data, shape=shape).form
    if given not in declared.inputs:
        able = [other for other, entry in components("backbone").items() if given in entry.inputs]
        raise UserError(
            f"backbone={name}: takes no {given}, which is what dataset {config.dataset.name} holds",
            f"backbones that do: {', '.join(options_of('backbone', able))}",
        )
    for loop in ("inner", "outer"):
        moved = set(moves(config, loop))
        if moved and not declared.weights and moved.isdisjoint({"head", "features"}):
            raise UserError(
                f"backbone={name}: it has no weights, and paradigm.moves.{loop} names nothing else",
                "choose another backbone (metacli list backbone)",
            )
    side = min(shape[1:], default=1)
    if side < config.backbone.smallest:
        what = "an image" if shape == data.shape else f"a map of features={config.features.name}"
        sized = hasattr(config.dataset, "size")
        larger = f"images of at least {config.backbone.smallest} (dataset.size), or " if sized else ""
        raise UserError(
            f"backbone={name}: nothing is left of {what} of {side} pixels after all its pooling",
            f"use {larger}a backbone of fewer blocks",
        )
    if component("paradigm", config.paradigm.name).maps and data.form == "text":
        raise UserError(
            f"paradigm={config.paradigm.name}: compares maps of images, and dataset {config.dataset.name} has texts",
            "paradigm=protonet, or another that compares features (metacli list paradigm)",
        )
    if component("paradigm", config.paradigm.name).maps and not config.backbone.keeps_map:
        raise UserError(
            f"backbone={name}: does not hand out its last map as it is, which {config.paradigm.name} compares",
            "choose backbone=conv4_relation; or of cnn backbone.read=flatten backbone.hidden=0, of conv4 "
            "backbone.downsample=max_pool",
        )


def check_episodes(config: Config, data: Description, training: bool) -> None:
    whole = component("paradigm", config.paradigm.name).whole
    for split in asked_splits(config, training=training, outside=data.outside):
        shape = getattr(config.episode, split)
        if data.kind == "classify" and not whole:
            check_shape(split, shape.ways, shape.shots, shape.queries, data.splits[split])
        if data.kind == "tag" and not whole:
            check_entities(split, shape.ways, shape.shots, shape.queries, data.splits[split])
