"""P>M>F: a pretrained backbone, meta-trained as a prototypical network with cosines, fine-tuned on each test task.

Hu, Li, Stühmer, Kim & Hospedales, "Pushing the Limits of Simple Pipelines for Few-Shot Learning", CVPR 2022. The logits
are s·(cos(z, c) + b), s beginning at 10 and b at 0. As in the authors' code a test task takes `finetune.steps` steps of
Adam on the cross-entropy of its support set, varied at random, against prototypes of the support set as it is, and the
rate depends on how far the test classes are from what the backbone knows: choose `finetune.lr` by validation; 0 steps
are right where they are near. How images are varied is ours: shifted, and their colours changed; each task is varied
alike. What is fine-tuned is `moves.inner`, there the whole backbone.

    metacli train paradigm=pmf backbone=resnet18 dataset=imagefolder dataset.root=photos/
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metacli.data.augment import varied
from metacli.data.table import Augmentation
from metacli.episode import Episode, Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.centroid import class_means, cosine
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.objectives import cross_entropy
from metacli.runtime import generator
from metacli.select import moving

_OWN = ("prototypes", "scale", "shift")


class PMF(Learner):
    """State of a predictor: `prototypes` [T, W, D], `scale` and `shift` [T], and the backbone's weights that move."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        scale: float,
        finetune_steps: int,
        finetune_lr: float,
        finetune_weight_decay: float,
        augment_flip: bool,
        augment_crop: int,
        augment_colour: float,
        moves_inner: Sequence[str],
        moves_outer: Sequence[str],
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.scale = nn.Parameter(torch.tensor(scale))
        self.shift = nn.Parameter(torch.tensor(0.0))
        self.steps = finetune_steps
        self.descent: dict[str, Any] = {"lr": finetune_lr, "weight_decay": finetune_weight_decay}
        self.variation = Augmentation(augment_flip, augment_crop, augment_colour)
        self.inner = _names(backbone, moves_inner, "paradigm.moves.inner")
        outer = _names(backbone, moves_outer, "paradigm.moves.outer")
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name in outer)
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        """Fine-tuned in eval mode alone."""
        state = {} if self.training else self._fine_tuned(support)
        known = self._fit(self.passes.support(state, support.inputs), support)
        return Predictor(self._predict, known | state | self.passes.context(state, support.inputs))

    def meta_loss(self, episode: Episode) -> Tensor:
        """With `bn_mode=running` both sets go through in one batch, whose statistics are collected."""
        support, query = self.passes.both(episode.support.inputs, episode.query.inputs)
        return cross_entropy(self._logits(self._fit(support, episode.support), query), episode.query)

    def _fine_tuned(self, support: Examples) -> State:
        """The backbone's weights of each task."""
        tasks = len(support.labels) if self.steps else 0
        if not tasks:
            return {}
        named = dict(self.backbone.named_parameters())
        state = {
            name: named[name].detach().expand(tasks, *named[name].shape).clone().requires_grad_()
            for name in self.inner
        }
        optimizer = torch.optim.Adam(state.values(), **self.descent)
        with torch.enable_grad():
            for step in range(self.steps):
                seen = varied(support, self.variation, generator(0, "pmf", step), alike=True)
                known = self._fit(self.passes.support(state, support.inputs), support)
                logits = self._logits(known, self.passes.support(state, seen.inputs))
                loss = cross_entropy(logits, support).sum()
                for tensor, gradient in zip(
                    state.values(), torch.autograd.grad(loss, list(state.values())), strict=True
                ):
                    tensor.grad = gradient
                optimizer.step()
        return {name: tensor.detach() for name, tensor in state.items()}

    def _predict(self, state: State, inputs: Inputs) -> Tensor:
        backbone = {name: tensor for name, tensor in state.items() if name not in _OWN}
        return self._logits(state, self.passes.query(backbone, inputs))

    def _fit(self, features: Tensor, support: Examples) -> State:
        tasks = len(features)
        return {
            "prototypes": class_means(features, support),
            "scale": self.scale.expand(tasks),
            "shift": self.shift.expand(tasks),
        }

    @staticmethod
    def _logits(state: State, features: Tensor) -> Tensor:
        scale, shift = (state[name].view(-1, 1, 1) for name in ("scale", "shift"))
        return scale * (cosine(features, state["prototypes"]) + shift)


def _names(backbone: nn.Module, moves: Sequence[str], key: str) -> tuple[str, ...]:
    network = nn.Sequential()
    network.add_module("backbone", backbone)
    return tuple(name.removeprefix("backbone.") for name in moving(network, moves, key))
