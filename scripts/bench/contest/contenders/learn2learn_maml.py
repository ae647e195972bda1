"""learn2learn's MAML, used as its examples use it; at evaluation without the second-order graph that nobody needs."""

import torch
import torch.nn.functional as F
from learn2learn.algorithms.maml import MAML
from torch import Tensor

from contest.network import build
from contest.tasks import flat, random_tasks
from contest.work import INNER_LR, OUTER_LR, Work


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        torch.set_num_threads(threads)
        self.work = work
        self.tasks = random_tasks(work, device, dtype)
        first = work.order == "first" or not work.training
        self.maml = MAML(build(work).to(device, dtype), lr=INNER_LR, first_order=first)
        self.optimizer = torch.optim.Adam(self.maml.parameters(), lr=OUTER_LR)
        self.logits: list[Tensor] = []

    def step(self) -> None:
        if not self.work.training:
            self.logits = [self._evaluate(task) for task in range(len(self.tasks))]
            return
        self.optimizer.zero_grad()
        for task in range(len(self.tasks)):
            learner = self._adapted(task)
            loss = F.cross_entropy(learner(self.tasks.query[task]), self.tasks.query_labels)
            (loss / len(self.tasks)).backward()
        self.optimizer.step()

    def outcome(self) -> Tensor:
        return flat([p.grad for p in self.maml.parameters()] if self.work.training else self.logits)

    def _evaluate(self, task: int) -> Tensor:
        learner = self._adapted(task)
        with torch.no_grad():
            return learner(self.tasks.query[task])

    def _adapted(self, task: int) -> MAML:
        learner = self.maml.clone()
        for _ in range(self.work.steps):
            learner.adapt(F.cross_entropy(learner(self.tasks.support[task]), self.tasks.support_labels))
        return learner
