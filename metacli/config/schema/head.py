"""head: what classifies features."""

from typing import Literal

from pydantic import SerializeAsAny

from metacli.config.schema.optimizer import Optimizer
from metacli.config.schema.values import Amount, Count, Fraction, Named, Rate, Share


class Head(Named):
    pass


class CentroidHead(Head):
    transform: Literal["none", "l2n", "cl2n"]
    distance: Literal["euclidean", "cosine"]


class Logistic(Head):
    inverse_ridge: Rate


class DistributionCalibration(Head):
    samples: Count
    nearest: Count
    spread: Amount
    power: Rate


class LabelPropagation(Head):
    neighbours: Count
    alpha: Fraction


class FineTuned(Head):
    kind: Literal["linear", "cosine"]
    lr: Rate
    momentum: Share
    dampening: Share
    weight_decay: Amount
    batch: Count
    epochs: Count


class Probe(Head):
    scale: Rate
    steps: Count
    optimizer: SerializeAsAny[Optimizer]
