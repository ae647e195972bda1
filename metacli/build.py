"""Checked config -> data, learner and optimizer."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from metacli.config.construct import construct
from metacli.config.schema import Config, Shape
from metacli.data.images import ImageSource
from metacli.data.sampler import EpisodeShape
from metacli.data.table import Table
from metacli.episode import TaskSpec
from metacli.learner import Learner
from metacli.runtime import seeded


@dataclass(frozen=True)
class Data:
    """One table and its splits, which share the image tensor."""

    table: Table
    sources: Mapping[str, ImageSource]


def build_data(config: Config, device: torch.device) -> Data:
    table = construct("dataset", config.dataset).build()
    images = torch.from_numpy(table.images).to(device)
    return Data(
        table,
        {
            split: ImageSource(table=table, split=split, device=device, images=images)
            for split in table.splits
        },
    )


def build_learner(config: Config, table: Table, device: torch.device) -> Learner:
    """Initial weights depend on the seed alone."""
    height, width, channels = table.images.shape[1:]
    shape = (channels, height, width)
    spec = TaskSpec(kind="classify", shape=shape, ways=config.episode.train.ways)
    with seeded(config.seed, "weights"):
        backbone = construct("backbone", config.backbone, shape=shape)
        learner = construct(
            "paradigm", config.paradigm, spec=spec, backbone=backbone, features=backbone.features
        )
    return learner.to(device)


def build_optimizer(config: Config, learner: Learner) -> Optimizer:
    moving = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    return construct("optimizer", config.optimizer, params=moving)


def episode_shape(shape: Shape) -> EpisodeShape:
    return EpisodeShape(ways=shape.ways, shots=shape.shots, queries=shape.queries)
