"""Normalisation layers: batch (statistics of each task's own batch), group, layer, none.

Each applies ReLU after it when told so, because the two fuse.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.kernels.normalisation import batch_norm
from metacli.layers.staged import Staged

NormKind = Literal["batch", "group", "layer", "none"]


def normalisation(kind: NormKind, channels: int, *, relu: bool = True) -> nn.Module:
    """A normalisation layer, followed by ReLU unless told otherwise."""
    match kind:
        case "batch":
            return BatchNorm(channels, relu=relu)
        case "group":
            return GroupNorm(channels, groups=math.gcd(8, channels), relu=relu)
        case "layer":
            return GroupNorm(channels, groups=1, relu=relu)
        case "none":
            return NoNorm(relu=relu)


class BatchNorm(Staged):
    """x [T, N, ..., C], normalised with the statistics of each task's own N items.

    Running statistics [C] are used instead where `tracks` is set and the module is in eval mode, and
    statistics of each task [T, C] wherever they are handed in. weight, bias [C] or [T, C].
    """

    def __init__(self, channels: int, *, relu: bool, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.relu = relu
        self.momentum = momentum
        self.eps = eps
        self.tracks = False
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.takes_batch_statistics:
            return self._with_stored_statistics(x)
        tasks = len(x)
        out, mean, variance = batch_norm(
            x, self.weight.expand(tasks, -1), self.bias.expand(tasks, -1), self.eps, self.relu
        )
        if self.recorder is not None and self.recorder.differentiable:
            variance, mean = torch.var_mean(x.flatten(1, -2), 1, correction=0)
        self.record(mean, variance)
        return out

    @property
    def takes_batch_statistics(self) -> bool:
        return self.running_mean.dim() == 1 and not (self.tracks and not self.training)

    def commit(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, where they are used, towards those of a step: mean over its tasks [T, C]."""
        if not self.tracks:
            return
        self.running_mean.lerp_(mean.mean(0), self.momentum)
        self.running_var.lerp_(variance.mean(0), self.momentum)

    def _with_stored_statistics(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        scale, shift = (_broadcast(tensor, x.dim()) for tensor in (scale, shift))
        y = torch.addcmul(shift, x, scale)
        return y.relu() if self.relu else y


class GroupNorm(nn.Module):
    """Normalises each item over its positions and groups of channels: no item sees another."""

    def __init__(self, channels: int, *, groups: int, relu: bool, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups = groups
        self.relu = relu
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        items = x.flatten(0, 1).movedim(-1, 1)
        y = F.group_norm(items, self.groups, eps=self.eps).movedim(1, -1).view_as(x)
        y = torch.addcmul(_broadcast(self.bias, x.dim()), y, _broadcast(self.weight, x.dim()))
        return y.relu() if self.relu else y


class NoNorm(nn.Module):
    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if self.relu else x


def _broadcast(tensor: Tensor, dims: int) -> Tensor:
    """[C] or [T, C] -> [T or 1, 1, ..., C]."""
    return tensor.reshape(-1, *[1] * (dims - 2), tensor.shape[-1])
