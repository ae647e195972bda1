"""Supervised classification: the network that `pretrain=supervised` has trained on a whole split, asked every item of
another with all classes.

No episodes and no support set: the splits share the classes, epochs are chosen by the accuracy on all of val, and the
report is on each item of the test split once. Its unit is an item, so that the interval is over items.

    metacli train dataset=imagefolder dataset.root=photos/ dataset.split_by=item paradigm=classifier backbone=resnet18
"""

from typing import Literal

from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.layers import CosineLinear, Linear, Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner


class WholeClassifier(Learner):
    """Its weights are those of the `Classifier` that was pretrained, which has this `last_layer`."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        last_layer: Literal["linear", "cosine"],
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.head = {"linear": Linear, "cosine": CosineLinear}[last_layer](features, spec.outputs)
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        return Predictor(self._answer, {})

    def _answer(self, state: State, inputs: Inputs) -> Tensor:
        return self.head(self.passes.support({}, inputs))
