"""Features as they are, and a head that is fitted to each support set: no meta-training.

The backbone is pretrained (pretrain=supervised), taken from an earlier run (run.init_from), random, or pixels. With
the heads of their papers these are SimpleShot (Wang et al., 2019), Baseline and Baseline++ (Chen et al., ICLR 2019).

    metacli train paradigm=frozen backbone=conv4 run.init_from=RUN head=logreg
    metacli train paradigm=simpleshot
"""

from typing import Any

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Predictor, TaskSpec
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner


class Frozen(Learner):
    """head: has fit(features, support) -> state and answer(state, features) -> logits. Its state is a predictor's."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, head: Any, bn_mode: BatchNormMode) -> None:
        super().__init__(spec)
        self.backbone = backbone.requires_grad_(False)
        self.head = head
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        with torch.no_grad():
            features = self.passes.support({}, support.inputs)
        return self.passes.predictor(self._answer, self.head.fit(features, support), support.inputs)

    def _answer(self, state: dict[str, Tensor], features: Tensor) -> Tensor:
        return self.head.answer(state, features)
