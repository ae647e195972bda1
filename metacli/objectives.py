"""Loss and decoding for each task kind. Losses are per task, [T]: callers choose how to average tasks."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from metacli.episode import Examples, Kind

ABSENT = -1e4  # the logit of what a support set has no example of

Objective = Callable[[Tensor, Examples], Tensor]


def objective(kind: Kind) -> Objective:
    """(outputs, examples) -> mean loss of each task, [T]."""
    return {"classify": cross_entropy, "regress": squared_error, "tag": word_cross_entropy}[kind]


def cross_entropy(logits: Tensor, examples: Examples) -> Tensor:
    """Mean cross-entropy over the labels that count. logits [T, N, W] -> [T]."""
    losses = F.cross_entropy(
        logits.flatten(0, 1), examples.labels.flatten(), ignore_index=-1, reduction="none"
    )
    counts = (examples.mask & (examples.labels >= 0)).to(losses.dtype)  # [T, N]
    return (losses.view_as(counts) * counts).sum(1) / counts.sum(1)


def word_cross_entropy(logits: Tensor, examples: Examples) -> Tensor:
    """Mean cross-entropy over the words that count and whose tag can be answered. logits [T, N, L, K] -> [T]."""
    losses = F.cross_entropy(
        logits.flatten(0, 2), examples.labels.flatten(), ignore_index=-1, reduction="none"
    )
    own = logits.gather(-1, examples.labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    counts = examples.mask & (examples.labels >= 0) & (own > ABSENT)  # [T, N, L]
    losses = losses.view_as(own).where(counts, 0.0)
    return losses.sum((1, 2)) / counts.sum((1, 2)).clamp(min=1)


def squared_error(outputs: Tensor, examples: Examples) -> Tensor:
    """Mean squared error over the items that count and their K numbers. outputs [T, N, K] -> [T]."""
    errors = (outputs - examples.labels).square().mean(2)
    counts = examples.mask.to(errors.dtype)  # [T, N]
    return (errors * counts).sum(1) / counts.sum(1)


def decode(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted label and its probability. logits [T, N, W] -> ([T, N], [T, N])."""
    confidence, label = logits.softmax(-1).max(-1)
    return label, confidence
