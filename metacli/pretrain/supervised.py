"""Supervised pretraining: the backbone learns to tell all meta-train classes apart, on mini-batches, by epochs.

The first stage of SimpleShot (Wang et al. 2019), Baseline and Baseline++ (Chen et al., ICLR 2019) and Meta-Baseline
(Chen et al., ICCV 2021). `head=cosine` is that of Baseline++. The weights that are kept are those of the epoch whose
features classify validation episodes best by the nearest class mean under the cosine: no image of a class that is
trained on, nor of the test split, has a part in it. The choice of that measure is ours. `moves` is what is trained of
the backbone and the head: with a backbone that others have trained, [norm, head] or [last_block, head], say.

    metacli train pretrain=supervised paradigm=nearest_centroid backbone=conv4
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.centroid import class_means, cosine
from metacli.layers import CosineLinear, Linear, Passes
from metacli.learner import Learner
from metacli.select import moving


class Classifier(Learner):
    """spec: its outputs are all the classes. Without a support set it predicts those; with one it is the nearest class
    mean on its features, in eval mode by running statistics."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        head: Literal["linear", "cosine"],
        label_smoothing: float,
        moves: Sequence[str],
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.head = {"linear": Linear, "cosine": CosineLinear}[head](features, spec.outputs)
        self.label_smoothing = label_smoothing
        trained = moving(self, moves, "pretrain.moves")
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in trained)
        self.passes = Passes(backbone, "running")

    def adapt(self, support: Examples) -> Predictor:
        if not support.labels.shape[1]:
            return Predictor(self._all_classes, {})
        return Predictor(self._nearest, {"means": class_means(self.backbone(support.inputs["x"]), support)})

    def query_loss(self, predictor: Predictor, query: Examples) -> Tensor:
        logits = predictor(query.inputs)  # [T, N, C]
        losses = F.cross_entropy(
            logits.flatten(0, 1),
            query.labels.flatten(),
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        return losses.view_as(query.labels).mean(1)

    @torch.no_grad()
    def correct(self, items: Examples) -> Tensor:
        """Which are told from all other classes, [T, N]."""
        return self._all_classes({}, items.inputs).argmax(-1) == items.labels

    def _all_classes(self, state: State, inputs: Inputs) -> Tensor:
        return self.head(self.backbone(inputs["x"]))

    def _nearest(self, state: State, inputs: Inputs) -> Tensor:
        return cosine(self.backbone(inputs["x"]), state["means"])
