"""The typed shape of every config group, a module each. Values live in configs/*.yaml; here are types and bounds.

This module has the whole of a config, and what components beside metacli need for their settings. A key that came
after runs were saved without it has a default: what those runs did.
"""

from typing import Any

from pydantic import SerializeAsAny

from metacli.config.schema.attack import Attack
from metacli.config.schema.backbone import Backbone, Norm
from metacli.config.schema.episode import Episode
from metacli.config.schema.features import Features
from metacli.config.schema.head import Head
from metacli.config.schema.optimizer import Optimizer
from metacli.config.schema.paradigm import Paradigm
from metacli.config.schema.pretrain import Pretrain
from metacli.config.schema.run import Device, Report, Run, Trainer
from metacli.config.schema.values import (
    Amount,
    Count,
    File,
    Folder,
    Fraction,
    Moves,
    Named,
    Natural,
    Node,
    Place,
    Range,
    Rate,
    Share,
    Side,
    Widths,
    Word,
)

__all__ = [
    "Amount",
    "Attack",
    "Backbone",
    "Config",
    "Count",
    "Features",
    "File",
    "Folder",
    "Fraction",
    "Head",
    "Moves",
    "Named",
    "Natural",
    "Node",
    "Norm",
    "Optimizer",
    "Paradigm",
    "Place",
    "Pretrain",
    "Range",
    "Rate",
    "Share",
    "Side",
    "Widths",
    "Word",
]


class Config(Node):
    """A whole experiment. Component nodes hold the model that the registry names for them."""

    seed: Natural
    dataset: SerializeAsAny[Named]
    target: SerializeAsAny[Named] | None = (
        None  # another data set, whose test split takes the place of its own
    )
    episode: Episode
    features: SerializeAsAny[Features] = Features(name="none")
    backbone: SerializeAsAny[Backbone]
    head: SerializeAsAny[Head] = Head(name="none")
    pretrain: SerializeAsAny[Pretrain] = Pretrain(name="none")
    optimizer: SerializeAsAny[Optimizer]
    attack: SerializeAsAny[Attack] = Attack(name="none")
    trainer: Trainer
    paradigm: SerializeAsAny[Paradigm]
    device: Device
    report: Report
    run: Run
    tracker: dict[str, SerializeAsAny[Node]]

    def plain(self) -> dict[str, Any]:
        values = self.model_dump()
        return values if self.target else {key: value for key, value in values.items() if key != "target"}
