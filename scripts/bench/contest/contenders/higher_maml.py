"""MAML through `higher`, as its example has it: a differentiable SGD on a patched copy of the network."""

import higher
import torch
import torch.nn.functional as F
from torch import Tensor

from contest.network import build
from contest.tasks import flat, random_tasks
from contest.work import INNER_LR, OUTER_LR, Work


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        torch.set_num_threads(threads)
        self.work = work
        self.tasks = random_tasks(work, device, dtype)
        self.network = build(work).to(device, dtype)
        self.inner = torch.optim.SGD(self.network.parameters(), lr=INNER_LR)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=OUTER_LR)

    def step(self) -> None:
        self.optimizer.zero_grad()
        for task in range(len(self.tasks)):
            with higher.innerloop_ctx(self.network, self.inner, copy_initial_weights=False) as (
                network,
                inner,
            ):
                for _ in range(self.work.steps):
                    inner.step(F.cross_entropy(network(self.tasks.support[task]), self.tasks.support_labels))
                loss = F.cross_entropy(network(self.tasks.query[task]), self.tasks.query_labels)
                (loss / len(self.tasks)).backward()
        self.optimizer.step()

    def outcome(self) -> Tensor:
        return flat([p.grad for p in self.network.parameters() if p.grad is not None])
