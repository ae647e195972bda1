"""Ordinary-looking layers with a task axis: activations [T, N, ..., C], weights shared or one set a task.

`torch.func.functional_call` hands a layer the weights of each task ([T, ...] instead of [...]); the layer
sees the extra axis and computes all tasks at once. Channels come last, which is what the kernels like.
"""

from metacli.layers.affine import Conv2d, Linear
from metacli.layers.cosine import CosineLinear
from metacli.layers.fused import conv_norm
from metacli.layers.norm import BatchNorm, GroupNorm, NoNorm, normalisation
from metacli.layers.passes import Passes
from metacli.layers.pooling import channels_last, max_pool
from metacli.layers.recurrent import LSTMCell, Recurrent
from metacli.layers.staged import Staged, recorded

__all__ = [
    "BatchNorm",
    "Conv2d",
    "CosineLinear",
    "GroupNorm",
    "LSTMCell",
    "Linear",
    "NoNorm",
    "Passes",
    "Recurrent",
    "Staged",
    "channels_last",
    "conv_norm",
    "max_pool",
    "normalisation",
    "recorded",
]
