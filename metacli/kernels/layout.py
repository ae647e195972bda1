"""How activations [T, N, H, W, C] lie in memory: as [N, H, W, T, C], tasks beside channels.

So T tasks are T·C channels for the library: one grouped convolution, one batch norm, one pooling for all of them, and
what is computed for each channel needs no loop over tasks. Tensors keep the order of their axes; only strides tell.
What lies otherwise (data, what shared weights give) is copied on its way in.
"""

from torch import Tensor


def rows(x: Tensor) -> Tensor:
    """[T, ..., C] -> [M, T·C], M = all positions; a view of what lies with its tasks beside channels."""
    return x.movedim(0, -2).flatten(-2).flatten(0, -2)


def from_rows(rows: Tensor, shape: "tuple[int, ...]") -> Tensor:
    """[M, T·C] -> [T, ..., C]; a view."""
    tasks, *middle, channels = shape
    return rows.view(*middle, tasks, channels).movedim(-2, 0)


def images(x: Tensor) -> Tensor:
    """[T, N, H, W, C] -> [N, T·C, H, W] with channels last, as torch's convolutions take it."""
    return x.permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)


def from_images(y: Tensor, tasks: int) -> Tensor:
    """[N, T·K, H', W'] -> [T, N, H', W', K]; a view."""
    return y.permute(0, 2, 3, 1).unflatten(3, (tasks, -1)).permute(3, 0, 1, 2, 4)


def beside_channels(x: Tensor) -> bool:
    """Whether the tasks of [T, ..., C] lie beside its channels."""
    return x.stride(0) == x.shape[-1] and x.stride(-1) == 1
