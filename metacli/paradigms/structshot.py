"""Nearest words, and the most likely sequence of tags under transitions that were counted on other types.

Yang & Katiyar, "Simple and Effective Few-Shot Named Entity Recognition with Structured Nearest Neighbor Learning",
EMNLP 2020 (StructShot): NNShot's scores, made probabilities, are the emissions; see heads/transitions.py. An output is
the score of the best sequence through that word and tag, so that the largest outputs are Viterbi's tags.

    metacli train dataset=crossner paradigm=structshot backbone=minilm
"""

from typing import Literal

from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.transitions import AbstractTransitions, best_through
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
        found = self.nearest.adapt(support)
        table = self.transitions.log_probabilities(support.ways, self.spec.per_class, self.tau)
        known = table.to(next(iter(found.state.values()))).expand(len(support.labels), -1, -1)

        def answer(state: State, inputs: Inputs) -> Tensor:
            emissions = found.function(state, inputs).log_softmax(-1)
            return best_through(emissions, state["transitions"][0], inputs["words"])

        return Predictor(answer, found.state | {"transitions": known})
