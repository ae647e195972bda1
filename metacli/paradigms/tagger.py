"""Supervised tagging: an encoder that `pretrain=tagger` has trained on a whole split, asked all sentences of another.

No episodes and no support set: the tags are those of all types, and the report is on every sentence of the test split.

    metacli train dataset=wnut17 paradigm=tagger dataset.tags=bio
"""

from typing import Literal

from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.layers.words import word_states
from metacli.learner import Learner


class WholeTagger(Learner):
    """Its weights are those of the `Tagger` that was pretrained."""

    def __init__(
        self, *, spec: TaskSpec, backbone: nn.Module, features: int, bn_mode: Literal["running"]
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.head = nn.Linear(features, spec.outputs)

    def adapt(self, support: Examples) -> Predictor:
        return Predictor(self._answer, {})

    def _answer(self, state: State, inputs: Inputs) -> Tensor:
        logits: Tensor = self.head(word_states(self.backbone, inputs))
        return logits
