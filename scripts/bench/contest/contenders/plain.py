"""Torch alone, one task at a time: the definition, and in float64 the reference of every check."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from contest.network import build
from contest.tasks import flat, random_tasks
from contest.work import INNER_LR, OUTER_LR, Work


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        torch.set_num_threads(threads)
        self.work = work
        self.tasks = random_tasks(work, device, dtype)
        self.network = build(work).to(device, dtype).train(work.training)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=OUTER_LR)
        self.logits: list[Tensor] = []

    def step(self) -> None:
        predict = self._maml if self.work.method == "maml" else self._protonet
        if not self.work.training:
            with torch.no_grad():
                self.logits = [predict(task) for task in range(len(self.tasks))]
            return
        self.optimizer.zero_grad()
        for task in range(len(self.tasks)):
            loss = F.cross_entropy(predict(task), self.tasks.query_labels)
            (loss / len(self.tasks)).backward()
        self.optimizer.step()

    def outcome(self) -> Tensor:
        if self.work.training:
            return flat(
                [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
            )
        return flat(self.logits)

    def _maml(self, task: int) -> Tensor:
        second = self.work.training and self.work.order == "second"
        state: dict[str, Tensor] = dict(self.network.named_parameters())
        adapted = [name for name in state if self.work.inner == "all" or name.startswith("head.")]
        for _ in range(self.work.steps):
            with torch.enable_grad():
                logits = functional_call(self.network, state, (self.tasks.support[task],))
                loss = F.cross_entropy(logits, self.tasks.support_labels)
                gradients = torch.autograd.grad(loss, [state[name] for name in adapted], create_graph=second)
            steps = zip(adapted, gradients, strict=True)
            state = state | {name: state[name] - INNER_LR * gradient for name, gradient in steps}
        return functional_call(self.network, state, (self.tasks.query[task],))

    def _protonet(self, task: int) -> Tensor:
        support, query = self.tasks.support[task], self.tasks.query[task]
        if self.work.one_batch:
            features = self.network(torch.cat([support, query]))
            of_support, of_query = features[: len(support)], features[len(support) :]
        else:
            of_support, of_query = self.network(support), self.network(query)
        prototypes = of_support.unflatten(0, (self.work.ways, self.work.shots)).mean(1)
        return -(of_query.unsqueeze(1) - prototypes).square().sum(2)
