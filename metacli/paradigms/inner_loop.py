"""The inner loop: descent on the support loss of many tasks at once, from the same weights.

What the gradient-based methods share: the network, which weights are one set a task, how many steps there are, how
passes are normalised, what is differentiated. All of that is decided here; a method says how a step moves its weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.errors import UserError
from metacli.layers import Linear
from metacli.layers.passes import BatchNormMode
from metacli.layers.words import TagLinear, passes_of, word_states
from metacli.objectives import objective
from metacli.select import moving, of_norms

Order = Literal["first", "second", "implicit"]
LossReduction = Literal["mean", "sum_over_k"]
Update = Callable[[int, State, State], State]  # (step, weights, gradients) -> weights, each [T, ...] by name


def nothing(step: int) -> State:
    return {}


class InnerLoop:
    """Over `backbone` and a linear head: `network`, which the learner has to register as its own. A head of tags
    is for any number of types, which begin alike (`TagLinear`).

    steps while training, eval_steps else · loss_reduction of the support loss: "mean" over the items, or "sum_over_k",
    their sum divided by the shots: the ways times as much, as in the code of Finn et al. In regression it is the mean ·
    moves_inner: what is adapted, `adapted` by name, without norms where `norms` says so · moves_outer: what the outer
    loop trains.
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        inner_steps: int,
        inner_eval_steps: int,
        inner_loss_reduction: LossReduction,
        moves_inner: Sequence[str],
        moves_outer: Sequence[str],
        bn_mode: BatchNormMode,
        order: Order = "first",
        norms: bool = True,
    ) -> None:
        self.spec = spec
        self.network = nn.Sequential()
        self.network.add_module("backbone", backbone)
        tags = spec.kind == "tag"
        head = TagLinear(features, spec.per_class) if tags else Linear(features, spec.outputs)
        self.network.add_module("head", head)
        outer = moving(self.network, moves_outer, "paradigm.moves.outer")
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in outer)
        self.training_steps = inner_steps
        self.eval_steps = inner_eval_steps
        self.order = order
        self.objective = objective(spec.kind)
        self.sums = inner_loss_reduction == "sum_over_k" and spec.kind == "classify"
        named = moving(self.network, moves_inner, "paradigm.moves.inner")
        left_out = () if norms else of_norms(self.network)
        self.adapted = tuple(name for name in named if name not in left_out)
        if not self.adapted:
            raise UserError(
                f"paradigm.moves.inner=[{','.join(moves_inner)}]: this method adapts no norms, and nothing is left",
                "add head or backbone",
            )
        # A backbone that stays still in the inner loop is run once per pass, outside the loop.
        self.still = not any(name.startswith("backbone.") for name in self.adapted)
        self.passes = (
            passes_of(spec.kind, backbone, bn_mode)
            if self.still
            else passes_of(spec.kind, self.network, bn_mode, _tagged)
        )
        self.norms = () if self.still else of_norms(self.network)  # of what each step runs

    @property
    def steps(self) -> int:
        return self.training_steps if self.network.training else self.eval_steps

    def own(self) -> dict[str, nn.Parameter]:
        """What is adapted, as the network keeps it."""
        named = dict(self.network.named_parameters())
        return {name: named[name] for name in self.adapted}

    def start(self, support: Examples) -> State:
        """What is adapted, as every task begins with it."""
        own: State = dict(self.own())
        if self.spec.kind == "tag":
            heads = [name for name in own if name.startswith("head.")]
            own |= {name: TagLinear.for_types(own[name], support.ways) for name in heads}
        tasks = len(support.labels)
        return {name: tensor.expand(tasks, *tensor.shape).contiguous() for name, tensor in own.items()}

    def adapt(self, support: Examples, update: Update) -> Predictor:
        """The predictor after all steps of `update`, to be differentiated through while gradients are enabled."""
        return self.predictor(self.descend(support, update), support)

    def descend(
        self,
        support: Examples,
        update: Update,
        *,
        batches: Tensor | None = None,
        beside: Callable[[int], State] = nothing,
    ) -> State:
        """The weights after all steps of `update`.

        batches [steps, n]: places of the items that each step is given · beside: what else a step's pass is run under.
        """
        meta = torch.is_grad_enabled()  # else nobody will differentiate through the adaptation
        weights = self.start(support)
        seen = self.seen(support)
        with torch.enable_grad():
            for step in range(self.steps):
                weights = {
                    name: tensor if meta and tensor.requires_grad else tensor.detach().requires_grad_()
                    for name, tensor in weights.items()
                }
                given = seen if batches is None else seen.at(batches[step])
                gradients = self.gradients(
                    weights, given, differentiable=meta and self.order == "second", beside=beside(step)
                )
                weights = update(step, weights, gradients)
        return weights if meta else {name: tensor.detach() for name, tensor in weights.items()}

    def seen(self, support: Examples) -> Examples:
        """What each step is given of the support set: features where the backbone stays still."""
        if not self.still:
            return support
        return replace(support, inputs={"x": self.passes.support({}, support.inputs)})

    def gradients(self, weights: State, seen: Examples, *, differentiable: bool, beside: State) -> State:
        """Of each task's support loss."""
        loss = self.loss(weights | beside, seen).sum()
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


def _tagged(network: nn.Module, inputs: Inputs) -> Tensor:
    """[T, N, L, K]"""
    outputs: Tensor = network.get_submodule("head")(word_states(network.get_submodule("backbone"), inputs))
    return outputs


# Scales and shifts of normalisation layers are one for all tasks, whatever moves.
without_norms = partial(InnerLoop, norms=False)
