"""What a network of images was trained to see, put before it: three channels, its own size and scale of colours."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.errors import UserError
from metacli.layers.plain import Plain, add_low_rank
from metacli.layers.rounded import Rounded
from metacli.letters import brief

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


def preprocessor(folder: Path, model: str) -> dict[str, Any]:
    """size, mean and std as a Hugging Face model's folder states them; what it leaves out is usual of ImageNet.

    model: the setting backbone.model, for errors.
    """
    file = folder / "preprocessor_config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        size = said.get("crop_size") or said.get("size") or 224
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"backbone.model={model}: {file} is not JSON with settings by name",
            "mend it, or delete it: then images are seen as is usual of ImageNet, 224 pixels a side",
        ) from error
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    found = {
        "size": size,
        "image_mean": said.get("image_mean") or IMAGENET[0],
        "image_std": said.get("image_std") or IMAGENET[1],
    }
    for name, (fits, usual) in _FIT.items():
        if not fits(found[name]):
            raise UserError(
                f"backbone.model={model}: {file} has {name}={brief(found[name])}, where {usual} is meant",
                "mend it there, or delete that line for what is usual of ImageNet",
            )
    return {"size": int(size), "mean": found["image_mean"], "std": found["image_std"]}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_colour(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) in (1, 3) and all(map(_is_number, value))


# What a preprocessor says -> whether a value may be that, and in words.
_FIT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "size": (lambda value: _is_number(value) and value >= 1, "a side in pixels"),
    "image_mean": (_is_colour, "a number for each of 3 channels"),
    "image_std": (
        lambda value: _is_colour(value) and min(value) > 0,
        "a number above 0 for each of 3 channels",
    ),
}
