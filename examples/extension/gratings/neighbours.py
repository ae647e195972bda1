"""Neighbours: every support item pulls towards its class, the more the nearer it is to the query.

Goldberger et al., "Neighbourhood Components Analysis", NeurIPS 2004, over the support set alone. With one shot it
is a prototypical network; with more, a class need not lie around its mean.

    metacli train paradigm=neighbours episode=5w5s
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.centroid import negative_squared_distance
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner


class Neighbours(Learner):
    """State of a predictor: `items` [T, S, D], `stranger` [T, S, W], and what `bn_mode` needs of the support set."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, bn_mode: BatchNormMode) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        items = self.passes.support({}, support.inputs)
        counted = support.mask & (support.labels >= 0)
        belongs = F.one_hot(support.labels.clamp(min=0), support.ways).bool() & counted.unsqueeze(-1)
        stranger = torch.zeros(belongs.shape, device=items.device).masked_fill(~belongs, -torch.inf)
        state = {"items": items, "stranger": stranger}
        return Predictor(self._predict, state | self.passes.context({}, support.inputs))

    def _predict(self, state: State, inputs: Inputs) -> Tensor:
        context = {name: tensor for name, tensor in state.items() if name not in ("items", "stranger")}
        nearness = negative_squared_distance(self.passes.query(context, inputs), state["items"])  # [T, N, S]
        return (nearness.unsqueeze(-1) + state["stranger"].unsqueeze(1)).logsumexp(2)  # [T, N, W]
