"""What to say of a config that can run: settings without effect, and a rate that undoes what others have trained."""

from collections.abc import Iterable, Sequence

from metacli.config.compatibility.facts import (
    adapts,
    asked_splits,
    batch_norm_mode,
    has_weights,
    is_fitted,
    moves,
)
from metacli.config.registry import component
from metacli.config.schema import Config
from metacli.data.table import SPLITS, Description
from metacli.launched import launched

_HIGH = 0.0005  # as a rate for weights that others have trained
# Settings of features that nothing but their fitting reads.
_OF_FITTING = ("images", "whiten", "loss", "noise", "epochs", "batch", "held_out", "lr")


def high_rate(config: Config, trains: bool) -> Iterable[str]:
    """What to say where an outer loop would soon undo what others have trained."""
    rate, moved = getattr(config.optimizer, "lr", 0.0), moves(config, "outer")
    given = getattr(config.backbone, "weights", "none") != "none"
    if trains and given and (not moved or "backbone" in moved) and rate > _HIGH:
        yield f"optimizer.lr={rate:g} is high for weights that others have trained; 0.00002 to 0.0001 is usual"


def without_effect(config: Config, keys: Sequence[str], data: Description, training: bool) -> Iterable[str]:
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
        if not (has_weights(config) or component("features", config.features.name).weights):
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
    if hasattr(config.paradigm, "inner") and not (adapts(config) or config.paradigm.inner.eval_steps):
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
