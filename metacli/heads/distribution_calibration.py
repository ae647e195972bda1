"""Distribution calibration: features drawn around each support item, with the spread of meta-train classes near it.

Yang, Liu & Xu, "Free Lunch for Few-Shot Learning: Distribution Calibration", ICLR 2021. Support and queries are
raised to the power 1/2 (Tukey), so that features have to be 0 or more. The mean of a support item is averaged with
those of the two nearest meta-train classes, whose covariances are averaged and raised by 0.21; of that normal
distribution 750 / shots features are drawn, and logistic regression is fitted to all. The same random numbers serve
every task, which is ours: so a task's answer depends on nothing but the task.

    metacli train paradigm=simpleshot head=distribution_calibration
"""

import torch
from torch import Tensor, nn

from metacli.episode import Examples, State
from metacli.errors import UserError
from metacli.heads.base import BaseStatistics
from metacli.heads.logistic import logistic_regression
from metacli.runtime import generator


class DistributionCalibration(nn.Module):
    """samples: drawn for each class · nearest: meta-train classes · spread: what is added to each number of the
    covariance · power: Tukey's. State: `weights` [T, W, D] and `bias` [T, W]."""

    def __init__(
        self, *, features: int, train_classes: int, samples: int, nearest: int, spread: float, power: float
    ) -> None:
        super().__init__()
        self.samples = samples
        self.nearest = min(nearest, train_classes)
        self.spread = spread
        self.power = power
        self.base = BaseStatistics(classes=train_classes, features=features, per_class=True)

    def fit(self, features: Tensor, support: Examples) -> State:
        x = self._transformed(features)
        counted = support.mask & (support.labels >= 0)
        drawn = self.draw(x, self.samples * support.ways // support.labels.shape[1])  # [T, N, S, D]
        fitted = [
            logistic_regression(
                torch.cat([x[t][own], drawn[t][own].flatten(0, 1)]),
                torch.cat([y[own], y[own].repeat_interleave(drawn.shape[2])]),
                support.ways,
            )
            for t, (y, own) in enumerate(zip(support.labels, counted, strict=True))
        ]
        weights, bias = zip(*fitted, strict=True)
        return {"weights": torch.stack(weights), "bias": torch.stack(bias)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        return self._transformed(features) @ state["weights"].transpose(1, 2) + state["bias"].unsqueeze(1)

    def calibrated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [T, N, D] -> mean [T, N, D] and covariance [T, N, D, D] of the distribution of each item's class."""
        distance = torch.cdist(x, self.base.means.expand(len(x), -1, -1))  # [T, N, C]
        near = distance.topk(self.nearest, largest=False).indices  # [T, N, nearest]
        mean = (self.base.means[near].sum(2) + x) / (self.nearest + 1)
        return mean, self.base.covariances[near].mean(2) + self.spread

    def draw(self, x: Tensor, count: int) -> Tensor:
        """`count` features around each item, [T, N, count, D]."""
        mean, covariance = self.calibrated(x)
        sizes, axes = torch.linalg.eigh(covariance)
        root = axes * sizes.clamp(min=0).sqrt().unsqueeze(-2)  # root · rootᵀ = covariance
        noise = torch.randn(x.shape[1], count, x.shape[2], generator=generator(0, "distribution calibration"))
        return mean.unsqueeze(2) + noise.to(x) @ root.transpose(-1, -2)

    def _transformed(self, features: Tensor) -> Tensor:
        if (features < 0).any():
            raise UserError(
                "head=distribution_calibration: a feature is negative, and has no power",
                "choose a backbone that ends in a ReLU (conv4, conv4_stride, resnet12), or head=logreg",
            )
        return features**self.power
