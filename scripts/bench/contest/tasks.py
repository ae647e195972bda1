"""The tasks: random images, the same for every contender."""

from dataclasses import dataclass

import torch
from torch import Tensor

from contest.work import Work


@dataclass(frozen=True)
class Tasks:
    """support, query [T, N, C, H, W] · their labels [N], the same in every task: class by class."""

    support: Tensor
    query: Tensor
    support_labels: Tensor
    query_labels: Tensor

    def __len__(self) -> int:
        return len(self.support)


def random_tasks(work: Work, device: torch.device, dtype: torch.dtype = torch.float32) -> Tasks:
    source = torch.Generator().manual_seed(0)

    def images(each: int) -> Tensor:
        drawn = torch.rand(work.tasks, work.ways * each, *work.shape, generator=source)
        return drawn.to(device, dtype)

    def labels(each: int) -> Tensor:
        return torch.arange(work.ways, device=device).repeat_interleave(each)

    return Tasks(images(work.shots), images(work.queries), labels(work.shots), labels(work.queries))


def flat(tensors: list[Tensor]) -> Tensor:
    """One vector of doubles, to compare."""
    return torch.cat([tensor.detach().cpu().double().flatten() for tensor in tensors])
