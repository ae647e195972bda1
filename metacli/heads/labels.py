"""Labels as rows of numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from metacli.episode import Examples


def one_hot(examples: Examples, dtype: torch.dtype) -> Tensor:
    """[T, N, W]; zeros where a label does not count."""
    counted = examples.mask & (examples.labels >= 0)
    return F.one_hot(examples.labels.clamp(min=0), examples.ways).to(dtype) * counted.unsqueeze(-1)
