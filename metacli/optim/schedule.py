"""Learning rates as pure functions of the step, so that no scheduler state has to be saved."""

import math
from typing import Literal

from torch.optim import Optimizer

Schedule = Literal["constant", "cosine"]


def set_learning_rate(optimizer: Optimizer, lr: float, schedule: Schedule, step: int, steps: int) -> None:
    """`step` counts from 0; cosine reaches 0 after the last of `steps`."""
    scale = 0.5 * (1 + math.cos(math.pi * step / steps)) if schedule == "cosine" else 1.0
    for group in optimizer.param_groups:
        group["lr"] = lr * scale
