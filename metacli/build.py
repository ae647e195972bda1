"""Checked config -> data, learner and optimizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from metacli.config.construct import construct
from metacli.config.registry import component, load
from metacli.config.schema import Config, Shape
from metacli.data.sampler import EpisodeShape
from metacli.episode import TaskSpec
from metacli.learner import Learner
from metacli.runtime import seeded


@dataclass(frozen=True)
class Data:
    """What a data set built, and the sources of episodes that its splits are."""

    table: Any
    sources: Mapping[str, Any]


def build_data(config: Config, device: torch.device) -> Data:
    table = construct("dataset", config.dataset).build()
    return Data(table, load(component("dataset", config.dataset.name).sources)(table, device))


def build_learner(config: Config, table: Any, device: torch.device) -> Learner:
    ways = config.episode.train.ways
    return learner_of(
        config, TaskSpec(kind=table.kind, shape=table.shape, outputs=table.outputs(ways)), device
    )


def learner_of(config: Config, spec: TaskSpec, device: torch.device) -> Learner:
    """Initial weights depend on the seed alone."""
    with seeded(config.seed, "weights"):
        backbone = construct("backbone", config.backbone, shape=spec.shape)
        learner = construct(
            "paradigm", config.paradigm, spec=spec, backbone=backbone, features=backbone.features
        )
    return learner.to(device)


def build_optimizer(config: Config, learner: Learner) -> Optimizer:
    moving = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    return construct("optimizer", config.optimizer, params=moving)


def episode_shape(shape: Shape) -> EpisodeShape:
    return EpisodeShape(ways=shape.ways, shots=shape.shots, queries=shape.queries)
