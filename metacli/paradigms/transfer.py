"""Transfer: a backbone with weights from elsewhere, fitted to each task by descent on its support set alone.

The weights are those that others have trained (backbone=timm), those of `pretrain=supervised`, or both. The head begins
as the nearest class mean: `head.kind=linear` as the linear layer 2c, −‖c‖² (so its logits are −‖z − c‖² but for what
all classes share), `cosine` as τ·cos(z, c). Then Adam takes `finetune.steps` full-batch steps on what `moves.inner`
names: nothing is the frozen nearest class mean, [head] a linear or cosine probe, [head, backbone] the fine-tuning of
Dhillon et al., "A Baseline for Few-Shot Image Classification", ICLR 2020 (without its transductive term; there 25 steps
at 5e-5), and [norm], [bias], [lora], [last_block] what lies between. Words
are tagged so, too: a class is a tag, its mean that of its words' states.

    metacli train paradigm=transfer pretrain=none backbone=resnet18 dataset=imagefolder dataset.root=photos/
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.centroid import class_means, cosine
from metacli.heads.tokens import tag_means
from metacli.layers import Linear
from metacli.layers.passes import BatchNormMode
from metacli.layers.words import passes_of
from metacli.learner import Learner
from metacli.objectives import ABSENT, objective
from metacli.select import moving

_HEAD = "head."


class Transfer(Learner):
    """State of a predictor: `head.weight` [T, W, D], `head.bias` [T, W], and the weights of the backbone that move; of
    tags `head.absent` [T, K] bool, too: those that no word has."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        head_kind: Literal["linear", "cosine"],
        head_scale: float,
        finetune_steps: int,
        finetune_lr: float,
        finetune_weight_decay: float,
        moves_inner: Sequence[str],
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone.requires_grad_(False)
        self.kind = head_kind
        self.scale = head_scale
        self.steps = finetune_steps
        self.descent: dict[str, Any] = {"lr": finetune_lr, "weight_decay": finetune_weight_decay}
        self.moves = _names(backbone, moves_inner)
        self.passes = passes_of(spec.kind, backbone, bn_mode)
        self.objective = objective(spec.kind)

    def adapt(self, support: Examples) -> Predictor:
        own = {name for name in self.moves if not name.startswith(_HEAD)}
        with torch.no_grad():
            features = self.passes.support({}, support.inputs)
            state = self._head(features, support)
            tasks = len(features)
            for name, parameter in self.backbone.named_parameters():
                if name in own:
                    state[name] = parameter.expand(tasks, *parameter.shape).clone()
        moved = [state[name].requires_grad_() for name in state if name in self.moves]
        if moved:
            optimizer = torch.optim.AdamW(moved, **self.descent)
            with torch.enable_grad():
                for _ in range(self.steps):
                    seen = self.passes.support(_backbone(state), support.inputs) if own else features
                    loss = self.objective(self._logits(state, seen), support).sum()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        state = {name: tensor.detach() for name, tensor in state.items()}
        return Predictor(self._predict, state | self.passes.context(_backbone(state), support.inputs))

    def _predict(self, state: State, inputs: Inputs) -> Tensor:
        return self._logits(state, self.passes.query(_backbone(state), inputs))

    def _head(self, features: Tensor, support: Examples) -> State:
        known: State = {}
        if self.spec.kind == "tag":
            means, present = tag_means(features, support, self.spec.tags(support.ways))
            known = {"head.absent": ~present}
        else:
            means = class_means(features, support)
        if self.kind == "cosine":
            return known | {"head.weight": means, "head.bias": means.new_zeros(means.shape[:2])}
        return known | {"head.weight": 2 * means, "head.bias": -means.square().sum(2)}

    def _logits(self, state: State, features: Tensor) -> Tensor:
        """[T, N, D] -> [T, N, W], or [T, N, L, D] -> [T, N, L, K]"""
        weight, bias, flat = state["head.weight"], state["head.bias"].unsqueeze(1), features.flatten(1, -2)
        if self.kind == "cosine":
            logits = self.scale * cosine(flat, weight) + bias
        else:
            logits = self.scale * (flat @ weight.transpose(1, 2) + bias)
        if "head.absent" in state:
            logits = logits.masked_fill(state["head.absent"].unsqueeze(1), ABSENT)
        return logits.unflatten(1, features.shape[1:-1])


def _names(backbone: nn.Module, moves: Sequence[str]) -> set[str]:
    """Of what moves, as they stand in a predictor's state."""
    if not moves:
        return set()
    network = nn.Sequential()
    network.add_module("backbone", backbone)
    network.add_module("head", Linear(1, 1))
    return {name.removeprefix("backbone.") for name in moving(network, moves, "paradigm.moves.inner")}


def _backbone(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(_HEAD)}
