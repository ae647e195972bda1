"""The machine's matrix-multiply peak: torch's own product of two square matrices."""

import torch

from contest.work import Work

SIDE = {"cpu": 2048, "cuda": 8192}


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        torch.set_num_threads(threads)
        side = SIDE[device.type]
        self.a, self.b, self.product = (torch.rand(side, side, device=device) for _ in range(3))
        self.flops = 10 * 2 * side**3

    def step(self) -> None:
        for _ in range(10):
            torch.mm(self.a, self.b, out=self.product)

    def outcome(self) -> None:
        """Nothing to compare."""
