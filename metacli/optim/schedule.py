"""Learning rates as pure functions of the step, so that no scheduler state has to be saved."""

import math
from typing import Literal

from torch.optim import Optimizer

Schedule = Literal["constant", "cosine", "linear"]


def set_learning_rate(optimizer: Optimizer, lr: float, schedule: Schedule, step: int, steps: int) -> None:
    """`step` counts from 0; cosine and linear reach 0 after the last of `steps`."""
    done = step / steps
    scale = {"constant": 1.0, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done}[schedule]
    for group in optimizer.param_groups:
        group["lr"] = lr * scale
