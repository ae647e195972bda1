"""What a network of images was trained to see, put before it: three channels, its own size and scale of colours."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.errors import UserError
from metacli.layers.plain import Plain, add_low_rank
from metacli.layers.rounded import Rounded

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean, standard deviation of each channel


class Seen(Rounded):
    """Images [N, C, H, W] from 0 to 1 -> what `network` makes of them, [N, D].

    Gray images are repeated to three channels, others than size × size are resized, then (x − mean)/std.
    """

    def __init__(self, network: nn.Module, *, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.settings = f"size={size}, mean={tuple(mean)}, std={tuple(std)}"
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def extra_repr(self) -> str:
        return self.settings + self.said()

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-3] == 1:
            x = x.expand(*x.shape[:-3], 3, *x.shape[-2:])
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
        with self.rounding(x):
            found: Tensor = self.network((x - self.mean) / self.std)
        return self.exact(found.flatten(1))


def backbone(
    network: nn.Module,
    *,
    shape: tuple[int, ...],
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    lora: int,
) -> Plain:
    """`network` [N, 3, size, size] -> [N, D] as a backbone for images of `shape`. lora: rank, 0 for none."""
    if shape[0] not in (1, 3):
        raise UserError(
            f"backbone: pretrained networks see gray or RGB images, and these have {shape[0]} channels",
            "features=none, or a backbone that takes any number: backbone=conv4",
        )
    network.eval()
    try:
        with torch.no_grad():
            features = network(torch.zeros(1, 3, size, size)).flatten(1).shape[1]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"backbone.size={size}: this network cannot see images of that side",
            "backbone.size=null is its own",
        ) from error
    if lora:
        add_low_rank(network, lora)
    return Plain(Seen(network, size=size, mean=mean, std=std), features=features)


def preprocessor(folder: Path) -> dict[str, Any]:
    """size, mean and std as a Hugging Face model's folder states them; what it leaves out is usual of ImageNet."""
    file = folder / "preprocessor_config.json"
    said = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    size = said.get("crop_size") or said.get("size") or 224
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    return {
        "size": int(size),
        "mean": said.get("image_mean") or IMAGENET[0],
        "std": said.get("image_std") or IMAGENET[1],
    }
