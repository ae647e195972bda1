"""What is known of the features of the meta-train ("base") classes, for heads that read it (CL2N, distribution
calibration): a part of the learner, measured once, when the backbone has been fitted and pretrained."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class BaseStatistics(nn.Module):
    """Buffers: mean [D] over all images; means [C, D] of each class and covariances [C, D, D], where `per_class`.

    Zeros until they are measured. covariances: with C·D² numbers they are large; divided by n − 1.
    """

    def __init__(self, *, classes: int, features: int, per_class: bool) -> None:
        super().__init__()
        self.mean: Tensor
        self.means: Tensor
        self.covariances: Tensor
        rows = classes if per_class else 0
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("means", torch.zeros(rows, features))
        self.register_buffer("covariances", torch.zeros(rows, features, features))

    def measure(self, parts: Iterable[tuple[Tensor, Tensor]]) -> None:
        """parts: features [N, D] of images, and the places of their classes [N]."""
        features, labels = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        exact = features.double()
        self.mean.copy_(exact.mean(0))
        for place in range(len(self.means)):
            own = exact[labels == place]
            self.means[place] = own.mean(0)
            centred = own - own.mean(0)
            self.covariances[place] = centred.T @ centred / max(len(own) - 1, 1)
