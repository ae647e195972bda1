"""optimizer: of the outer loop, of a stage of training, or of a head."""

from typing import ClassVar, Literal

from pydantic import model_validator

from metacli.config.schema.values import Amount, Count, Named, Rate, Several, Share


class Optimizer(Named):
    pass


class Scheduled(Optimizer):
    """With a learning rate, which the trainer sets by the schedule."""

    lr: Rate
    schedule: Literal["constant", "cosine", "linear"]
    weight_decay: Amount


class SGD(Scheduled):
    momentum: Share
    nesterov: bool

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "SGD":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum > 0; set optimizer.nesterov=false")
        return self


class InDomain(Optimizer):
    """Without a learning rate: parameters move in a domain around where they began."""

    without: ClassVar[dict[str, str]] = dict.fromkeys(
        ("lr", "schedule"), "it plays many rates side by side; what there is to tune is {place}.radius"
    )

    variant: Literal["coordinate", "full", "sketched"]
    radius: Rate
    sketch: Several


class MetaGrad(InDomain):
    grad_bound: Rate | None


class AdaptiveMetaGrad(InDomain):
    prior: Rate
    experts: Count
    wake: Literal["current", "center"]
    grid: Literal["pow2", "anchored"]
