"""Checked config -> data, learner and optimizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.optim import Optimizer

from metacli.attacks.adversary import Adversary, Trial
from metacli.config import schema
from metacli.config.compatibility import computes_once, moves, stays_still
from metacli.config.construct import construct, construct_by
from metacli.config.described import built
from metacli.config.registry import component, load
from metacli.config.schema import Config, Named
from metacli.config.schema.episode import Shape
from metacli.data import source, tag_episodes
from metacli.data.sampler import EpisodeShape
from metacli.data.source import EVALUATION_BLOCK
from metacli.episode import TaskSpec
from metacli.errors import UserError
from metacli.features.stacked import Stacked
from metacli.layers.rounded import round_off
from metacli.learner import Learner
from metacli.letters import size
from metacli.optim.domain import InDomain, memory_note
from metacli.optim.experts import Variant
from metacli.optim.per_task import PerTask
from metacli.parts import Versions, as_it_is, moved
from metacli.runtime import free_memory, seeded

# kind -> what asks each item of a split once
_WHOLE: dict[str, Any] = {"classify": source.whole, "tag": tag_episodes.whole}


@dataclass(frozen=True)
class Data:
    """What a data set built, and the sources of episodes that its splits are."""

    table: Any
    sources: Mapping[str, Any]


def build_data(config: Config, device: torch.device) -> Data:
    table = built(config)
    if tokenizer := build_tokenizer(config):
        table = table.tokenised(tokenizer)
    sources = load(component("dataset", config.dataset.name).sources)(table, device)
    if component("paradigm", config.paradigm.name).whole:
        sources = _WHOLE[table.kind](sources)
    return Data(table, sources)


def build_tokenizer(config: Config) -> Any:
    """What makes the backbone's tokens of texts; None where it takes none."""
    target = component("backbone", config.backbone.name).tokenizer
    return construct_by(load(target), config.backbone) if target else None


def build_learner(
    config: Config, table: Any, device: torch.device, train_classes: int | None = None
) -> Learner:
    """train_classes: where they are not those of the table."""
    ways = config.episode.train.ways
    if component("paradigm", config.paradigm.name).whole:
        ways = len(table.splits["train"])
    own = 0 if table.kind == "regress" else len(table.splits["train"])
    classes = own if train_classes is None else train_classes
    spec = TaskSpec(
        table.kind,
        table.shape,
        outputs=table.outputs(ways),
        train_classes=classes,
        per_class=table.outputs(2) - table.outputs(1),  # O is no class's, and numbers are not either
    )
    return learner_of(config, spec, device)


def learner_of(config: Config, spec: TaskSpec, device: torch.device) -> Learner:
    """Initial weights depend on the seed alone."""
    with seeded(config.seed, "weights"):
        return _on_backbone("paradigm", config.paradigm, config, spec).to(device)


def unloaded(config: Config) -> Config:
    """Without the weights that others have trained, where a run brings what came of them."""
    if not hasattr(config.backbone, "weights"):
        return config
    return config.model_copy(update={"backbone": config.backbone.model_copy(update={"weights": "none"})})


def build_classifier(config: Config, spec: TaskSpec, device: torch.device) -> Any:
    """What pretraining trains: it tells the meta-train classes apart. spec: of the learner that is pretrained."""
    outputs = spec.tags(spec.train_classes) if spec.kind == "tag" else spec.train_classes
    whole = replace(spec, outputs=outputs)
    with seeded(config.seed, "pretrain weights"):
        return _on_backbone("pretrain", config.pretrain, config, whole).to(device)


def build_features(config: Config, shape: tuple[int, ...]) -> Any:
    """What stands before the backbone, not fitted yet; None where the backbone sees the items themselves."""
    form = component("backbone", config.backbone.name).form
    output = config.features.output(shape, form)
    return construct("features", config.features, shape=shape, form=form, output=output)


def _on_backbone(group: str, node: Named, config: Config, spec: TaskSpec) -> Any:
    """Features stay as they are but where the outer loop is to train them."""
    fitted = build_features(config, spec.shape)
    shape = config.features.output(spec.shape, component("backbone", config.backbone.name).form)
    backbone = construct("backbone", config.backbone, shape=shape)
    if config.device.precision == "bf16":
        round_off(backbone)
    whole = backbone if fitted is None else Stacked(fitted, backbone)
    known = {"features": backbone.features, "train_classes": spec.train_classes, "seed": config.seed}
    known["last_layer"] = getattr(config.pretrain, "head", "linear")
    if component(group, node.name).maps:
        known["map_shape"] = backbone.map_shape
    if component(group, node.name).attacks_itself:
        known["attack"] = construct("attack", config.attack)
    if component(group, node.name).takes_head:
        known["head"] = construct("head", config.head, **known, **_fitting(config, backbone.features))
    built = construct(group, node, spec=spec, backbone=whole, **known)
    if fitted is not None:
        fitted.requires_grad_("features" in moves(config, "outer"))
    return built


def _fitting(config: Config, features: int) -> dict[str, Any]:
    """For a head that an optimizer fits to each task: how it does.

    Raises UserError where there is not memory enough for those of all tasks at once.
    """
    node = getattr(config.head, "optimizer", None)
    if node is None:
        return {}

    def optimizer(params: Sequence[torch.Tensor], steps: int) -> Any:
        return construct("optimizer", node, params=params, horizon=steps, per_task=True)

    tasks = config.trainer.chunk if isinstance(config.trainer.chunk, int) else EVALUATION_BLOCK
    weights = torch.empty(tasks, config.episode.test.ways, features + 1, device="meta")
    built = optimizer([weights], config.head.steps)  # type: ignore[attr-defined]
    free = free_memory(torch.device("cpu"))
    needs = built.memory(config.head.steps) if isinstance(built, InDomain) else 0  # type: ignore[attr-defined]
    if needs > free:
        which = f"head.optimizer.variant={built.variant}"
        raise UserError(
            f"{which}: {size(needs)} for heads of {tasks} tasks, and {size(free)} are free",
            "head.optimizer.variant=coordinate, or fewer tasks at once: trainer.chunk=1",
        )
    return {"descent": PerTask(optimizer, config.head.steps, **rate(node))}  # type: ignore[attr-defined]


def versions(config: Config) -> Versions:
    """What is trained on in place of an episode."""
    attack = construct("attack", config.attack)
    if attack is None:
        return as_it_is
    return Adversary(attack, config.attack.train_on, config.seed).versions  # type: ignore[attr-defined]


def trial(config: Config) -> Trial | None:
    """Of test episodes: as they are, and at half of epsilon, epsilon, and twice as much."""
    attack = construct("attack", config.attack)
    if attack is None:
        return None
    grid = tuple(factor * attack.epsilon for factor in (0.0, 0.5, 1.0, 2.0))
    return Trial(attack, grid, config.attack.episodes)  # type: ignore[attr-defined]


def path_notes(config: Config) -> list[str]:
    """How a backbone that was not written with a task axis goes through tasks."""
    name = config.backbone.name
    if not component("backbone", name).plain:
        return []
    how = "the items of all tasks together, in eval mode"
    if not stays_still(config):
        how = "task by task, in eval mode, since tasks have weights of their own"
    once = "; in evaluation once for each item" if computes_once(config) else ""
    return [f"backbone {name} computes {how}{once}"]


def optimizer_for(node: schema.Optimizer, learner: Learner, steps: int) -> Optimizer:
    """Of what `learner` moves, in so many steps."""
    return construct("optimizer", node, params=moved(learner), horizon=steps, per_task=False)


def rate(node: schema.Optimizer) -> dict[str, Any]:
    """lr and schedule for a Plan; of some optimizers there is none."""
    return {"lr": getattr(node, "lr", None), "schedule": getattr(node, "schedule", "constant")}


def optimizer_notes(node: schema.Optimizer, learner: Learner, steps: int, **words: str) -> list[str]:
    """What to say of the memory that an optimizer takes. Raises UserError where there is not enough.

    words: as `memory_note` takes them.
    """
    optimizer = optimizer_for(node, learner, steps)
    if not isinstance(optimizer, InDomain):
        return []

    def in_variant(variant: Variant) -> InDomain:
        return optimizer_for(node.model_copy(update={"variant": variant}), learner, steps)  # type: ignore[return-value]

    device = moved(learner)[0].device
    return [memory_note(in_variant, optimizer.variant, steps, free_memory(device), **words)]


def episode_shape(shape: Shape) -> EpisodeShape:
    return EpisodeShape(ways=shape.ways, shots=shape.shots, queries=shape.queries)
