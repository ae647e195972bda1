"""Tokens of texts whose embeddings are displaced.

Texts are ids of tokens [..., L], −1 = padding. Displaced they are floats [..., L, 1 + H]: of each token its id, and
what is to be added to its embedding of H numbers. So the embeddings stay those of the network, and are trained with it.
"""

import torch
from torch import Tensor


def displaced(ids: Tensor, by: Tensor) -> Tensor:
    """ids [..., L], by [..., L, H] -> [..., L, 1 + H]"""
    return torch.cat([ids.unsqueeze(-1).to(by.dtype), by], -1)


def placed(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Texts in either form as ids [..., L], and by what they are displaced [..., L, H]."""
    if not x.is_floating_point():
        return x, None
    return x[..., 0].long(), x[..., 1:]


def alike(x: Tensor, other: Tensor) -> Tensor:
    """`x` in the form of `other`: displaced by nothing where that is displaced."""
    if other.dim() == x.dim():
        return x
    return displaced(x, other.new_zeros(*x.shape, other.shape[-1] - 1))
