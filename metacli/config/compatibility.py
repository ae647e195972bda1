"""Whether the chosen components fit each other and the data: declarations in, one error or some notes out."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from metacli.config.registry import SEVERAL, component, components, groups
from metacli.config.schema import Config
from metacli.config.schema.features import Fitted
from metacli.data.table import SPLITS, Description, check_shape
from metacli.data.tagged import check_entities
from metacli.errors import UserError
from metacli.launched import company, launched


def check(
    config: Config, data: Description, overrides: Sequence[str] = (), *, training: bool = True
) -> list[str]:
    """Raises UserError where the experiment cannot run; returns what to say of settings without effect.

    training: False where trained weights are only evaluated.
    """
    paradigm = component("paradigm", config.paradigm.name)
    trains = training and paradigm.trains
    _check_kind(config, data)
    _check_features(config, data)
    _check_input(config, data)
    _check_memory(config, data)
    for split in asked_splits(config, training=training, outside=data.outside):
        shape = getattr(config.episode, split)
        if data.kind == "classify" and not paradigm.whole:
            check_shape(split, shape.ways, shape.shots, shape.queries, data.splits[split])
        if data.kind == "tag" and not paradigm.whole:
            check_entities(split, shape.ways, shape.shots, shape.queries, data.splits[split])
    _check_pretraining(config, data)
    if paradigm.takes_head and config.head.name == "none":
        raise UserError(
            f"head=none: {config.paradigm.name} classifies by a head",
            "choose one: metacli list head",
        )
    if trains and not _has_weights(config):
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
    order = getattr(config.paradigm, "order", "none")
    if order in ("second", "implicit"):
        for group in ("features", "backbone"):
            name = getattr(config, group).name
            if not component(group, name).second_order:
                raise UserError(
                    f"paradigm.order={order}: {group} {name} cannot be differentiated twice",
                    f"use {'paradigm.order=first, or ' if order == 'second' else ''}another {group}",
                )
    _check_precision(config)
    _check_attack(config, data, trains)
    _check_processes(config, trains)
    if training:
        _check_installed(config)
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    return [*_high_rate(config, trains), *_without_effect(config, keys, data, training)]


_HIGH = 0.0005  # as a rate for weights that others have trained


def _high_rate(config: Config, trains: bool) -> Iterable[str]:
    """What to say where an outer loop would soon undo what others have trained."""
    rate, moved = getattr(config.optimizer, "lr", 0.0), moves(config, "outer")
    given = getattr(config.backbone, "weights", "none") != "none"
    if trains and given and (not moved or "backbone" in moved) and rate > _HIGH:
        yield f"optimizer.lr={rate:g} is high for weights that others have trained; 0.00002 to 0.0001 is usual"


def asked_splits(config: Config, *, training: bool, outside: bool) -> list[str]:
    """Those that episodes are drawn from. outside: whether the data have items of no class."""
    trains = training and component("paradigm", config.paradigm.name).trains
    validates = outside or (training and component("pretrain", config.pretrain.name).trains)
    return [s for s in SPLITS if trains or (validates and s == "val") or s == config.report.split]


def is_fitted(config: Config) -> bool:
    """Whether the run fits its features itself."""
    return isinstance(config.features, Fitted) and config.features.fit and not config.run.init_from


# Settings of features that nothing but their fitting reads.
_OF_FITTING = ("images", "whiten", "loss", "noise", "epochs", "batch", "held_out", "lr")


def check_fixed_ways(config: Config, ways: int, splits: Sequence[str] = ("val", "test")) -> None:
    """`ways`: what the head was built for."""
    for split in splits:
        asked = getattr(config.episode, split).ways
        if asked != ways:
            raise UserError(
                f"episode.{split}.ways={asked}: the head of {config.paradigm.name} is built for {ways} ways",
                f"use {ways} ways everywhere, or a paradigm without a fixed head (metacli list paradigm)",
            )


def moves(config: Config, loop: str) -> Sequence[str]:
    """What of the network a loop moves, where the paradigm leaves the choice."""
    return getattr(getattr(config.paradigm, "moves", None), loop, ())


def stays_still(config: Config) -> bool:
    """Whether adapting to a task leaves the backbone as it is."""
    steps = getattr(getattr(config.paradigm, "finetune", None), "steps", 1)
    only_head = hasattr(config.paradigm, "moves") and set(moves(config, "inner")) <= {"head"}
    return component("paradigm", config.paradigm.name).still or only_head or not steps


def computes_once(config: Config) -> bool:
    """Whether evaluation can do with the features of each item, which are the same in all episodes."""
    plain = component("backbone", config.backbone.name).plain and config.features.name == "none"
    return plain and config.attack.name == "none" and stays_still(config)


def features_kept(config: Config) -> dict[str, Any] | None:
    """What the report says: which features, whether they were fitted, and the loops that move them; None without."""
    name = config.features.name
    if not component("features", name).weights:
        return None
    loops = [loop for loop in ("outer", "inner") if "features" in moves(config, loop)]
    return {"name": name, "fitted": getattr(config.features, "fit", False), "moved_by": loops}


def batch_norm_mode(config: Config) -> str:
    """What the report says: bn_mode where it matters."""
    own = component("paradigm", config.paradigm.name).batch_norm
    normalised = own or getattr(config.backbone, "norm", "none") == "batch"
    return config.paradigm.bn_mode if normalised else "none"


def transductive_method(config: Config) -> bool:
    """What the report says: whether the queries of an episode are answered together, whatever bn_mode."""
    paradigm = component("paradigm", config.paradigm.name)
    return paradigm.transductive or (paradigm.takes_head and component("head", config.head.name).transductive)


def batch_norm_statistics(config: Config) -> str:
    """What the report says: whose items share statistics in training, those of a task or of a whole step."""
    return "step" if component("paradigm", config.paradigm.name).whole_step else "task"


def derivative_order(config: Config) -> str:
    """What the report says: order where something is differentiated through."""
    return getattr(config.paradigm, "order", "none") if _adapts(config) else "none"


def inner_steps(config: Config) -> dict[str, int] | None:
    """What the report says: steps of adaptation, in training and to each test episode; None without an inner loop."""
    inner = getattr(config.paradigm, "inner", None)
    return None if inner is None else {"train": inner.steps, "test": inner.eval_steps}


def inner_loss(config: Config, kind: str) -> str | None:
    """What the report says: how an inner step's loss is made of its items; None without an inner loop."""
    inner = getattr(config.paradigm, "inner", None)
    if inner is None:
        return None
    return inner.loss_reduction if kind == "classify" else "mean"


def _adapts(config: Config) -> bool:
    inner = getattr(config.paradigm, "inner", None)
    return inner is not None and inner.steps > 0


def _check_kind(config: Config, data: Description) -> None:
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


def _check_features(config: Config, data: Description) -> None:
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


def _check_input(config: Config, data: Description) -> None:
    name, declared = config.backbone.name, component("backbone", config.backbone.name)
    shape = config.features.output(data.shape, declared.form)
    given = replace(data, shape=shape).form
    if given not in declared.inputs:
        able = [other for other, entry in components("backbone").items() if given in entry.inputs]
        raise UserError(
            f"backbone={name}: takes no {given}, which is what dataset {config.dataset.name} holds",
            f"backbones that do: {', '.join(able)}",
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
    if component("paradigm", config.paradigm.name).maps and not config.backbone.keeps_map:
        raise UserError(
            f"backbone={name}: does not hand out its last map as it is, which {config.paradigm.name} compares",
            "choose backbone=conv4_relation; or of cnn backbone.read=flatten backbone.hidden=0, of conv4 "
            "backbone.downsample=max_pool",
        )


def _check_pretraining(config: Config, data: Description) -> None:
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


def _check_precision(config: Config) -> None:
    if config.device.precision == "fp32":
        return
    name = config.backbone.name
    if not component("backbone", name).plain:
        able = [other for other, entry in components("backbone").items() if entry.plain]
        raise UserError(
            f"device.precision=bf16: backbone {name} is computed in float32, whatever this says",
            f"device.precision=fp32, or a backbone that has it: {', '.join(able)}",
        )
    if (order := derivative_order(config)) in ("second", "implicit"):
        ways_out = "device.precision=fp32" + (", or paradigm.order=first" if order == "second" else "")
        raise UserError(
            f"device.precision=bf16: with paradigm.order={order} gradients are differentiated again, and rounded so "
            "they are 14 to 26 % off",
            ways_out,
        )


def _check_processes(config: Config, trains: bool) -> None:
    launch = company(config.device.processes)
    said = f"torchrun's {launch.world} processes" if launched() else f"device.processes={launch.world}"
    name = config.device.name
    if launch.beside > 1 and (name == "mps" or ":" in name):
        raise UserError(
            f"{said}: device.name={name} is a single device",
            "device.name=cuda takes one GPU for each process, device.name=cpu shares the cores",
        )
    tasks = config.trainer.meta_batch
    together = component("paradigm", config.paradigm.name).whole_step
    chunk = config.trainer.chunk if config.trainer.chunk != "auto" else tasks if together else 1
    chunks = math.ceil(tasks / chunk)
    if trains and launch.world > chunks:
        lower = f"lower trainer.chunk to {tasks // launch.world}" if tasks >= launch.world else ""
        if together:
            lower = f"{config.paradigm.name} computes them together, in one process"
        raise UserError(
            f"{said}: a meta-batch of {tasks} tasks has {chunks} chunk{'s' * (chunks > 1)} of {chunk} to share",
            lower or f"no more processes than trainer.meta_batch={tasks} can have any use",
        )


def _check_attack(config: Config, data: Description, trains: bool) -> None:
    name, paradigm = config.attack.name, component("paradigm", config.paradigm.name)
    if name == "none":
        if trains and paradigm.attacks_itself:
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
    if not trains or train_on == "none":
        return
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


def _check_installed(config: Config) -> None:
    """What is optional to install; the rest comes with metacli."""
    chosen = [(group, name) for group in SEVERAL for name in getattr(config, group)]
    chosen += [(group, getattr(config, group).name) for group in groups()]
    for group, name in chosen:
        extra = component(group, name).extra
        if extra and find_spec(extra) is None:
            raise UserError(
                f"{group}={name}: the package {extra} is not installed", f'pip install "metacli[{extra}]"'
            )


def _check_memory(config: Config, data: Description) -> None:
    """One byte a number is the least that a built data set takes."""
    needed = math.prod(data.shape) * sum(sum(sizes.values()) for sizes in data.splits.values())
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(
            f"dataset={config.dataset.name}: takes {needed / 1e9:.0f} GB, and this machine has {there / 1e9:.0f} GB",
            "choose smaller images (dataset.size) or fewer of them",
        )


def _has_weights(config: Config) -> bool:
    groups = ["paradigm", "backbone", *(["features"] if "features" in moves(config, "outer") else [])]
    return any(component(group, getattr(config, group).name).weights for group in groups)


def _without_effect(config: Config, keys: Sequence[str], data: Description, training: bool) -> Iterable[str]:
    """Settings that the user made and that nothing reads."""
    asked = asked_splits(config, training=training, outside=data.outside)
    others = [f"episode.{split}" for split in SPLITS if split not in asked]
    if not training:
        unread = [
            "optimizer",
            "trainer",
            "pretrain",
            *others,
            "seed",
            "run",
            "device.workers",
            "dataset.augment",
            "tracker",
        ]
        yield from _unread(keys, unread, "nothing is trained here")
    elif not component("paradigm", config.paradigm.name).trains:
        pretrains = component("pretrain", config.pretrain.name).trains
        unread = ["optimizer", "trainer", *others, *([] if pretrains else ["dataset.augment"])]
        yield from _unread(keys, unread, f"{config.paradigm.name} does not train")
        if not (_has_weights(config) or component("features", config.features.name).weights):
            nobody = f"neither {config.paradigm.name} nor {config.backbone.name} draws anything"
            yield from _unread(keys, ["seed"], nobody)
    if component("paradigm", config.paradigm.name).whole:
        every = [f"episode.{split}" for split in SPLITS]
        yield from _unread(keys, every, f"{config.paradigm.name} is asked all of a split")
    if launched():
        yield from _unread(keys, ["device.processes"], "torchrun says how many there are")
    if not (training and is_fitted(config)):
        why = "run.init_from brings them fitted" if config.run.init_from else "they are not fitted"
        code = component("backbone", config.backbone.name).form == "vector"  # else the decoder alone has it
        unread = [f"features.{key}" for key in (*_OF_FITTING, *([] if code else ["dim"]))]
        yield from _unread(keys, unread, why if training else "nothing is trained here")
    if data.kind == "regress":
        ways = [f"episode.{split}.ways" for split in SPLITS]
        reduction = "paradigm.inner.loss_reduction"
        yield from _unread(keys, [*ways, reduction], f"dataset {config.dataset.name} has no classes")
    if data.kind == "tag":
        yield from _unread(
            keys, ["paradigm.inner.loss_reduction"], "the loss of a sentence's words is their mean"
        )
    if hasattr(config.paradigm, "inner") and not (_adapts(config) or config.paradigm.inner.eval_steps):
        yield from _unread(keys, ["paradigm.inner.lr", "paradigm.moves.inner"], "there are no inner steps")
    for place, node in (
        ("optimizer", config.optimizer),
        ("head.optimizer", getattr(config.head, "optimizer", None)),
    ):
        variant = getattr(node, "variant", "sketched")
        if variant != "sketched":
            yield from _unread(keys, [f"{place}.sketch"], f"there is none with {place}.variant={variant}")
    if not component("paradigm", config.paradigm.name).takes_head:
        yield from _unread(keys, ["head"], f"{config.paradigm.name} has a head of its own")
    paradigm = component("paradigm", config.paradigm.name)
    trains_on = paradigm.attacks_itself or getattr(config.attack, "train_on", "none") != "none"
    if not (training and paradigm.trains and trains_on) and hasattr(config.attack, "eval_steps"):
        yield from _unread(keys, ["attack.steps"], "no training episode is attacked")
    if not (training and paradigm.trains):
        yield from _unread(keys, ["attack.train_on"], "no training episode is attacked")
    if batch_norm_mode(config) == "none":
        why = (
            "keeps its statistics"
            if component("backbone", config.backbone.name).plain
            else "has no batch norm"
        )
        yield from _unread(keys, ["paradigm.bn_mode"], f"backbone {config.backbone.name} {why}")


def _unread(keys: Sequence[str], nodes: Sequence[str], why: str) -> Iterable[str]:
    for key in keys:
        below = any(f"{key}.".startswith(f"{node}.") for node in nodes)
        if below and key != "trainer.chunk":  # evaluation is done in chunks, too
            yield f"{key} has no effect: {why}"
