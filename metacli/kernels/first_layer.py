"""Convolution, batch norm and ReLU of data (no gradient to the input), folded into one matrix product.

Of y = w·p over patches p, the batch mean is w·mean(p) and the variance wᵀ·cov(p)·w: both come from the few
numbers of a small patch, never from the large map y. So normalising costs nothing on the largest activation of
the network, in either derivative.

patches [T, M, P]: M = items × output positions, P = S·S·C · w [T, K, P] · γ, β [T, K] · out [T, M, K].
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from metacli.kernels.convolution import Geometry, patches_of


def normalised_convolution(
    x: Tensor, w: Tensor, gamma: Tensor, beta: Tensor, *, stride: int, padding: int, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, N, H, W, C], w [T, K, S, S, C] -> [T, N, H', W', K], and the batch mean and variance of it, [T, K]."""
    geometry = Geometry(stride, padding, w.shape[2])
    patches = patches_of(x, geometry)
    tasks, size, values = patches.shape
    w = w.flatten(2)
    centre = patches.mean(1, keepdim=True)
    centred = patches.new_ones(
        tasks, size, values + 1
    )  # of the mean no more than β is left, for the last column
    spread = torch.sub(patches, centre, out=centred[:, :, :-1])
    # Image by image: in float32 one sum over all rows loses two digits more.
    images = spread.unflatten(1, (x.shape[1], -1)).flatten(0, 1)  # [T·N, H'·W', P]
    products = torch.bmm(images.transpose(1, 2), images)
    covariance = products.unflatten(0, x.shape[:2]).sum(1) / size  # [T, P, P]
    mean = (w * centre).sum(2)
    variance = ((w @ covariance) * w).sum(2)
    scale = gamma * (variance + eps).rsqrt()
    folded = torch.cat([w * scale.unsqueeze(2), beta.unsqueeze(2)], 2)  # [T, K, P + 1]
    out = _Product.apply(centred, folded, relu)
    positions = (x.shape[1], geometry.output(x.shape[2]), geometry.output(x.shape[3]))
    return out.unflatten(1, positions), mean, variance


class _Product(Function):
    """relu(patches · wᵀ); differentiable in w as often as wanted."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, w: Tensor, relu: bool) -> Tensor:
        product = torch.bmm(patches, w.transpose(1, 2))
        tasks, size, outputs = product.shape
        out = product.new_empty(size, tasks, outputs).transpose(0, 1)  # tasks beside channels: see layout
        if relu:
            torch.clamp_min(product, 0, out=out)
        else:
            out.copy_(product)
        ctx.save_for_backward(patches, out)
        ctx.relu = relu
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        patches, out = ctx.saved_tensors
        return None, _ProductGradient.apply(g, patches, out.detach(), ctx.relu), None


class _ProductGradient(Function):
    """(relu'·g)ᵀ · patches, linear in g; `out` only says where the ReLU was open."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, patches: Tensor, out: Tensor, relu: bool) -> Tensor:
        ctx.save_for_backward(patches, out)
        ctx.relu = relu
        if relu:
            g = torch.ops.aten.threshold_backward(g, out, 0)
        # This way round the product is three times faster: P is small, M is not.
        return torch.bmm(patches.transpose(1, 2), g).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        patches, out = ctx.saved_tensors
        g = _Product.apply(patches, u, False)
        if ctx.relu:
            g = torch.ops.aten.threshold_backward(g, out, 0)
        return g, None, None, None
