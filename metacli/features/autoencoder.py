"""The encoder of a denoising autoencoder, fitted to the meta-train images: convolutions of stride 2.

A backbone that takes vectors gets the code of `dim` numbers; one that takes images gets the last map, before the code
(28 pixels: 64 × 4 × 4), and one that takes sequences reads the places of that map as steps (16 of 64 channels). There
is no batch norm, so `bn_mode` says nothing of it.

    metacli train features=autoencoder paradigm=fomaml backbone=cnn64
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.data.batches import Batches
from metacli.data.images import ImageSource
from metacli.episode import Episode, TaskSpec
from metacli.errors import UserError
from metacli.layers import Conv2d, Linear, channels_last
from metacli.learner import Learner
from metacli.runtime import seeded

Loss = Literal["bce", "mse"]


Form = Literal["vector", "image", "sequence"]


class Encoder(nn.Module):
    """x [T, N, C, H, W] -> [T, N, D], the map as an image [T, N, K, H', W'], or as a sequence [T, N, 1, H'·W', K].

    form: which of these · widths: channels of each convolution · dim: D · the rest: how it is fitted.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        form: Form,
        widths: Sequence[int],
        dim: int,
        loss: Loss,
        noise: float,
        images: int,
        epochs: int,
        batch: int,
        held_out: float,
        lr: float,
    ) -> None:
        super().__init__()
        self.form = form
        self.dim = dim
        self.loss: Loss = loss
        self.noise = noise
        self.images = images
        self.epochs = epochs
        self.batch = batch
        self.held_out = held_out
        self.lr = lr
        self.channels = [shape[0], *widths]
        self.sides = [shape[1:]]  # of each map
        for _ in widths:
            height, width = self.sides[-1]
            self.sides.append(((height + 1) // 2, (width + 1) // 2))
        self.convolutions = nn.ModuleList(
            Conv2d(inputs, outputs, kernel=3, stride=2, padding=1, bias=True)
            for inputs, outputs in itertools.pairwise(self.channels)
        )
        # Where the map is what the backbone gets, the code is no part of the network.
        self.code = self.new_code() if form == "vector" else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.map(x)
        if self.code is not None:
            return self.code(x.flatten(2))
        return x.flatten(2, 3).unsqueeze(2) if self.form == "sequence" else x.permute(0, 1, 4, 2, 3)

    def map(self, x: Tensor) -> Tensor:
        """[T, N, H', W', K]"""
        x = channels_last(x)
        for convolution in self.convolutions:
            x = convolution(x).relu()
        return x

    def new_code(self) -> Linear:
        return Linear(self.channels[-1] * math.prod(self.sides[-1]), self.dim)

    def fit(self, source: ImageSource, seed: int, train: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        """To images of the meta-train classes, by Adam; those of the epoch that restores the held-out images best are
        kept. train: see `Stages`. What is to be said of it."""
        batches = Batches(
            source,
            size=self.batch,
            held_out=self.held_out,
            seed=seed,
            purpose="features",
            images=self.images,
        )
        if not len(batches.held_out_rows):
            raise UserError(
                f"features.held_out={self.held_out}: that is none of {len(batches.rows)} images",
                "hold out more, to tell the best epoch by",
            )
        with seeded(seed, "decoder weights"):
            learner = Denoising(self).to(source.device)
        return train(
            learner,
            batches,
            optimizer=torch.optim.Adam(learner.parameters()),
            rate={"lr": self.lr, "schedule": "constant"},
            epochs=self.epochs,
            metric="reconstruction",
            validate=lambda: learner.errors(batches.held_out()),
        )


class Denoising(Learner):
    """The encoder with a decoder: it learns to restore images from themselves with noise."""

    def __init__(self, encoder: Encoder) -> None:
        channels, sides = encoder.channels[::-1], encoder.sides[::-1]
        super().__init__(TaskSpec("regress", (channels[-1], *sides[-1]), outputs=0))
        self.encoder = encoder
        self.own_code = encoder.new_code() if encoder.code is None else None
        self.map = (channels[0], *sides[0])
        self.start = nn.Linear(encoder.dim, math.prod(self.map))
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(
                *pair,
                kernel_size=3,
                stride=2,
                padding=1,
                output_padding=((height + 1) % 2, (width + 1) % 2),  # whether the side was even
            )
            for pair, (height, width) in zip(itertools.pairwise(channels), sides[1:], strict=True)
        )

    def begin_step(self, step: int, steps: int, generator: torch.Generator) -> None:
        self.random = generator

    def meta_loss(self, episode: Episode) -> Tensor:
        x = episode.query.inputs["x"]
        noise = torch.randn(x.shape, generator=self.random).to(x.device)
        logits = self._restored(x + self.encoder.noise * noise)
        if self.encoder.loss == "bce":
            losses = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        else:
            losses = (logits.sigmoid() - x).square()
        return losses.flatten(1).mean(1)

    @torch.no_grad()
    def errors(self, parts: Iterator[Episode]) -> list[float]:
        """Mean squared error of each image, restored from itself as it is."""
        found = []
        for part in parts:
            x = part.query.inputs["x"]
            found += (self._restored(x).sigmoid() - x).square().flatten(2).mean(2).flatten().tolist()
        return found

    def _restored(self, x: Tensor) -> Tensor:
        """Logits, [T, N, C, H, W]."""
        code = self.own_code or self.encoder.code
        assert code is not None
        maps = self.start(code(self.encoder.map(x).flatten(2))).flatten(0, 1).unflatten(1, self.map)
        for layer in self.decoder[:-1]:
            maps = layer(maps).relu()
        return self.decoder[-1](maps).unflatten(0, x.shape[:2])
