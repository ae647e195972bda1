"""A classifier that is trained on each support set by gradient descent, on features that stay as they are.

Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019: `kind=linear` is the second stage of Baseline,
`cosine` that of Baseline++. As in the authors' code: SGD for 100 epochs of batches of 4, with a rate of 0.01, momentum
and dampening of 0.9 and a weight decay of 0.001. Weights begin, and items come, in the same random order in every
task, which is ours: so a task's answer depends on nothing but the task.

    metacli train paradigm=baseline_pp
"""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metacli.episode import Examples, State
from metacli.layers import CosineLinear, Linear
from metacli.objectives import cross_entropy
from metacli.runtime import generator, seeded


class FineTuned(nn.Module):
    """State: the weights of the classifier of each task."""

    def __init__(
        self,
        *,
        features: int,
        kind: Literal["linear", "cosine"],
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        batch: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self.features = features
        self.layer = {"linear": _plain_linear, "cosine": CosineLinear}[kind]
        self.descent: dict[str, Any] = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
        }
        self.batch = batch
        self.epochs = epochs

    def fit(self, features: Tensor, support: Examples) -> State:
        tasks, items = support.labels.shape
        features = features.detach()
        layer = self.classifier(support.ways).to(features)
        state = {
            name: parameter.detach().expand(tasks, *parameter.shape).clone().requires_grad_()
            for name, parameter in layer.named_parameters()
        }
        optimizer = torch.optim.SGD(state.values(), **self.descent)
        with torch.enable_grad():
            for epoch in range(self.epochs):
                order = torch.randperm(items, generator=generator(0, "fine-tuned head", epoch))
                for part in order.to(features.device).split(self.batch):
                    seen = replace(support, labels=support.labels[:, part], mask=support.mask[:, part])
                    loss = cross_entropy(functional_call(layer, state, (features[:, part],)), seen)
                    optimizer.zero_grad()
                    loss.sum().backward()
                    optimizer.step()
        return {name: tensor.detach() for name, tensor in state.items()}

    def answer(self, state: State, features: Tensor) -> Tensor:
        ways = state["weight"].shape[1]
        return functional_call(self.classifier(ways).to(features), state, (features,))

    def classifier(self, ways: int) -> nn.Module:
        """As it begins."""
        with seeded(0, "fine-tuned head"):
            return self.layer(self.features, ways)


def _plain_linear(inputs: int, outputs: int) -> nn.Module:
    """As torch's own layer begins, which the authors use: within ±1/√D."""
    layer = Linear(inputs, outputs)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5)
    return layer
