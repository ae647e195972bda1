"""Any network of torchvision that classifies images, with the weights that torchvision publishes or others.

`weights=default` is the best that torchvision has for it, downloaded once. Images are resized to the side, and scaled
by the mean and deviation, that those weights were trained with; `size` is another side. The last layer, which tells
ImageNet's classes apart, is left out.

    metacli train paradigm=nearest_centroid backbone=resnet18 dataset=imagefolder dataset.root=photos/
    metacli train paradigm=nearest_centroid backbone=torchvision backbone.model=convnext_tiny
"""

from typing import Any

from torch import Tensor, nn

from metacli.errors import UserError, suggest
from metacli.layers.plain import Plain
from metacli.pretrained import images
from metacli.pretrained.weights import fit, load, not_there

KEY = "backbone.weights"


def torchvision(*, shape: tuple[int, ...], model: str, weights: str, size: int | None, lora: int) -> Plain:
    """x [T, N, C, H, W] -> [T, N, D]. lora: rank, 0 for none."""
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise UserError(f"backbone.model={model}: torchvision has no such classifier", suggest(model, known))
    best = models.get_model_weights(model).DEFAULT
    usual = best.transforms()
    network = models.get_model(
        model, **({"init_weights": True} if model in ("googlenet", "inception_v3") else {})
    )
    _without_classifier(network, model)
    if weights == "default":
        fit(network, _published(best), best)
    else:
        load(network, weights, KEY)
    return images.backbone(
        network, shape=shape, size=size or usual.crop_size[0], mean=usual.mean, std=usual.std, lora=lora
    )


def _published(best: Any) -> dict[str, Tensor]:
    try:
        return best.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:
        raise not_there(f"default ({best})", KEY, error) from error


def _without_classifier(network: nn.Module, model: str) -> None:
    """Its last linear layer hands on what it is given."""
    name = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, nn.Identity())
