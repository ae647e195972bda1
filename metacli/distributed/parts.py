"""A part of a step as one tensor of bytes, and back."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metacli.parts import Part


def packed(part: Part, parameters: Sequence[nn.Parameter]) -> Tensor:
    """All of `part` in one tensor of bytes, to be sent."""
    there = torch.tensor([gradient is not None for gradient in part.gradients], dtype=torch.uint8)
    pairs = zip(parameters, part.gradients, strict=True)
    gradients = [torch.zeros_like(p) if gradient is None else gradient for p, gradient in pairs]
    tensors = [*_of_tasks(part), *gradients, there.to(part.losses.device)]
    return torch.cat([tensor.detach().reshape(-1).view(torch.uint8) for tensor in tensors])


def packed_size(like: Part, tasks: int, parameters: Sequence[nn.Parameter]) -> int:
    """Bytes of a packed part of `tasks` tasks. like: another of the same step."""
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in _slots(like, tasks, parameters))


def unpacked(content: Tensor, like: Part, tasks: int, parameters: Sequence[nn.Parameter]) -> Part:
    """What was packed into `content`."""
    found, place = [], 0
    for shape, dtype in _slots(like, tasks, parameters):
        end = place + math.prod(shape) * dtype.itemsize
        found.append(content[place:end].clone().view(dtype).view(shape))  # a clone begins where a number may
        place = end
    losses, *rest, there = found
    names = list(like.statistics)
    statistics = {name: (rest[2 * i], rest[2 * i + 1]) for i, name in enumerate(names)}
    gradients = rest[2 * len(names) :]
    known = zip(gradients, there.tolist(), strict=True)
    return Part(losses, tuple(gradient if is_there else None for gradient, is_there in known), statistics)


def _of_tasks(part: Part) -> list[Tensor]:
    """Each [t, ...]."""
    return [part.losses, *(tensor for pair in part.statistics.values() for tensor in pair)]


def _slots(
    like: Part, tasks: int, parameters: Sequence[nn.Parameter]
) -> list[tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of each tensor of a packed part."""
    return [
        *(((tasks, *tensor.shape[1:]), tensor.dtype) for tensor in _of_tasks(like)),
        *((tuple(parameter.shape), parameter.dtype) for parameter in parameters),
        ((len(parameters),), torch.uint8),
    ]
