"""Convolution and linear maps, with weights shared between tasks or one set a task."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.kernels.convolution import convolution


class Conv2d(nn.Module):
    """x [T, N, H, W, C] -> [T, N, H', W', K]. weight [K, S, S, C] or [T, K, S, S, C]; bias [K] or [T, K]."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, padding: int, bias: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(outputs, kernel, kernel, inputs))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs)) if bias else None)
        nn.init.xavier_uniform_(self.weight.permute(0, 3, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.dim() == 5:
            y = convolution(x, self.weight, self.stride, self.padding)
        else:
            images = x.flatten(0, 1).permute(0, 3, 1, 2)
            kernel = self.weight.permute(0, 3, 1, 2)
            y = F.conv2d(images, kernel, stride=self.stride, padding=self.padding)
            y = y.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])
        return y if self.bias is None else y + _per_task(self.bias, y.dim())


class Linear(nn.Module):
    """x [T, N, D] -> [T, N, K]. weight [K, D] or [T, K, D]; bias [K] or [T, K]."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs)) if bias else None)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight.transpose(-1, -2)
        return y if self.bias is None else y + _per_task(self.bias, y.dim())


def _per_task(parameter: Tensor, dims: int) -> Tensor:
    """[K] or [T, K] -> [T or 1, 1, ..., K], to broadcast against activations with `dims` axes."""
    tasks = len(parameter) if parameter.dim() == 2 else 1
    return parameter.view(tasks, *[1] * (dims - 2), -1)
