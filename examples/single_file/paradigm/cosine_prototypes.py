"""Cosine prototypes: classify by the angle to each class's mean feature, on a scale that is learned.

The second stage of Meta-Baseline (Chen et al., ICCV 2021), here from random weights.

    METACLI_CONFIG_PATH=examples/single_file metacli train paradigm=cosine_prototypes
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.config.registry import Component
from metacli.config.schema import Paradigm, Rate
from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.centroid import class_means
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner


class Settings(Paradigm):
    scale: Rate


class CosinePrototypes(Learner):
    """State of a predictor: `weights` [T, W, D] of a linear classifier, and what `bn_mode` needs of the support set."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, scale: float, bn_mode: BatchNormMode) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.scale = nn.Parameter(torch.tensor(scale))
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        prototypes = class_means(self.passes.support({}, support.inputs), support)
        weights = self.scale * F.normalize(prototypes, dim=-1)
        return Predictor(self._predict, {"weights": weights} | self.passes.context({}, support.inputs))

    def _predict(self, state: State, inputs: Inputs) -> Tensor:
        context = {name: tensor for name, tensor in state.items() if name != "weights"}
        features = F.normalize(self.passes.query(context, inputs), dim=-1)  # [T, N, D]
        return features @ state["weights"].transpose(1, 2)


component = Component(f"{__name__}:CosinePrototypes", Settings)
