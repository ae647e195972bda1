"""Nearest words, and the most likely sequence of tags under transitions that were counted on other types.

Yang & Katiyar, "Simple and Effective Few-Shot Named Entity Recognition with Structured Nearest Neighbor Learning",
EMNLP 2020 (StructShot): NNShot's scores, made probabilities, are the emissions; see heads/transitions.py.

    metacli train dataset=crossner paradigm=structshot backbone=minilm
"""

from typing import Literal

from torch import nn

from metacli.episode import Examples, Predictor, TaskSpec
from metacli.heads.transitions import AbstractTransitions, most_likely
from metacli.learner import Learner
from metacli.paradigms.nnshot import NNShot


class StructShot(Learner):
    """tau: the power that transitions are raised to; the smaller, the less they say."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        normalise: bool,
        tau: float,
        bn_mode: Literal["running"],
    ) -> None:
        super().__init__(spec)
        self.nearest = NNShot(spec=spec, backbone=backbone, normalise=normalise, bn_mode=bn_mode)
        self.transitions = AbstractTransitions()
        self.tau = tau

    @property
    def backbone(self) -> nn.Module:
        return self.nearest.backbone

    def adapt(self, support: Examples) -> Predictor:
        table = self.transitions.log_probabilities(support.ways, self.spec.per_class, self.tau)
        return most_likely(self.nearest.adapt(support), table)
