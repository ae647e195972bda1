"""Principal components of the meta-train images, as a linear layer: z = (x − μ)Vᵀ/√λ.

Whitened by default: on the images it is fitted to, each number has mean 0 and variance 1. A backbone that takes
vectors gets z as one; one that takes images or sequences gets it row by row as a square, 64 numbers as 8 × 8.

    metacli train features=pca paradigm=fomaml backbone=mlp128
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metacli.data.batches import Batches
from metacli.data.images import ImageSource
from metacli.errors import UserError
from metacli.layers import Linear
from metacli.runtime import generator

IN_MEMORY = 2**26  # numbers; images of more are gone through in parts


class PCA(nn.Module):
    """x [T, N, C, H, W] -> [T, N, *output].

    rate: the layer keeps its weights divided by √rate, so that a step of gradient descent at rate α moves it as one at
    rate · α would: whitened directions differ in scale from all other weights by far.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        output: tuple[int, ...],
        components: int,
        whiten: bool,
        images: int,
        rate: float,
    ) -> None:
        super().__init__()
        self.output = output
        self.whiten = whiten
        self.images = images
        self.scale = rate**0.5
        self.linear = Linear(math.prod(shape), components)
        self._set(self.linear.weight.detach().clone(), torch.zeros(components))

    def forward(self, x: Tensor) -> Tensor:
        return (self.scale * self.linear(x.flatten(2))).unflatten(-1, self.output)

    def fit(self, source: ImageSource, seed: int, train: Callable[..., Any]) -> dict[str, Any]:
        """To `images` of the meta-train classes. What is to be said of it."""
        batches = Batches(source, size=1, held_out=0.0, seed=seed, purpose="features", images=self.images)
        sample = torch.cat([part.query.inputs["x"][0].flatten(1).cpu() for part in batches.every()])
        components = len(self.linear.weight)
        if len(sample) < components:
            raise UserError(
                f"features.components={components}: meta-train has {len(sample)} images",
                f"ask for at most {len(sample)}",
            )
        found = principal(sample.numpy(), components, seed, whiten=self.whiten)
        scales = np.sqrt(found.explained_variance_) if self.whiten else np.ones(components)
        weight = found.components_ / np.maximum(scales, np.finfo(scales.dtype).eps)[:, None]
        self._set(torch.from_numpy(weight), torch.from_numpy(-weight @ found.mean_))
        return {
            "images": len(sample),
            "measured": {"explained_variance": float(found.explained_variance_ratio_.sum())},
        }

    @torch.no_grad()
    def _set(self, weight: Tensor, bias: Tensor) -> None:
        assert self.linear.bias is not None
        self.linear.weight.copy_(weight / self.scale)
        self.linear.bias.copy_(bias / self.scale)


def principal(
    sample: np.ndarray, components: int, seed: int, *, whiten: bool, in_memory: int = IN_MEMORY
) -> Any:
    """scikit-learn's PCA of a sample [n, P], by one thread, so that the number of threads changes no bit."""
    from sklearn import decomposition
    from threadpoolctl import threadpool_limits

    random = int(torch.randint(2**31, (), generator=generator(seed, "features pca")))
    if sample.size <= in_memory:
        exact, solver = sample.astype(np.float64), "randomized"
        method = decomposition.PCA(components, whiten=whiten, svd_solver=solver, random_state=random)
    else:
        exact, size = sample, max(5 * components, 1000)
        method = decomposition.IncrementalPCA(components, whiten=whiten, batch_size=size)
    with threadpool_limits(1):
        return method.fit(exact)
