"""The networks as a user of torch writes them; every contender starts from the same weights.

The order of the parameters is metacli's.
"""

import itertools

import torch
from torch import Tensor, nn

from contest.work import Work


def build(work: Work) -> nn.Module:
    """Images [N, C, H, W] -> logits for MAML, features for ProtoNet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        metric = work.method == "protonet"
        backbone, features = _backbone(work, tracks=metric)
        network = nn.Sequential()
        network.add_module("backbone", backbone)
        network.add_module("head", nn.Identity() if metric else nn.Linear(features, work.ways))
        return network


def _backbone(work: Work, *, tracks: bool) -> tuple[nn.Module, int]:
    """tracks: collect running statistics, and use them in eval mode."""
    channels, size, _ = work.shape
    widths = [channels] + [work.width] * 4
    pairs = list(itertools.pairwise(widths))
    if work.backbone == "resnet12":
        residuals = [Residual(inputs, outputs, tracks) for inputs, outputs in pairs]
        return nn.Sequential(*residuals, Mean()), work.width
    pools = work.backbone == "conv4_max_pool"
    blocks = [
        nn.Sequential(
            *convolved(inputs, outputs, kernel=3, stride=1 if pools else 2, tracks=tracks),
            nn.ReLU(),
            nn.MaxPool2d(2) if pools else nn.Identity(),
        )
        for inputs, outputs in pairs
    ]
    last = nn.Flatten() if pools else Mean()
    return nn.Sequential(*blocks, last), work.width * (size // 16) ** 2 if pools else work.width


class Residual(nn.Module):
    """A block of ResNet-12."""

    def __init__(self, inputs: int, outputs: int, tracks: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(*convolved(inputs, outputs, tracks=tracks), nn.LeakyReLU(0.1))
        self.second = nn.Sequential(*convolved(outputs, outputs, tracks=tracks), nn.LeakyReLU(0.1))
        self.third = nn.Sequential(*convolved(outputs, outputs, tracks=tracks))
        self.shortcut = nn.Sequential(*convolved(inputs, outputs, kernel=1, tracks=tracks))
        self.end = nn.Sequential(nn.LeakyReLU(0.1), nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.third(self.second(self.first(x))) + self.shortcut(x))


class Mean(nn.Module):
    """Over the last map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def convolved(
    inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, tracks: bool
) -> tuple[nn.Module, nn.Module]:
    """Before batch norm a bias would cancel, so there is none."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.xavier_uniform_(conv.weight)
    return conv, nn.BatchNorm2d(outputs, track_running_stats=tracks)
