"""The inner loop: descent on the support loss of many tasks at once, from the same weights.

What the gradient-based methods share: which weights are one set a task, how passes are normalised, what is
differentiated. All of that is decided here; a method says how a step moves its weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Kind, Predictor, State
from metacli.layers import Linear, Passes
from metacli.layers.passes import BatchNormMode
from metacli.objectives import objective
from metacli.select import moving

Order = Literal["first", "second"]
LossReduction = Literal["mean", "sum_over_k"]
Update = Callable[[int, State, State], State]  # (step, weights, gradients) -> weights, each [T, ...] by name


def with_head(backbone: nn.Module, features: int, outputs: int, moves: Sequence[str]) -> nn.Sequential:
    """Children `backbone` and `head`, a linear layer; `moves` is what the outer loop trains of them."""
    network = nn.Sequential()
    network.add_module("backbone", backbone)
    network.add_module("head", Linear(features, outputs))
    outer = moving(network, moves, "paradigm.moves.outer")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in outer)
    return network


class InnerLoop:
    """Adapts what `moves` names in a network that `with_head` made.

    loss_reduction of the support loss: "mean" over the items, or "sum_over_k", their sum divided by the shots: the
    ways times as much, as in the code of Finn et al. In regression it is the mean.
    """

    def __init__(
        self,
        network: nn.Sequential,
        kind: Kind,
        *,
        moves: Sequence[str],
        bn_mode: BatchNormMode,
        loss_reduction: LossReduction,
    ) -> None:
        self.network = network
        self.objective = objective(kind)
        self.sums = loss_reduction == "sum_over_k" and kind == "classify"
        self.adapted = moving(network, moves, "paradigm.moves.inner")
        # A backbone that stays still in the inner loop is run once per pass, outside the loop.
        self.still = not any(name.startswith("backbone.") for name in self.adapted)
        self.passes = Passes(network.get_submodule("backbone") if self.still else network, bn_mode)

    def adapt(self, support: Examples, update: Update, *, steps: int, order: Order) -> Predictor:
        """The predictor after `steps` of `update`, to be differentiated through while gradients are enabled."""
        return self.predictor(self.descend(support, update, steps=steps, order=order), support)

    def descend(
        self,
        support: Examples,
        update: Update,
        *,
        steps: int,
        order: Order,
        batches: Tensor | None = None,
    ) -> State:
        """The weights after `steps` of `update`. batches [steps, n]: places of the items that each step is given."""
        meta = torch.is_grad_enabled()  # else nobody will differentiate through the adaptation
        named = dict(self.network.named_parameters())
        tasks = len(support.labels)
        weights = {name: named[name].expand(tasks, *named[name].shape).contiguous() for name in self.adapted}
        seen = self.seen(support)
        with torch.enable_grad():
            for step in range(steps):
                weights = {
                    name: tensor if meta and tensor.requires_grad else tensor.detach().requires_grad_()
                    for name, tensor in weights.items()
                }
                given = seen if batches is None else seen.at(batches[step])
                gradients = self.gradients(weights, given, differentiable=meta and order == "second")
                weights = update(step, weights, gradients)
        return weights if meta else {name: tensor.detach() for name, tensor in weights.items()}

    def seen(self, support: Examples) -> Examples:
        """What each step is given of the support set: features where the backbone stays still."""
        if not self.still:
            return support
        return replace(support, inputs={"x": self.passes.support({}, support.inputs)})

    def gradients(self, weights: State, seen: Examples, *, differentiable: bool) -> State:
        """Of each task's support loss."""
        loss = self.loss(weights, seen).sum()
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=differentiable)
        return dict(zip(weights, gradients, strict=True))

    def loss(self, weights: State, seen: Examples) -> Tensor:
        """[T]"""
        inputs = seen.inputs
        outputs = self._head(weights, inputs["x"]) if self.still else self.passes.support(weights, inputs)
        loss = self.objective(outputs, seen)
        return loss * seen.ways if self.sums else loss

    def predictor(self, weights: State, support: Examples) -> Predictor:
        if self.still:
            return self.passes.predictor(self._head, weights, support.inputs)
        return Predictor(self.passes.query, weights | self.passes.context(weights, support.inputs))

    def _head(self, weights: State, features: Tensor) -> Tensor:
        head = {name.removeprefix("head."): tensor for name, tensor in weights.items()}
        return torch.func.functional_call(self.network.get_submodule("head"), head, (features,))
