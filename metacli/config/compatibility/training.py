"""Whether the chosen components can be trained together."""

from collections.abc import Sequence

from metacli.config.compatibility.facts import derivative_order, has_weights
from metacli.config.compose import options_of
from metacli.config.registry import component, components
from metacli.config.schema import Config
from metacli.data.table import Description
from metacli.errors import UserError


def check_paradigm(config: Config, data: Description, *, training: bool) -> None:
    paradigm = component("paradigm", config.paradigm.name)
    trains = training and paradigm.trains
    if paradigm.takes_head and config.head.name == "none":
        raise UserError(
            f"head=none: {config.paradigm.name} classifies by a head",
            "choose one: metacli list head",
        )
    if trains and not has_weights(config):
        raise UserError(
            f"backbone={config.backbone.name}: it has no weights, nor has {config.paradigm.name}: nothing to train",
            "choose another backbone (metacli list backbone), or paradigm=nearest_centroid",
        )
    chunk = config.trainer.chunk
    if trains and paradigm.whole_step and chunk != "auto" and chunk < config.trainer.meta_batch:
        raise UserError(
            f"trainer.chunk={chunk}: {config.paradigm.name} takes batch norm's statistics over all "
            f"{config.trainer.meta_batch} tasks of a step (trainer.meta_batch), which have to be computed together",
            f"use trainer.chunk={config.trainer.meta_batch}, or auto",
        )
    if training and paradigm.whole and config.pretrain.name == "none":
        raise UserError(
            f"pretrain=none: {config.paradigm.name} is what pretraining makes of it",
            f"pretrain={'tagger' if data.kind == 'tag' else 'supervised'}",
        )
    if trains and paradigm.fixed_ways and data.kind == "classify":
        check_fixed_ways(config, config.episode.train.ways)
    if trains and paradigm.queries and not config.episode.train.queries:
        raise UserError(
            f"episode.train.queries=0: {config.paradigm.name} is trained on its answers to queries",
            "ask for some: episode.train.queries=5",
        )


def check_fixed_ways(config: Config, ways: int, splits: Sequence[str] = ("val", "test")) -> None:
    """`ways`: what the head was built for."""
    for split in splits:
        asked = getattr(config.episode, split).ways
        if asked != ways:
            raise UserError(
                f"episode.{split}.ways={asked}: the head of {config.paradigm.name} is built for {ways} ways",
                f"use {ways} ways everywhere, or a paradigm without a fixed head (metacli list paradigm)",
            )


def check_order(config: Config) -> None:
    order = getattr(config.paradigm, "order", "none")
    if order in ("second", "implicit"):
        for group in ("features", "backbone"):
            name = getattr(config, group).name
            if not component(group, name).second_order:
                raise UserError(
                    f"paradigm.order={order}: {group} {name} cannot be differentiated twice",
                    f"use {'paradigm.order=first, or ' if order == 'second' else ''}another {group}",
                )


def check_precision(config: Config) -> None:
    if config.device.precision == "fp32":
        return
    name = config.backbone.name
    if not component("backbone", name).plain:
        able = [other for other, entry in components("backbone").items() if entry.plain]
        raise UserError(
            f"device.precision=bf16: backbone {name} is computed in float32, whatever this says",
            f"device.precision=fp32, or a backbone that has it: {', '.join(options_of('backbone', able))}",
        )
    if (order := derivative_order(config)) in ("second", "implicit"):
        ways_out = "device.precision=fp32" + (", or paradigm.order=first" if order == "second" else "")
        raise UserError(
            f"device.precision=bf16: with paradigm.order={order} gradients are differentiated again, and rounded so "
            "they are 14 to 26 % off",
            ways_out,
        )


def check_pretraining(config: Config, data: Description) -> None:
    name = config.pretrain.name
    if not component("pretrain", name).trains:
        return
    if data.kind not in component("pretrain", name).kinds:
        able = [
            other
            for other, entry in components("pretrain").items()
            if entry.trains and data.kind in entry.kinds
        ]
        raise UserError(
            f"pretrain={name}: it learns to {' and '.join(component('pretrain', name).kinds)}, and dataset "
            f"{config.dataset.name} is to {data.kind}",
            " or ".join(f"pretrain={other}" for other in (*able, "none")),
        )
    if not component("backbone", config.backbone.name).weights:
        raise UserError(
            f"pretrain={name}: backbone {config.backbone.name} has no weights", "choose another backbone"
        )


def check_attack(config: Config, data: Description, training: bool) -> None:
    name, paradigm = config.attack.name, component("paradigm", config.paradigm.name)
    if name == "none":
        if training and paradigm.trains and paradigm.attacks_itself:
            raise UserError(f"attack=none: {config.paradigm.name} trains on attacked examples", "attack=fgsm")
        return
    if data.kind != "classify" or data.form not in ("image", "text"):
        raise UserError(
            f"attack={name}: it perturbs images or texts that are to be classified, and dataset {config.dataset.name} "
            "has none",
            "attack=none",
        )
    if data.form == "text" and not component("backbone", config.backbone.name).embeds:
        raise UserError(
            f"attack={name}: of texts it perturbs the embeddings, which backbone {config.backbone.name} does not take",
            "attack=none, or backbone=minilm, bert or hf_text",
        )
    train_on = getattr(config.attack, "train_on", "none")
    if not training or train_on == "none":
        return
    if not paradigm.trains:
        raise UserError(
            f"attack.train_on={train_on}: {config.paradigm.name} is not trained on episodes, and pretraining is not "
            "attacked",
            "attack.train_on=none measures robust accuracy in the report; or another paradigm",
        )
    if paradigm.attacks_itself:
        raise UserError(
            f"attack.train_on={train_on}: {config.paradigm.name} says itself what is attacked in training",
            "attack.train_on=none",
        )
    if not paradigm.query_loss:
        raise UserError(
            f"attack.train_on={train_on}: {config.paradigm.name} is not trained on the loss of its queries",
            "attack.train_on=none measures robust accuracy in the report; or another paradigm",
        )
