"""easyfsl's ProtoNet. Its scores are −‖z − c‖; their square is taken here, which is the paper's."""

import torch
import torch.nn.functional as F
from easyfsl.methods import PrototypicalNetworks
from torch import Tensor

from contest.network import build
from contest.tasks import flat, random_tasks
from contest.work import OUTER_LR, Work


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        torch.set_num_threads(threads)
        self.work = work
        self.tasks = random_tasks(work, device, dtype)
        self.model = PrototypicalNetworks(build(work)).to(device, dtype).train(work.training)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=OUTER_LR)
        self.logits: list[Tensor] = []

    def step(self) -> None:
        if not self.work.training:
            with torch.no_grad():
                self.logits = [self._predict(task) for task in range(len(self.tasks))]
            return
        self.optimizer.zero_grad()
        for task in range(len(self.tasks)):
            loss = F.cross_entropy(self._predict(task), self.tasks.query_labels)
            (loss / len(self.tasks)).backward()
        self.optimizer.step()

    def outcome(self) -> Tensor:
        return flat([p.grad for p in self.model.parameters()] if self.work.training else self.logits)

    def _predict(self, task: int) -> Tensor:
        self.model.process_support_set(self.tasks.support[task], self.tasks.support_labels)
        return -self.model(self.tasks.query[task]).square()
