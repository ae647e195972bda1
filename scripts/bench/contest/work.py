"""What is to be computed, the same for every contender. No torch: the driver reads it too."""

from dataclasses import dataclass
from typing import Literal

Backbone = Literal["conv4_stride", "conv4_max_pool", "resnet12"]

INNER_LR = 0.4
OUTER_LR = 0.001  # Adam's
CHANNELS_AND_SIZE: dict[str, tuple[int, int, int]] = {
    "conv4_stride": (1, 28, 28),
    "conv4_max_pool": (1, 28, 28),
    "resnet12": (3, 84, 84),
}


@dataclass(frozen=True)
class Work:
    """One step: a meta-batch of `tasks` with Adam after it, or, unless `training`, their logits.

    queries are per class · steps, order, inner: of MAML · one_batch: ProtoNet trains on support and queries in one
    batch, whose statistics are collected, else in two · repeats: a timed turn is so many steps.
    """

    method: Literal["maml", "protonet"]
    backbone: Backbone
    tasks: int
    ways: int = 5
    shots: int = 1
    queries: int = 15
    width: int = 64
    steps: int = 1
    order: Literal["second", "first"] = "second"
    inner: Literal["all", "head"] = "all"
    training: bool = True
    one_batch: bool = False
    repeats: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image."""
        return CHANNELS_AND_SIZE[self.backbone]
