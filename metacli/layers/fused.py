"""Layers that are cheaper together than one after the other."""

from torch import Tensor, nn

from metacli.kernels.first_layer import normalised_convolution
from metacli.layers.affine import Conv2d
from metacli.layers.norm import BatchNorm

# Folding pays while a patch has few values: gray and colour images.
FOLDED_CHANNELS = 3


def conv_norm(conv: Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """norm(conv(x)); where x is data and the norm takes batch statistics, as one product."""
    foldable = isinstance(norm, BatchNorm) and norm.takes_batch_statistics and conv.bias is None
    if not foldable or x.requires_grad or x.shape[-1] > FOLDED_CHANNELS:
        return norm(conv(x))
    assert isinstance(norm, BatchNorm)
    tasks = len(x)
    weight = conv.weight if conv.weight.dim() == 5 else conv.weight.expand(tasks, *conv.weight.shape)
    out, mean, variance = normalised_convolution(
        x,
        weight,
        norm.weight.expand(tasks, -1),
        norm.bias.expand(tasks, -1),
        stride=conv.stride,
        padding=conv.padding,
        eps=norm.eps,
        relu=norm.relu,
    )
    norm.record(mean, variance)
    return out
