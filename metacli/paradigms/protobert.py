"""Prototypes of tags: a word is of the tag whose mean state in the support set is nearest, and the encoder is trained
on episodes.

Ding et al., "Few-NERD", ACL 2021 (ProtoBERT), after Snell et al. 2017. With o_class=learned_bias O has no mean but a
learned score: Fritzler, Logacheva & Kretov, "Few-shot Classification in Named Entity Recognition Task", SAC 2019.

    metacli train dataset=crossner paradigm=protobert backbone=minilm
"""

from typing import Literal

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.centroid import negative_squared_distance
from metacli.heads.tokens import tag_means
from metacli.layers.words import word_states
from metacli.learner import Learner
from metacli.objectives import ABSENT


class ProtoBERT(Learner):
    """State of a predictor: `prototypes` [T, K, H], `absent` [T, K] bool: tags that no word has, `o_score` [T]."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        o_class: Literal["prototype", "learned_bias"],
        bn_mode: Literal["running"],
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.o_class = o_class
        if o_class == "learned_bias":
            self.o_score = nn.Parameter(torch.zeros(()))

    def adapt(self, support: Examples) -> Predictor:
        states = word_states(self.backbone, support.inputs)  # [T, N, L, H]
        means, present = tag_means(states, support, self.spec.tags(support.ways))
        state = {"prototypes": means, "absent": ~present}
        if self.o_class == "learned_bias":
            state["o_score"] = self.o_score.expand(len(means))
        return Predictor(self._answer, state)

    def _answer(self, state: State, inputs: Inputs) -> Tensor:
        states = word_states(self.backbone, inputs)
        logits = negative_squared_distance(states.flatten(1, 2), state["prototypes"])
        if self.o_class == "learned_bias":
            o_logit = state["o_score"].view(-1, 1, 1).expand(*logits.shape[:2], 1)
            logits = torch.cat([o_logit, logits[..., 1:]], -1)
        return logits.masked_fill(state["absent"].unsqueeze(1), ABSENT).unflatten(1, states.shape[1:3])
