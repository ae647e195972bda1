"""Small networks with nothing at its initial value, and meta-batches of random images."""

import pytest
import torch

from metacli.backbones.conv4 import Conv4
from metacli.backbones.mlp import MLP
from metacli.backbones.pixels import Pixels
from metacli.episode import Episode, Examples, TaskSpec
from metacli.paradigms.maml import MAML

WAYS = 3


def normal(shape, random):
    return torch.randn(shape, generator=random, dtype=torch.float64)


@pytest.fixture
def make_backbone():
    def make(kind="conv4", *, norm="batch", downsample="stride", depth=3, shape=(1, 9, 10)):
        """In float64, weights and running statistics drawn at random."""
        match kind:
            case "conv4":
                backbone = Conv4(shape=shape, width=6, depth=depth, downsample=downsample, norm=norm)
            case "mlp":
                backbone = MLP(shape=shape, widths=[6, 10], norm=norm)
            case "pixels":
                backbone = Pixels(shape=shape)
        random = torch.Generator().manual_seed(0)
        for name, tensor in backbone.double().state_dict().items():
            if name.endswith("running_mean"):
                tensor.copy_(0.3 * normal(tensor.shape, random))
            elif name.endswith(("running_var", "norm.weight")):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=random, dtype=torch.float64))
            elif tensor.dim() == 1:
                tensor.copy_(0.2 * normal(tensor.shape, random))
            else:
                tensor.copy_(normal(tensor.shape, random) * (2 / tensor[0].numel()) ** 0.5)
        return backbone

    return make


@pytest.fixture
def make_maml(make_backbone):
    def make(
        *,
        order="second",
        steps=1,
        lr=0.2,
        inner=("backbone", "head"),
        outer=("backbone", "head"),
        bn_mode="batch",
        reduction="mean",
        **backbone,
    ):
        network = make_backbone(**backbone)
        learner = MAML(
            spec=TaskSpec("classify", (1, 9, 10), WAYS),
            backbone=network,
            features=network.features,
            inner_lr=lr,
            inner_steps=steps,
            inner_eval_steps=steps,
            inner_loss_reduction=reduction,
            order=order,
            moves_inner=inner,
            moves_outer=outer,
            bn_mode=bn_mode,
        ).double()
        head = learner.network.get_submodule("head")
        with torch.no_grad():
            head.weight.copy_(normal(head.weight.shape, torch.Generator().manual_seed(1)))
            head.bias.copy_(normal(head.bias.shape, torch.Generator().manual_seed(2)))
        return learner

    return make


@pytest.fixture
def make_episode():
    def make(*, tasks=2, shots=2, queries=3, shape=(1, 9, 10), dtype=torch.float64) -> Episode:
        random = torch.Generator().manual_seed(3)

        def examples(each):
            labels = torch.arange(WAYS).repeat_interleave(each).expand(tasks, -1)
            x = torch.rand(tasks, WAYS * each, *shape, generator=random, dtype=torch.float64)
            rows = torch.arange(labels.numel()).view_as(labels)
            classes = torch.arange(WAYS).expand(tasks, -1)
            return Examples({"x": x.to(dtype)}, labels, torch.ones_like(labels, dtype=bool), rows, classes)

        return Episode(examples(shots), examples(queries), torch.arange(tasks))

    return make
