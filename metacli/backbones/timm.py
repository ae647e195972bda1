"""Any network of timm, with the weights that are published under its name or others.

Images are resized to the side, and scaled by the mean and deviation, that timm states for it; `size` is another side.
Needs the extra timm.

    metacli train paradigm=nearest_centroid backbone=timm backbone.model=vit_small_patch14_dinov2
"""

from typing import Any

from metacli.errors import UserError, suggest
from metacli.layers.plain import Plain
from metacli.pretrained import images
from metacli.pretrained.weights import load


def timm(*, shape: tuple[int, ...], model: str, weights: str, size: int | None, lora: int) -> Plain:
    """x [T, N, C, H, W] -> [T, N, D]. lora: rank, 0 for none."""
    import timm as library
    from timm.layers import set_fused_attn

    known = library.list_models()
    if model.partition(".")[0] not in known:
        raise UserError(f"backbone.model={model}: timm has no such network", suggest(model, known))
    set_fused_attn(False)  # attention as it is defined, which can be differentiated twice
    network = library.create_model(model, pretrained=False, num_classes=0)
    usual: Any = network.pretrained_cfg
    load(network, usual["hf_hub_id"] if weights == "default" else weights, "backbone.weights")
    return images.backbone(
        network,
        shape=shape,
        size=size or usual["input_size"][1],
        mean=usual["mean"],
        std=usual["std"],
        lora=lora,
    )
