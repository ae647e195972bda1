"""Nearest words: a word has the tag of the word in the support set whose state is nearest, and nothing is trained.

Yang & Katiyar, "Simple and Effective Few-Shot Named Entity Recognition with Structured Nearest Neighbor Learning",
EMNLP 2020 (NNShot). They train the encoder to tag the source domain first: pretrain=tagger does.

    metacli train dataset=crossner paradigm=nnshot pretrain=tagger
"""

from typing import Literal

from torch import nn

from metacli.episode import Examples, Predictor, TaskSpec
from metacli.heads.tokens import nearest_answers
from metacli.learner import Learner


class NNShot(Learner):
    """normalise: states to unit length, as the authors do. State of a predictor: see `nearest_answers`."""

    def __init__(
        self, *, spec: TaskSpec, backbone: nn.Module, normalise: bool, bn_mode: Literal["running"]
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone.requires_grad_(False)
        self.normalise = normalise

    def adapt(self, support: Examples) -> Predictor:
        tags = self.spec.tags(support.ways)
        return nearest_answers(self.backbone, support, tags, normalise=self.normalise)
