"""pretrain: what trains the backbone on whole classes before."""

from typing import Literal

from pydantic import Field, SerializeAsAny

from metacli.config.schema.optimizer import Optimizer
from metacli.config.schema.values import Count, Moves, Named, Share


class Pretrain(Named):
    pass


class ByEpochs(Pretrain):
    epochs: Count
    batch: Count
    held_out: Share
    optimizer: SerializeAsAny[Optimizer]


class Supervised(ByEpochs):
    head: Literal["linear", "cosine"]
    label_smoothing: Share
    moves: Moves = Field(["backbone", "head"], min_length=1)
