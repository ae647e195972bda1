"""MAML: learn an initialisation from which a few gradient steps solve a task.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017.
`order=first` detaches the inner gradients (FOMAML, same paper §5.2); `moves.inner=[head]` adapts the last layer
only (ANIL: Raghu et al., "Rapid Learning or Feature Reuse?", ICLR 2020). The paper does not adapt the
batch-norm parameters and sums the inner loss over classes; here everything in `moves.inner` adapts and losses
are means, so an inner rate of 0.4 in 5-way units of the paper is 2.0 here.

    metacli train paradigm=maml paradigm.inner.steps=5 paradigm.order=first
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.layers import Linear, Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.objectives import objective
from metacli.select import moving


class MAML(Learner):
    """inner_lr: step size on the mean support loss; inner_steps while training, inner_eval_steps at evaluation."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        inner_lr: float,
        inner_steps: int,
        inner_eval_steps: int,
        order: Literal["first", "second"],
        moves_inner: Sequence[str],
        moves_outer: Sequence[str],
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec)
        self.network = nn.Sequential()
        self.network.add_module("backbone", backbone)
        self.network.add_module("head", Linear(features, spec.outputs))
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.inner_eval_steps = inner_eval_steps
        self.order = order
        self.adapted = moving(self.network, moves_inner, "paradigm.moves.inner")
        # A backbone that stays still in the inner loop is run once per pass, outside the loop.
        self.still = not any(name.startswith("backbone.") for name in self.adapted)
        self.passes = Passes(backbone if self.still else self.network, bn_mode)
        outer = moving(self.network, moves_outer, "paradigm.moves.outer")
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in outer)

    def adapt(self, support: Examples) -> Predictor:
        meta = torch.is_grad_enabled()  # else nobody will differentiate through the adaptation
        tasks = len(support.labels)
        named = dict(self.network.named_parameters())
        state = {name: named[name].expand(tasks, *named[name].shape) for name in self.adapted}
        inputs = {"x": self.passes.support({}, support.inputs)} if self.still else support.inputs
        with torch.enable_grad():
            for _ in range(self.inner_steps if self.training else self.inner_eval_steps):
                state = self._step(state, inputs, support, meta)
        predictor = Predictor(
            self._predict, state | self.passes.context({} if self.still else state, support.inputs)
        )
        return predictor if meta else predictor.detach()

    def _step(self, state: State, inputs: Inputs, support: Examples, meta: bool) -> State:
        """One step of gradient descent on each task's support loss; `meta`: to be differentiated through."""
        at = {
            name: tensor if meta and tensor.requires_grad else tensor.detach().requires_grad_()
            for name, tensor in state.items()
        }
        loss = objective(self.spec.kind)(self._support_pass(at, inputs), support).sum()
        second = meta and self.order == "second"
        gradients = torch.autograd.grad(loss, list(at.values()), create_graph=second)
        return {
            name: tensor - self.inner_lr * gradient
            for (name, tensor), gradient in zip(at.items(), gradients, strict=True)
        }

    def _support_pass(self, state: State, inputs: Inputs) -> Tensor:
        return self._head(state, inputs["x"]) if self.still else self.passes.support(state, inputs)

    def _predict(self, state: State, inputs: Inputs) -> Tensor:
        if not self.still:
            return self.passes.query(state, inputs)
        context = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
        return self._head(state, self.passes.query(context, inputs))

    def _head(self, state: State, features: Tensor) -> Tensor:
        head = {
            name.removeprefix("head."): tensor for name, tensor in state.items() if name.startswith("head.")
        }
        return torch.func.functional_call(self.network.get_submodule("head"), head, (features,))
