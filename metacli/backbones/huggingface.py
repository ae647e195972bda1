"""Any network of images on the Hugging Face hub, or in a folder in its form.

`model` is a name on the hub, a folder or an installed package; its config.json says the architecture and its
preprocessor_config.json the side, mean and deviation of images. The features are its pooled output, else its first
token.

    metacli train paradigm=nearest_centroid backbone=huggingface backbone.model=microsoft/resnet-50
"""

import torch
from torch import Tensor, nn

from metacli.errors import UserError
from metacli.layers.plain import Plain
from metacli.pretrained import images
from metacli.pretrained.huggingface import encoder


def huggingface(*, shape: tuple[int, ...], model: str, weights: str, size: int | None, lora: int) -> Plain:
    """x [T, N, C, H, W] -> [T, N, D]. lora: rank, 0 for none."""
    network, folder = encoder(model, weights)
    if getattr(network, "main_input_name", "") != "pixel_values":
        raise UserError(f"backbone.model={model}: not a network of images", "choose one: microsoft/resnet-50")
    usual = images.preprocessor(folder, model)
    return images.backbone(
        Pooled(network),
        shape=shape,
        size=size or usual["size"],
        mean=usual["mean"],
        std=usual["std"],
        lora=lora,
    )


class Pooled(nn.Module):
    """pixel values [N, 3, H, W] -> [N, D]"""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        found = self.network(pixel_values=x)
        pooled = getattr(found, "pooler_output", None)
        if not isinstance(pooled, torch.Tensor):
            pooled = found.last_hidden_state[:, 0]
        return pooled.flatten(1)
