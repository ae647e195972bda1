"""Convolution with weights of its own for each task, differentiable as often as wanted.

A convolution is bilinear: with y = conv(x, w), the gradients dx(g, w) and dw(g, x) are bilinear too, and each
one's gradients are among the three again. So three autograd Functions that call each other give every order
of derivative, at exactly the products it takes. Each is a grouped convolution of the library, a group a task, or,
where maps are small, one product with copied patches.

x [T, N, H, W, C] · w [T, K, S, S, C] (kernel size S) · y, g [T, N, H', W', K].
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from metacli.kernels.layout import from_images, from_rows, images, rows

# By library, or as one product with copied patches? The library has a cost for each call that few rows (images ×
# output positions) of a task do not repay, nor maps of 2×2; for the gradient to the weights it takes more of them,
# but with stride 1 patches are nine times the input. Measured on Zen 4; the order of magnitude is that of a cache.
FEW_ROWS = 100
FEW_ROWS_STRIDED = 500
SMALL_MAP = 4


class Geometry(NamedTuple):
    stride: int
    padding: int
    kernel: int

    def output(self, size: int) -> int:
        return (size + 2 * self.padding - self.kernel) // self.stride + 1


def convolution(x: Tensor, w: Tensor, stride: int, padding: int) -> Tensor:
    geometry = Geometry(stride, padding, w.shape[2])
    return _Convolution.apply(x, w, geometry, Patches(geometry))


class Patches:
    """Those of one x, copied when they are first asked for."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.copied: Tensor | None = None

    def of(self, x: Tensor) -> Tensor:
        if self.copied is None:
            self.copied = patches_of(x, self.geometry)
        return self.copied


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, geometry: Geometry, patches: Patches) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.geometry, ctx.patches = geometry, patches
        return _forward(x, w, geometry, patches)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        dx = _InputGradient.apply(g, w, x.shape, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightGradient.apply(g, x, ctx.geometry, ctx.patches) if ctx.needs_input_grad[1] else None
        return dx, dw, None, None


class _InputGradient(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.geometry = geometry
        return _input_gradient(g, w, shape, geometry)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        g, w = ctx.saved_tensors
        geometry, patches = ctx.geometry, Patches(ctx.geometry)
        dg = _Convolution.apply(u, w, geometry, patches) if ctx.needs_input_grad[0] else None
        dw = _WeightGradient.apply(g, u, geometry, patches) if ctx.needs_input_grad[1] else None
        return dg, dw, None, None


class _WeightGradient(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, geometry: Geometry, patches: Patches) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.geometry, ctx.patches = geometry, patches
        return _weight_gradient(g, x, geometry, patches)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        g, x = ctx.saved_tensors
        dg = _Convolution.apply(x, u, ctx.geometry, ctx.patches) if ctx.needs_input_grad[0] else None
        dx = _InputGradient.apply(g, u, x.shape, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dg, dx, None, None


def _forward(x: Tensor, w: Tensor, geometry: Geometry, patches: Patches) -> Tensor:
    stride, padding, _ = geometry
    tasks, items, height, width, _ = x.shape
    positions = (items, geometry.output(height), geometry.output(width))
    if _few(positions):
        y = torch.bmm(patches.of(x), w.flatten(2).transpose(1, 2))
        return from_rows(rows(y), (tasks, *positions, w.shape[1]))
    y = F.conv2d(images(x), _grouped(w), stride=stride, padding=padding, groups=tasks)
    return from_images(y, tasks)


def _weight_gradient(g: Tensor, x: Tensor, geometry: Geometry, patches: Patches) -> Tensor:
    tasks, *positions, outputs = g.shape
    shape = (tasks, outputs, geometry.kernel, geometry.kernel, x.shape[-1])
    if _few(positions) or (geometry.stride > 1 and math.prod(positions) <= FEW_ROWS_STRIDED):
        return torch.bmm(g.flatten(1, 3).transpose(1, 2), patches.of(x)).view(shape)
    w = g.new_empty(shape)
    dw = _library_backward(images(g), images(x), _grouped(w), geometry, tasks, wanted=1)
    return dw.permute(0, 2, 3, 1).reshape(shape)


def _input_gradient(g: Tensor, w: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    tasks, items, height, width, channels = shape
    if _few(g.shape[1:-1]):
        return _scatter(torch.bmm(g.flatten(1, 3), w.flatten(2)), shape, g.shape[2:4], geometry)
    x = g.new_empty(items, height, width, tasks * channels).permute(0, 3, 1, 2)  # only its shape is read
    return from_images(_library_backward(images(g), x, _grouped(w), geometry, tasks, wanted=0), tasks)


def _few(positions: Sequence[int]) -> bool:
    """positions: (N, H', W')"""
    _, height, width = positions
    return math.prod(positions) <= FEW_ROWS or height * width <= SMALL_MAP


def patches_of(x: Tensor, geometry: Geometry) -> Tensor:
    """[T, N, H, W, C] -> [T, N·H'·W', S·S·C]: rows of S·C values lie together."""
    tasks, channels = len(x), x.shape[-1]
    s, p, k = geometry
    if p:
        x = F.pad(x, (0, 0, p, p, p, p))
    windows = x.unfold(2, k, s).unfold(3, k, s)  # [T, N, H', W', C, S, S]
    return windows.permute(0, 1, 2, 3, 5, 6, 4).reshape(tasks, -1, k * k * channels)


def _scatter(patches: Tensor, shape: torch.Size, output: torch.Size, geometry: Geometry) -> Tensor:
    """Adjoint of `patches_of`: adds every patch where it was taken from."""
    tasks, items, height, width, channels = shape
    s, p, k = geometry
    down, right = output
    patches = patches.view(tasks, items, down, right, k, k, channels)
    out = patches.new_zeros(items, height + 2 * p, width + 2 * p, tasks, channels).permute(3, 0, 1, 2, 4)
    for i in range(k):
        for j in range(k):
            window = out[:, :, i : i + s * (down - 1) + 1 : s, j : j + s * (right - 1) + 1 : s]
            window += patches[:, :, :, :, i, j]
    return out[:, :, p : p + height, p : p + width]


def _grouped(w: Tensor) -> Tensor:
    """[T, K, S, S, C] -> [T·K, C, S, S] with channels last."""
    return w.flatten(0, 1).permute(0, 3, 1, 2)


def _library_backward(
    g: Tensor, x: Tensor, w: Tensor, geometry: Geometry, groups: int, *, wanted: int
) -> Tensor:
    """wanted: 0 for the gradient to x, 1 for that to w."""
    s, p, _ = geometry
    mask = [wanted == 0, wanted == 1, False]
    return torch.ops.aten.convolution_backward(
        g, x, w, None, [s, s], [p, p], [1, 1], False, [0, 0], groups, mask
    )[wanted]
