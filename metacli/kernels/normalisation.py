"""Batch normalisation over each task's own batch, fused with ReLU, with analytic first and second backward.

torch's native batch norm under `vmap(grad(...))` gives wrong second-order gradients, and composed from elementwise
operations it is several times slower. x [T, ..., C], the dots items and positions; γ, β [T, C]. Tasks lie beside
channels (see layout): all of them are the F = T·C features of one batch norm over the rows of a matrix y [M, F].
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from metacli.kernels.layout import from_rows, rows

# Rows whose statistics the library takes at once. It adds up one row after the other: in float32 a mean over 500 000
# loses three digits.
BLOCK = 1024


def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the normalised x and, without gradients, its mean and biased variance, [T, C]."""
    return _BatchNorm.apply(x, gamma, beta, eps, relu)


class _BatchNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float, relu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = rows(x)
        mean, variance = _statistics(y)
        scale = (variance + eps).rsqrt_()  # 1/σ
        rate = gamma.flatten() * scale
        out = torch.addcmul(torch.addcmul(beta.flatten(), mean, rate, value=-1), y, rate)
        if relu:
            out.relu_()
        out = from_rows(out, x.shape)
        ctx.save_for_backward(x, gamma, mean, scale, out if relu else None)  # says where the ReLU was open
        ctx.set_materialize_grads(False)
        mean, variance = mean.view_as(gamma), variance.view_as(gamma)
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, _mean: None, _variance: None) -> tuple[Tensor | None, ...]:
        if g is None:
            return None, None, None, None, None
        x, gamma, mean, scale, out = ctx.saved_tensors
        return *_BatchNormBackward.apply(g, x, gamma, mean, scale, out), None, None


class _BatchNormBackward(Function):
    """(g, x, γ) -> (dx, dγ, dβ); `mean`, `scale` and `out` depend on x and are passed, not recomputed."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, scale: Tensor, out: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        g = _through_relu(rows(g), out)
        dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(
            g, rows(x), gamma.flatten(), None, None, mean, scale, True, 0.0, [True, True, True]
        )
        ctx.save_for_backward(g, x, gamma, mean, scale, out, dgamma, dbeta)
        return from_rows(dx, x.shape), dgamma.view_as(gamma), dbeta.view_as(gamma)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        """Adjoints u of dx, a of dγ, b of dβ -> adjoints of g, x and γ.

        With n̂ the normalised y and P(v) = v − mean v − n̂·mean(v n̂), dy = γ/σ · P(g); P is symmetric and depends on
        y through n̂.
        """
        g, x, gamma, mean, scale, out, dgamma, dbeta = ctx.saved_tensors
        u, a, b = rows(u), a.flatten(), b.flatten()
        normal = torch.addcmul(-mean * scale, rows(x), scale)
        projected_g = _project(g, normal, dgamma, dbeta)
        u_normal = (u * normal).sum(0)
        projected_u = _project(u, normal, u_normal, u.sum(0))
        u_g = (u * projected_g).sum(0)
        rate = gamma.flatten() * scale
        k = rate * scale / -len(g)
        of_g = torch.addcmul(b, normal, a).addcmul_(projected_u, rate)
        of_y = projected_g.mul_(a * scale + k * u_normal)
        of_y.addcmul_(normal, k * u_g).addcmul_(projected_u, k * dgamma)
        of_g = from_rows(_through_relu(of_g, out), x.shape)
        return of_g, from_rows(of_y, x.shape), (scale * u_g).view_as(gamma), None, None, None


def _statistics(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each column of [M, F]."""
    if y.device.type != "cpu":
        variance, mean = torch.var_mean(y, 0, correction=0)
        return mean, variance
    blocks = y.split(BLOCK)
    pairs = [torch.batch_norm_update_stats(block, None, None, 0.0) for block in blocks]
    if len(blocks) == 1:
        return pairs[0]
    shares = y.new_tensor([len(block) / len(y) for block in blocks]).unsqueeze(1)
    means, variances = (torch.stack(each) for each in zip(*pairs, strict=True))
    mean = (means * shares).sum(0)
    return mean, ((variances + (means - mean).square()) * shares).sum(0)


def _through_relu(g: Tensor, out: Tensor | None) -> Tensor:
    return g if out is None else torch.ops.aten.threshold_backward(g, rows(out), 0)


def _project(v: Tensor, normal: Tensor, v_normal: Tensor, v_sum: Tensor) -> Tensor:
    """P(v), given Σ v n̂ and Σ v. [M, F]"""
    size = len(v)
    return torch.addcmul(v, normal, v_normal, value=-1 / size).sub_(v_sum / size)
