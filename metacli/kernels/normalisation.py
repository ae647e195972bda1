"""Batch normalisation over each task's own batch, fused with ReLU, with analytic first and second backward.

torch's native batch norm under `vmap(grad(...))` gives wrong second-order gradients, and composed from
elementwise operations it is several times slower. y [T, M, C]: M = items × positions; γ, β [T, 1, C].
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def batch_norm(
    y: Tensor, gamma: Tensor, beta: Tensor, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the normalised y and, without gradients, its mean and biased variance, [T, C]."""
    return _BatchNorm.apply(y, gamma, beta, eps, relu)


class _BatchNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, gamma: Tensor, beta: Tensor, eps: float, relu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean = y.mean(1, keepdim=True)
        normal = y - mean
        out = normal.square()  # for now; torch adds a mean up pairwise, a vector_norm one by one
        variance = out.mean(1, keepdim=True)
        scale = (variance + eps).rsqrt_()  # 1/σ
        normal.mul_(scale)
        torch.addcmul(beta, normal, gamma, out=out)
        if relu:
            out.relu_()
        ctx.save_for_backward(y, gamma, normal, scale, out if relu else None)  # says where the ReLU was open
        ctx.relu = relu
        mean, variance = mean.squeeze(1), variance.squeeze(1)
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, g: Tensor, _mean: Tensor, _variance: Tensor) -> tuple[Tensor | None, ...]:
        y, gamma, normal, scale, out = ctx.saved_tensors
        return *_BatchNormBackward.apply(g, y, gamma, normal, scale, out, ctx.relu), None, None


class _BatchNormBackward(Function):
    """(g, y, γ) -> (dy, dγ, dβ); `normal`, `scale` and `out` depend on y and are passed, not recomputed."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        y: Tensor,
        gamma: Tensor,
        normal: Tensor,
        scale: Tensor,
        out: Tensor | None,
        relu: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        g = _through_relu(g, out, relu)
        dbeta = g.sum(1, keepdim=True)
        dgamma = (g * normal).sum(1, keepdim=True)
        ctx.save_for_backward(g, gamma, normal, scale, out, dgamma, dbeta)
        ctx.relu = relu
        return _project(g, normal, dgamma, dbeta).mul_(gamma * scale), dgamma, dbeta

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        """Adjoints u of dy, a of dγ, b of dβ -> adjoints of g, y and γ.

        With P(v) = v − mean v − n̂·mean(v n̂), dy = γ/σ · P(g); P is symmetric and depends on y through n̂.
        """
        g, gamma, normal, scale, out, dgamma, dbeta = ctx.saved_tensors
        projected_g = _project(g, normal, dgamma, dbeta)
        u_normal = (u * normal).sum(1, keepdim=True)
        projected_u = _project(u, normal, u_normal, u.sum(1, keepdim=True))
        u_g = (u * projected_g).sum(1, keepdim=True)
        rate = gamma * scale
        k = rate * scale / -g.shape[1]
        of_g = torch.addcmul(b, normal, a).addcmul_(projected_u, rate)
        of_y = projected_g.mul_(a * scale + k * u_normal)
        of_y.addcmul_(normal, k * u_g).addcmul_(projected_u, k * dgamma)
        return _through_relu(of_g, out, ctx.relu), of_y, scale * u_g, None, None, None, None


def _through_relu(g: Tensor, out: Tensor | None, relu: bool) -> Tensor:
    return torch.ops.aten.threshold_backward(g, out, 0) if relu else g


def _project(v: Tensor, normal: Tensor, v_normal: Tensor, v_sum: Tensor) -> Tensor:
    """P(v), given Σ v n̂ and Σ v. [T, M, C]"""
    size = v.shape[1]
    return torch.addcmul(v, normal, v_normal, value=-1 / size).sub_(v_sum / size)
