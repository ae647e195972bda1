"""Small networks with nothing at its initial value, and meta-batches of random images."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metacli.backbones.conv4 import Conv4
from metacli.backbones.mlp import MLP
from metacli.backbones.pixels import Pixels
from metacli.episode import Episode, Examples, TaskSpec
from metacli.paradigms.alfa import ALFA
from metacli.paradigms.imaml import IMAML
from metacli.paradigms.inner_loop import InnerLoop, without_norms
from metacli.paradigms.maml import MAML
from metacli.paradigms.maml_pp import MAMLPlusPlus
from metacli.paradigms.meta_sgd import MetaSGD
from metacli.paradigms.reptile import Reptile
from metacli.runtime import seeded

WAYS = 3

USUAL = {
    "inner_steps": 1,
    "inner_loss_reduction": "mean",
    "moves_inner": ("backbone", "head"),
    "moves_outer": ("backbone", "head"),
    "bn_mode": "batch",
}
OWN = {
    MAML: {"inner_lr": 0.2, "order": "second"},
    MetaSGD: {"inner_initial_lr": (0.1, 0.3), "order": "second"},
    MAMLPlusPlus: {
        "loop": without_norms,
        "inner_initial_lr": 0.25,
        "order": "second",
        "multi_step": 0.5,
        "first_order": 0.0,
    },
    IMAML: {
        "inner_lr": 0.2,
        "inner_pull": "each",
        "order": "implicit",
        "proximity": 2.0,
        "solver_steps": 3,
        "solver_damping": 1.0,
        "solver_shift": 10.0,
    },
    ALFA: {"loop": without_norms, "inner_initial_lr": 0.25, "inner_initial_decay": 0.1, "order": "second"},
    Reptile: {"inner_optimizer": "adam", "inner_lr": 0.05, "inner_batch": 4, "inner_eval_batch": 4},
}


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
def make_adapting(make_backbone):
    def make(method, *, backbone=None, **options):
        """A gradient-based learner in float64; what is not among `options` is as in USUAL."""
        network = backbone if isinstance(backbone, nn.Module) else make_backbone(**backbone or {})
        options = USUAL | OWN.get(method, {}) | options
        options = {"inner_eval_steps": options["inner_steps"]} | options
        with seeded(0, "weights"):
            options |= {
                "spec": TaskSpec("classify", (1, 9, 10), WAYS),
                "backbone": network,
                "features": network.features,
            }
            loop = options.pop("loop", InnerLoop)
            taken = inspect.signature(loop).parameters
            inner = loop(**{name: value for name, value in options.items() if name in taken})
            own = {name: value for name, value in options.items() if name not in taken}
            learner = method(inner=inner, **own).double()
        head = learner.network.get_submodule("head")
        with torch.no_grad():
            head.weight.copy_(normal(head.weight.shape, torch.Generator().manual_seed(1)))
            head.bias.copy_(normal(head.bias.shape, torch.Generator().manual_seed(2)))
        return learner

    return make


@pytest.fixture
def make_maml(make_adapting):
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
        return make_adapting(
            MAML,
            backbone=backbone,
            order=order,
            inner_steps=steps,
            inner_lr=lr,
            moves_inner=inner,
            moves_outer=outer,
            bn_mode=bn_mode,
            inner_loss_reduction=reduction,
        )

    return make


@pytest.fixture
def plain_mlp():
    """The outputs of a network with backbone {"kind": "mlp"} for one task [N, ...] -> [N, W], in torch's own words."""

    def outputs(weights, x):
        x = x.flatten(1)
        for block in range(2):
            x = F.linear(x, weights[f"backbone.blocks.{block}.linear.weight"])
            scale, shift = (weights[f"backbone.blocks.{block}.norm.{name}"] for name in ("weight", "bias"))
            x = F.batch_norm(x, None, None, scale, shift, training=True).relu()
        return F.linear(x, weights["head.weight"], weights["head.bias"])

    return outputs


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
