"""Recurrent layers, unrolled step by step: cuDNN's cannot be differentiated twice, nor take weights of each task."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from metacli.layers.affine import Linear
from metacli.layers.norm import NormKind, normalisation

Cell = Literal["gru", "lstm", "tanh"]

# (what the input says, recurrent map, hidden state, memory) -> the next hidden state and memory
Step = Callable[[Tensor, nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


class Recurrent(nn.Module):
    """x [T, N, S, D] -> hidden states [T, N, S, K] of S steps, from a hidden state of zeros.

    The formulas, the order of the gates in the weights and the two biases are those of torch.nn.GRU, LSTM and RNN.
    What the input says, W·x, is normalised before the recurrent part is added (Laurent et al., "Batch Normalized
    Recurrent Neural Networks", 2016): batch norm over the items and steps of a task, the others step by step.
    """

    def __init__(self, inputs: int, outputs: int, *, cell: Cell, norm: NormKind) -> None:
        super().__init__()
        self.outputs = outputs
        self.step, gates = _CELLS[cell]
        self.input = Linear(inputs, gates * outputs, bias=norm != "batch")
        self.norm = normalisation(norm, gates * outputs, relu=False)
        self.recurrent = Linear(outputs, gates * outputs)
        for gate in self.recurrent.weight.split(outputs):
            nn.init.orthogonal_(gate)

    def forward(self, x: Tensor) -> Tensor:
        tasks, items, steps, _ = x.shape
        heard = self.norm(self.input(x.flatten(1, 2))).unflatten(
            1, (items, steps)
        )  # all steps in one product
        hidden = memory = x.new_zeros(tasks, items, self.outputs)
        states = []
        for now in heard.unbind(2):
            hidden, memory = self.step(now, self.recurrent, hidden, memory)
            states.append(hidden)
        return torch.stack(states, 2)


class LSTMCell(nn.Module):
    """One step of torch.nn.LSTMCell: x [T, N, D], hidden state and memory [T, N, K] -> the next ones."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.input = Linear(inputs, 4 * outputs)
        self.recurrent = Linear(outputs, 4 * outputs)
        for gate in self.recurrent.weight.split(outputs):
            nn.init.orthogonal_(gate)

    def forward(self, x: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return _lstm(self.input(x), self.recurrent, hidden, memory)


def _gru(now: Tensor, recurrent: nn.Module, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    reset, update, new = now.chunk(3, -1)
    own_reset, own_update, own_new = recurrent(hidden).chunk(3, -1)
    update = torch.sigmoid(update + own_update)
    candidate = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
    return torch.lerp(candidate, hidden, update), memory


def _lstm(now: Tensor, recurrent: nn.Module, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    enter, forget, new, leave = (now + recurrent(hidden)).chunk(4, -1)
    memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(memory), memory


def _tanh(now: Tensor, recurrent: nn.Module, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    return torch.tanh(now + recurrent(hidden)), memory


_CELLS: dict[Cell, tuple[Step, int]] = {"gru": (_gru, 3), "lstm": (_lstm, 4), "tanh": (_tanh, 1)}
