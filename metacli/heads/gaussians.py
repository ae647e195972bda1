"""Words as Gaussians, and the loss that draws those of one tag together.

Das, Katiyar, Passonneau & Zhang, "CONTaiNER: Few-Shot Named Entity Recognition via Contrastive Learning", ACL 2022, §3.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEAST = 1e-14  # of a variance, as in the authors' code


class Gaussians(nn.Module):
    """States [..., H] -> [..., 2d]: the means of a Gaussian, then its variances."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, size)
        self.variance = nn.Linear(features, size)

    def forward(self, states: Tensor) -> Tensor:
        states = states.relu()
        return torch.cat([self.mean(states), F.elu(self.variance(states)) + 1 + _LEAST], -1)


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """½ KL(p‖q) + ½ KL(q‖p), by one matrix product. [T, M, 2d], [T, S, 2d] -> [T, M, S]"""
    mean, spread = one.chunk(2, -1)  # ¼ Σ (u + m²)/v + (v + n²)/u − 2mn (1/u + 1/v) + m²/u + n²/v − 2
    centre, width = other.chunk(2, -1)
    left = [spread + mean.square(), 1 / spread, mean, mean / spread]
    right = [1 / width, width + centre.square(), -2 * centre / width, -2 * centre]
    both = torch.cat(left, -1) @ torch.cat(right, -1).transpose(1, 2)
    own = (mean.square() / spread).sum(-1).unsqueeze(2) + (centre.square() / width).sum(-1).unsqueeze(1)
    return (both + own - 2 * mean.shape[-1]) / 4


def contrast(near: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """−log₂ of how much of e^near a word's partners have among all others, divided by how many they are; the mean over
    words that have some, [T]. near [T, M, M], labels [T, M], counted [T, M] bool.
    """
    others = counted.unsqueeze(1) & ~torch.eye(near.shape[1], dtype=torch.bool, device=near.device)
    partners = others & (labels.unsqueeze(1) == labels.unsqueeze(2))
    number = partners.sum(2)  # [T, M]
    least = torch.finfo(near.dtype).min
    among_all, among_partners = (
        near.masked_fill(~chosen, least).logsumexp(2) for chosen in (others, partners)
    )
    losses = (among_all - among_partners + number.clamp(min=1).log()) / math.log(2)
    anchors = counted & (number > 0)
    return losses.where(anchors, 0.0).sum(1) / anchors.sum(1).clamp(min=1)
