"""Supervised pretraining on tagged words: the encoder learns to tell all types of meta-train, by epochs.

The first stage of NNShot and StructShot (Yang & Katiyar, EMNLP 2020; there 3 epochs at 5e-5, batches of 32). The
weights that are kept are those of the epoch whose states tag validation episodes best by the nearest word: no sentence
of the validation or test split is trained on. The choice of that measure is ours.

    metacli train dataset=crossner pretrain=tagger paradigm=structshot
"""

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.tokens import nearest_answers
from metacli.layers.words import word_states
from metacli.learner import Learner


class Tagger(Learner):
    """spec: its outputs are the tags of all types. Without a support set it predicts those; with one, the tag of the
    nearest word."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, features: int) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.head = nn.Linear(features, spec.outputs)

    def adapt(self, support: Examples) -> Predictor:
        if not support.labels.shape[1]:
            return Predictor(self._all_tags, {})
        return nearest_answers(self.backbone, support, self.spec.tags(support.ways), normalise=True)

    @torch.no_grad()
    def correct(self, items: Examples) -> Tensor:
        """Which words have the right one of all tags, [m]."""
        return (self._all_tags({}, items.inputs).argmax(-1) == items.labels)[items.mask]

    def _all_tags(self, state: State, inputs: Inputs) -> Tensor:
        logits: Tensor = self.head(word_states(self.backbone, inputs))
        return logits
