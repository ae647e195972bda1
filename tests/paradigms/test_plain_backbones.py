"""A backbone that was not written with a task axis gives the same meta-gradients as one that was."""

import pytest
import torch
from torch import nn

from metacli.backbones.mlp import MLP
from metacli.episode import TaskSpec
from metacli.layers.plain import Plain
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML


@pytest.mark.parametrize("moves", [["head"], ["backbone", "head"], ["bias"]])
def test_maml_differentiates_twice_through_it_as_through_task_batched_layers(moves, make_episode):
    """Against the same network in our own layers."""
    ours = MLP(shape=(1, 9, 10), widths=[6, 5], norm="none")
    layers = [nn.Linear(90, 6), nn.Linear(6, 5)]
    with torch.no_grad():
        for layer, block in zip(layers, ours.blocks, strict=True):
            layer.weight.copy_(block.linear.weight)
            layer.bias.copy_(block.linear.bias.normal_())
    plain = Plain(nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU()), features=5)

    def gradients(backbone):
        torch.manual_seed(0)
        inner = InnerLoop(
            spec=TaskSpec("classify", (1, 9, 10), 3),
            backbone=backbone,
            features=5,
            inner_steps=2,
            inner_eval_steps=2,
            inner_loss_reduction="mean",
            order="second",
            moves_inner=moves,
            moves_outer=["backbone", "head"],
            bn_mode="running",
        )
        learner = MAML(inner=inner, inner_lr=0.2).double()
        loss = learner.meta_loss(make_episode(tasks=2)).sum()
        return loss, torch.autograd.grad(loss, list(learner.parameters()))

    loss, found = gradients(plain)
    expected_loss, expected = gradients(ours)
    torch.testing.assert_close(loss, expected_loss)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
