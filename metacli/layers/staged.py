"""Buffers that move once a step: what a pass finds is recorded task by task, and committed over all tasks in order.

So neither chunks of tasks nor processes can change what becomes of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Staged(nn.Module):
    """A module with such buffers. A pass finds two tensors of them, each [T, ...]."""

    def __init__(self) -> None:
        super().__init__()
        self.recorder: _Recorder | None = None

    def record(self, one: Tensor, other: Tensor) -> None:
        """Hand what a pass found to whoever collects it."""
        if self.recorder is not None:
            if not self.recorder.differentiable:
                one, other = one.detach(), other.detach()
            self.recorder.passes.setdefault(self, []).append((one, other))

    def commit(self, one: Tensor, other: Tensor) -> None:
        """Move the buffers by what was recorded of one step, over its tasks in order."""
        raise NotImplementedError


class _Recorder:
    def __init__(self, differentiable: bool) -> None:
        self.differentiable = differentiable
        self.passes: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}


@contextmanager
def recorded(module: nn.Module, *, differentiable: bool) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Name -> what each staged module in `module` found, averaged over the passes inside.

    Filled when the block ends. With `differentiable`, gradients flow through it.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, Staged)}
    recorder = _Recorder(differentiable)
    before = {layer: layer.recorder for layer in layers.values()}
    found: dict[str, tuple[Tensor, Tensor]] = {}
    try:
        for layer in layers.values():
            layer.recorder = recorder
        yield found
    finally:
        for layer, earlier in before.items():
            layer.recorder = earlier
    for name, layer in layers.items():
        if passes := recorder.passes.get(layer):
            ones, others = zip(*passes, strict=True)
            found[name] = torch.stack(ones).mean(0), torch.stack(others).mean(0)
