"""Support and query passes of a network: the one place where `bn_mode` is decided.

| bn_mode             | support pass        | query pass                                  | queries see each other |
|---------------------|---------------------|---------------------------------------------|------------------------|
| batch               | its own statistics  | its own statistics                          | yes (transductive)     |
| support             | its own statistics  | statistics of the support set               | no                     |
| running             | running (in eval)   | running (in eval)                           | no                     |
| with_support_single | its own statistics  | each query in one batch with the support set | no                    |

While training, `running` normalises with batch statistics and collects them, and `with_support_single`
trains as `batch` does (it is an evaluation protocol: Nichol et al. 2018).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metacli.episode import Inputs, Predictor, State
from metacli.layers.norm import BatchNorm
from metacli.layers.staged import recorded
from metacli.layers.tokens import alike

BatchNormMode = Literal["batch", "support", "running", "with_support_single"]

_SUPPORT = "support."  # prefix of support inputs that travel in a predictor's state


class Passes:
    """Runs `network` (inputs["x"] -> outputs) under parameters given by name, shared or one set a task."""

    def __init__(self, network: nn.Module, bn_mode: BatchNormMode) -> None:
        self.network = network
        self.bn_mode = bn_mode
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.tracks = bn_mode == "running"

    def support(self, state: State, inputs: Inputs) -> Tensor:
        return functional_call(self.network, state, (inputs["x"],))

    def context(self, state: State, support: Inputs) -> State:
        """What the query pass needs of the support set, beside the parameters."""
        if self.bn_mode == "support":
            with recorded(self.network, differentiable=True) as statistics:
                self.support(state, support)
            means = {f"{name}.running_mean": mean for name, (mean, _) in statistics.items()}
            return means | {f"{name}.running_var": variance for name, (_, variance) in statistics.items()}
        if self.bn_mode == "with_support_single":
            return {_SUPPORT + name: tensor for name, tensor in support.items()}
        return {}

    def both(self, support: Inputs, query: Inputs) -> tuple[Tensor, Tensor]:
        """What a training step sees of the two sets, [T, N, D] each, under the network's own parameters.

        With `running` they go through in one batch, whose statistics are collected, as in the code of Snell et al.
        """
        if self.bn_mode != "running":
            return self.support({}, support), self.query(self.context({}, support), query)
        items = support["x"].shape[1]
        outputs = self.network(torch.cat([support["x"], query["x"]], 1))
        return outputs[:, :items], outputs[:, items:]

    def predictor(
        self, answer: Callable[[State, Tensor], Tensor], state: State, support: Inputs
    ) -> Predictor:
        """One that knows `state` of each task: its outputs are answer(state, what the query pass gives)."""
        names = tuple(state)

        def predict(known: State, inputs: Inputs) -> Tensor:
            context = {name: tensor for name, tensor in known.items() if name not in names}
            return answer({name: known[name] for name in names}, self.query(context, inputs))

        return Predictor(predict, state | self.context({}, support))

    def query(self, state: State, inputs: Inputs) -> Tensor:
        """`state`: parameters and what `context` returned."""
        own = {name: tensor for name, tensor in state.items() if not name.startswith(_SUPPORT)}
        x = inputs["x"]
        if self.bn_mode != "with_support_single" or self.network.training:
            return functional_call(self.network, own, (x,))
        support = alike(state[_SUPPORT + "x"], x)
        outputs = [
            functional_call(self.network, own, (torch.cat([support, x[:, i : i + 1]], 1),))[:, -1:]
            for i in range(x.shape[1])
        ]
        return torch.cat(outputs, 1)
