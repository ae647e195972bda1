"""Losses against their definitions, and what does not count."""

import pytest
import torch

from metacli.episode import Examples
from metacli.objectives import objective


def examples(labels, mask):
    rows = torch.zeros(mask.shape, dtype=torch.int64)
    return Examples({}, labels, mask, rows, rows[:, :0])


def test_squared_error_is_the_mean_over_items_that_count_and_their_numbers():
    labels = torch.tensor([[[0.0, 0.0], [1.0, 2.0], [9.0, 9.0]], [[1.0, 1.0]] * 3])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    outputs = torch.tensor([[[3.0, 1.0], [1.0, 4.0], [0.0, 0.0]], [[1.0, 1.0]] * 3])
    losses = objective("regress")(outputs, examples(labels, mask))
    assert losses.tolist() == pytest.approx([((9 + 1) / 2 + (0 + 4) / 2) / 2, 0.0])


def test_cross_entropy_is_the_mean_over_labels_that_count():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    labels, mask = torch.tensor([[0, 0, -1]]), torch.tensor([[True, True, True]])
    (loss,) = objective("classify")(logits, examples(labels, mask)).tolist()
    right = [-torch.tensor([2.0, 0.0]).log_softmax(0)[0], -torch.tensor([0.0, 1.0]).log_softmax(0)[0]]
    assert loss == pytest.approx(float(sum(right)) / 2)
