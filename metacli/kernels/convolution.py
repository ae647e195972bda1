"""Convolution with weights of its own for each task, differentiable as often as wanted.

A convolution is bilinear: with y = conv(x, w), the gradients dx(g, w) and dw(g, x) are bilinear too, and each
one's gradients are among the three again. So three autograd Functions that call each other give every order
of derivative, at exactly the matrix products it takes.

x [T, N, H, W, C] · w [T, K, S, S, C] (kernel size S) · y, g [T, N, H', W', K].
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

# From this many rows (images × output positions) a task's own library convolution beats copying patches: the
# patches fall out of the cache.
LIBRARY_ROWS = 2000


class Geometry(NamedTuple):
    stride: int
    padding: int
    kernel: int

    def output(self, size: int) -> int:
        return (size + 2 * self.padding - self.kernel) // self.stride + 1


def convolution(x: Tensor, w: Tensor, stride: int, padding: int) -> Tensor:
    return _Convolution.apply(x, w, None, Geometry(stride, padding, w.shape[2]))


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, patches: Tensor | None, geometry: Geometry) -> Tensor:
        if patches is None and not _by_library(x, geometry):
            patches = patches_of(x, geometry)
        ctx.save_for_backward(x, w, patches)
        ctx.geometry = geometry
        return _forward(x, w, patches, geometry)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w, patches = ctx.saved_tensors
        g = g.contiguous()
        dx = _InputGradient.apply(g, w, x.shape, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightGradient.apply(g, x, patches, ctx.geometry) if ctx.needs_input_grad[1] else None
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
        u = u.contiguous()
        patches = None if _by_library(u, ctx.geometry) else patches_of(u, ctx.geometry)
        dg = _Convolution.apply(u, w, patches, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightGradient.apply(g, u, patches, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dg, dw, None, None


class _WeightGradient(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, patches: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(g, x, patches)
        ctx.geometry = geometry
        return _weight_gradient(g, x, patches, geometry)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        g, x, patches = ctx.saved_tensors
        dg = _Convolution.apply(x, u, patches, ctx.geometry) if ctx.needs_input_grad[0] else None
        dx = _InputGradient.apply(g, u, x.shape, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dg, dx, None, None


def _by_library(x: Tensor, geometry: Geometry) -> bool:
    return x.shape[1] * geometry.output(x.shape[2]) * geometry.output(x.shape[3]) >= LIBRARY_ROWS


def patches_of(x: Tensor, geometry: Geometry) -> Tensor:
    """[T, N, H, W, C] -> [T, N·H'·W', S·S·C]: one strided copy, rows of S·C values lie together."""
    tasks, items, height, width, channels = x.shape
    s, p, k = geometry.stride, geometry.padding, geometry.kernel
    if p:
        x = F.pad(x, (0, 0, p, p, p, p))
    windows = x.unfold(2, k, s).unfold(3, k, s)  # [T, N, H', W', C, S, S]
    rows = items * geometry.output(height) * geometry.output(width)
    return windows.permute(0, 1, 2, 3, 5, 6, 4).reshape(tasks, rows, k * k * channels)


def _forward(x: Tensor, w: Tensor, patches: Tensor | None, geometry: Geometry) -> Tensor:
    tasks, items, height, width, _ = x.shape
    shape = (tasks, items, geometry.output(height), geometry.output(width), w.shape[1])
    if patches is not None:
        return torch.bmm(patches, w.flatten(2).transpose(1, 2)).view(shape)
    y = x.new_empty(shape)
    for t in range(tasks):
        y[t] = _channels_last(
            F.conv2d(
                _channels_first(x[t]), _channels_first(w[t]), stride=geometry.stride, padding=geometry.padding
            )
        )
    return y


def _weight_gradient(g: Tensor, x: Tensor, patches: Tensor | None, geometry: Geometry) -> Tensor:
    shape = (len(g), g.shape[-1], geometry.kernel, geometry.kernel, x.shape[-1])
    if patches is not None:
        return torch.bmm(g.flatten(1, 3).transpose(1, 2), patches).view(shape)
    dw = g.new_empty(shape)
    for t in range(len(g)):
        dw[t] = _channels_last(_library_backward(g[t], x[t], dw[t], geometry, wanted="weight"))
    return dw


def _input_gradient(g: Tensor, w: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    s, p, k = geometry
    if shape[1] * g.shape[2] * g.shape[3] >= LIBRARY_ROWS:
        dx = g.new_empty(shape)
        for t in range(len(g)):
            dx[t] = _channels_last(_library_backward(g[t], dx[t], w[t], geometry, wanted="input"))
        return dx
    if s == 1:  # a convolution again, with the kernel turned around
        around = Geometry(1, k - 1 - p, k)
        turned = w.flip(2, 3).permute(0, 4, 2, 3, 1)
        return _forward(g, turned, patches_of(g, around), around)
    if geometry == Geometry(stride=2, padding=1, kernel=3):
        return _gather_by_parity(g, w, shape)
    return _scatter(torch.bmm(g.flatten(1, 3), w.flatten(2)), shape, g.shape[2:4], geometry)


def _gather_by_parity(g: Tensor, w: Tensor, shape: torch.Size) -> Tensor:
    """Input gradient of a 3×3 convolution with stride 2 and padding 1, one product for each parity of (row, column).

    A pixel with even coordinates is under the middle tap of one output; an odd row (column) is under the outer
    taps of two. Each output window of 2×2 values is copied once, ordered so that every parity reads a slice.
    """
    tasks, items, height, width, channels = shape
    _, _, rows, columns, outputs = g.shape
    g = F.pad(g, (0, 0, 0, 1, 0, 1))
    window = torch.stack(
        [g[:, :, :-1, 1:], g[:, :, :-1, :-1], g[:, :, 1:, :-1], g[:, :, 1:, 1:]], 4
    )  # right, here, below, below right: [T, N, H', W', 4, K]
    window = window.view(tasks, items * rows * columns, 4 * outputs)
    dx = g.new_empty(tasks, items, rows, 2, columns, 2, channels)
    for (row, column), first, taps in (
        ((0, 0), 1, [(1, 1)]),
        ((0, 1), 0, [(1, 0), (1, 2)]),
        ((1, 0), 1, [(2, 1), (0, 1)]),
        ((1, 1), 0, [(2, 0), (2, 2), (0, 2), (0, 0)]),
    ):
        kernel = torch.cat([w[:, :, i, j] for i, j in taps], 1)  # [T, taps·K, C]
        part = window[:, :, first * outputs : (first + len(taps)) * outputs]
        dx[:, :, :, row, :, column] = torch.bmm(part, kernel).view(tasks, items, rows, columns, channels)
    return dx.view(tasks, items, 2 * rows, 2 * columns, channels)[:, :, :height, :width].contiguous()


def _scatter(patches: Tensor, shape: torch.Size, output: torch.Size, geometry: Geometry) -> Tensor:
    """Adjoint of `patches_of`: adds every patch where it was taken from."""
    tasks, items, height, width, channels = shape
    s, p, k = geometry
    rows, columns = output
    patches = patches.view(tasks, items, rows, columns, k, k, channels)
    out = patches.new_zeros(tasks, items, height + 2 * p, width + 2 * p, channels)
    for i in range(k):
        for j in range(k):
            out[:, :, i : i + s * (rows - 1) + 1 : s, j : j + s * (columns - 1) + 1 : s] += patches[
                :, :, :, :, i, j
            ]
    return out[:, :, p : p + height, p : p + width].contiguous()


def _library_backward(g: Tensor, x: Tensor, w: Tensor, geometry: Geometry, *, wanted: str) -> Tensor:
    s, p, _ = geometry
    mask = [wanted == "input", wanted == "weight", False]
    found = torch.ops.aten.convolution_backward(
        _channels_first(g),
        _channels_first(x),
        _channels_first(w),
        None,
        [s, s],
        [p, p],
        [1, 1],
        False,
        [0, 0],
        1,
        mask,
    )
    return found[0] if wanted == "input" else found[1]


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
