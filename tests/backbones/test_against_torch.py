"""Backbones against the same network out of torch's own layers: values, and meta-gradients of MAML to second order."""

import itertools
import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from metacli.backbones.cnn import CNN
from metacli.backbones.resnet12 import ResNet12
from metacli.backbones.rnn import RNN
from metacli.episode import Episode, Examples, TaskSpec
from metacli.layers import BatchNorm, recorded
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML

WAYS = 3
SHAPE = (2, 9, 10)  # odd and even, so that pooling has an edge to drop


def normal(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_norm(kind, channels, batch_norm=nn.BatchNorm2d):
    return {
        "batch": lambda: batch_norm(channels),
        "group": lambda: nn.GroupNorm(math.gcd(8, channels), channels),
        "layer": lambda: nn.GroupNorm(1, channels),
        "none": nn.Identity,
    }[kind]()


class PlainConvNorm(nn.Module):
    def __init__(self, inputs, outputs, *, kernel, norm, stride=1, padding="same"):
        super().__init__()
        border = kernel // 2 if padding == "same" else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, border, bias=norm != "batch")
        self.norm = plain_norm(norm, outputs)

    def forward(self, x):
        return self.norm(self.conv(x))


class PlainResidual(nn.Module):
    """The block of MetaOptNet's and FEAT's published code."""

    def __init__(self, inputs, outputs, *, norm):
        super().__init__()
        self.first = PlainConvNorm(inputs, outputs, kernel=3, norm=norm)
        self.second = PlainConvNorm(outputs, outputs, kernel=3, norm=norm)
        self.third = PlainConvNorm(outputs, outputs, kernel=3, norm=norm)
        self.shortcut = PlainConvNorm(inputs, outputs, kernel=1, norm=norm)
        self.activation = nn.LeakyReLU(0.1)

    def forward(self, x):
        y = self.activation(self.first(x))
        y = self.activation(self.second(y))
        y = self.activation(self.third(y) + self.shortcut(x))
        return nn.MaxPool2d(2)(y)


class PlainResNet(nn.Module):
    def __init__(self, *, widths, norm):
        super().__init__()
        sizes = itertools.pairwise([SHAPE[0], *widths])
        self.blocks = nn.Sequential(*(PlainResidual(*size, norm=norm) for size in sizes))

    def forward(self, x):
        return self.blocks(x).mean((2, 3))


class PlainDense(nn.Module):
    def __init__(self, inputs, outputs, *, norm):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=norm != "batch")
        self.norm = plain_norm(norm, outputs, nn.BatchNorm1d)

    def forward(self, x):
        return self.norm(self.linear(x)).relu()


class PlainCNN(nn.Module):
    def __init__(self, *, widths, kernel, downsample, read, hidden, norm, padding, slope):
        super().__init__()
        hows = [downsample] * 2 if isinstance(downsample, str) else downsample
        edges = [padding] * 2 if isinstance(padding, str) else padding
        self.blocks = nn.ModuleList(
            PlainConvNorm(*size, kernel=kernel, norm=norm, stride=2 if how == "stride" else 1, padding=edge)
            for size, how, edge in zip(itertools.pairwise([SHAPE[0], *widths]), hows, edges, strict=True)
        )
        self.pools = [nn.MaxPool2d(2) if how == "max_pool" else nn.Identity() for how in hows]
        self.activation = nn.LeakyReLU(slope)
        self.read = read
        if hidden:
            places = {"max_pool": 2 * 2, "stride": 3 * 3}[downsample] if read == "flatten" else 1
            self.blocks.append(PlainDense(places * widths[-1], hidden, norm=norm))

    def forward(self, x):
        for block, pool in zip(self.blocks[:2], self.pools, strict=True):
            x = pool(self.activation(block(x)))
        x = x.permute(0, 2, 3, 1).flatten(1) if self.read == "flatten" else x.mean((2, 3))
        return self.blocks[2](x) if len(self.blocks) > 2 else x


class PlainRecurrent(nn.Module):
    """torch.nn.GRU, LSTM or RNN behind a linear map and its norm: its own input map does nothing."""

    def __init__(self, inputs, outputs, *, cell, norm):
        super().__init__()
        kind, gates = {"gru": (nn.GRU, 3), "lstm": (nn.LSTM, 4), "tanh": (nn.RNN, 1)}[cell]
        self.input = nn.Linear(inputs, gates * outputs, bias=norm != "batch")
        self.norm = plain_norm(norm, gates * outputs, nn.BatchNorm1d)
        self.recurrent = kind(gates * outputs, outputs, batch_first=True)
        nn.init.eye_(self.recurrent.weight_ih_l0).requires_grad_(False)
        nn.init.zeros_(self.recurrent.bias_ih_l0).requires_grad_(False)

    def forward(self, x):
        heard = self.norm(self.input(x).flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.recurrent(heard)[0]


class PlainRNN(nn.Module):
    def __init__(self, *, cell, width, depth, read, norm):
        super().__init__()
        channels, _, columns = SHAPE
        sizes = itertools.pairwise([channels * columns] + [width] * depth)
        self.blocks = nn.Sequential(*(PlainRecurrent(*size, cell=cell, norm=norm) for size in sizes))
        self.read = read

    def forward(self, x):
        states = self.blocks(x.transpose(1, 2).flatten(2))
        return states[:, -1] if self.read == "last" else states.mean(1)


def torchs_weights(named):
    """Our weights under the names, and in the layout, of torch's layers."""
    return {
        re.sub(r"recurrent\.(\w+)", r"recurrent.\1_hh_l0", name): (
            tensor.movedim(-1, 1) if tensor.dim() == 4 else tensor
        )
        for name, tensor in named.items()
    }


def pair(ours, plain, **options):
    """How to make a backbone of ours, and torch's."""
    return lambda: (ours(shape=SHAPE, **options), plain(**options))


NETWORKS = {
    f"resnet12 {norm}": pair(ResNet12, PlainResNet, widths=[4, 6], norm=norm)
    for norm in ("batch", "group", "layer", "none")
}
NETWORKS |= {
    f"cnn {kernel} {downsample} {read} {hidden} {norm}": pair(
        CNN,
        PlainCNN,
        widths=[4, 6],
        kernel=kernel,
        downsample=downsample,
        padding="same",
        slope=0.0,
        read=read,
        hidden=hidden,
        norm=norm,
    )
    for kernel, downsample, read, hidden, norm in (
        (3, "max_pool", "flatten", 0, "batch"),
        (3, "stride", "flatten", 5, "batch"),
        (5, "stride", "mean", 5, "none"),
        (1, "none", "mean", 0, "group"),
    )
}
NETWORKS |= {
    f"cnn {downsample} {padding}": pair(
        CNN,
        PlainCNN,
        widths=[4, 6],
        kernel=3,
        downsample=downsample,
        padding=padding,
        slope=slope,
        read="flatten",
        hidden=0,
        norm="batch",
    )
    for downsample, padding, slope in (
        (["max_pool", "none"], ["same", "valid"], 0.1),
        (["max_pool", "none"], ["valid", "same"], 0.0),
        ("stride", "valid", 0.2),
    )
}
NETWORKS |= {
    f"rnn {cell} {depth} {read} {norm}": pair(
        RNN, PlainRNN, cell=cell, width=5, depth=depth, read=read, norm=norm
    )
    for cell, depth, read, norm in (
        ("gru", 1, "last", "none"),
        ("gru", 2, "mean", "batch"),
        ("lstm", 2, "last", "batch"),
        ("tanh", 2, "mean", "layer"),
    )
}


@pytest.fixture(params=NETWORKS)
def networks(request):
    """A backbone of ours and torch's, in float64, nothing at its initial value, with equal weights."""
    ours, plain = (network.double() for network in NETWORKS[request.param]())
    with torch.no_grad():
        for place, (name, parameter) in enumerate(ours.named_parameters()):
            spread = 0.2 if parameter.dim() == 1 else (1 / parameter[0].numel()) ** 0.5
            centre = 1.0 if name.endswith("norm.weight") else 0.0
            parameter.copy_(centre + spread * normal(parameter.shape, place))
    missing, unexpected = plain.load_state_dict(torchs_weights(dict(ours.named_parameters())), strict=False)
    assert all("running" in name or "tracked" in name or "_ih_" in name for name in missing)
    assert unexpected == []
    return ours, plain


@pytest.fixture
def episode():
    def examples(each, seed):
        labels = torch.arange(WAYS).repeat_interleave(each).expand(2, -1)
        classes = torch.arange(WAYS).expand(2, -1)
        x = normal((2, WAYS * each, *SHAPE), seed).abs()
        return Examples({"x": x}, labels, torch.ones_like(labels, dtype=bool), labels, classes)

    return Episode(examples(2, 101), examples(3, 102), torch.arange(2))


def test_features_are_those_of_torchs_layers(networks, episode):
    ours, plain = networks
    x = episode.query.inputs["x"]
    features = ours(x)
    assert features.shape == (2, 9, ours.features)
    torch.testing.assert_close(features, torch.stack([plain(task) for task in x]), rtol=1e-11, atol=1e-11)


def test_weights_of_each_task_act_on_that_task_alone(networks, episode):
    ours, _ = networks
    x = episode.query.inputs["x"]
    weights = {
        name: torch.stack([parameter, parameter + 0.1 * normal(parameter.shape, 103)])
        for name, parameter in ours.named_parameters()
    }
    together = functional_call(ours, weights, (x,))
    for t in range(2):
        own = {name: weight[t] for name, weight in weights.items()}
        torch.testing.assert_close(together[t : t + 1], functional_call(ours, own, (x[t : t + 1],)))


def test_every_batch_norm_hands_in_its_statistics(networks, episode):
    ours, _ = networks
    with recorded(ours, differentiable=False) as statistics:
        ours(episode.query.inputs["x"])
    assert statistics.keys() == {n for n, layer in ours.named_modules() if isinstance(layer, BatchNorm)}
    assert all(mean.shape[0] == 2 for mean, _ in statistics.values())


@pytest.mark.parametrize("order", ["first", "second"])
def test_meta_gradients_are_those_of_a_plain_loop(networks, order, episode):
    ours, plain = networks
    learner = MAML(
        inner=InnerLoop(
            spec=TaskSpec("classify", SHAPE, WAYS),
            backbone=ours,
            features=ours.features,
            inner_steps=2,
            inner_eval_steps=2,
            inner_loss_reduction="mean",
            order=order,
            moves_inner=["backbone", "head"],
            moves_outer=["backbone", "head"],
            bn_mode="batch",
        ),
        inner_lr=0.3,
    ).double()
    learner.zero_grad()
    learner.meta_loss(episode).mean().backward()
    got = torchs_weights({name: p.grad for name, p in learner.network.named_parameters()})

    whole = nn.Sequential()
    whole.add_module("backbone", plain)
    whole.add_module("head", nn.Linear(ours.features, WAYS).double())
    whole.load_state_dict(torchs_weights(dict(learner.network.named_parameters())), strict=False)
    expected = plain_meta_gradients(whole, episode, steps=2, lr=0.3, second=order == "second")

    assert got.keys() == expected.keys()
    size = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    for name, gradient in got.items():
        error = (gradient - expected[name]).norm() / expected[name].norm().clamp(min=size / 1000)
        assert error < 1e-9, f"{name}: {error:.1e}"


def plain_meta_gradients(network, episode, *, steps, lr, second):
    """MAML as everybody writes it: task by task, with torch.autograd.grad."""
    initial = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    losses = []
    for t in range(len(episode)):
        weights = initial
        for _ in range(steps):
            logits = functional_call(network, weights, (episode.support.inputs["x"][t],))
            loss = F.cross_entropy(logits, episode.support.labels[t])
            gradients = torch.autograd.grad(
                loss, list(weights.values()), create_graph=second, retain_graph=True
            )
            weights = {
                name: tensor - lr * gradient
                for (name, tensor), gradient in zip(weights.items(), gradients, strict=True)
            }
        logits = functional_call(network, weights, (episode.query.inputs["x"][t],))
        losses.append(F.cross_entropy(logits, episode.query.labels[t]))
    found = torch.autograd.grad(torch.stack(losses).mean(), list(initial.values()))
    return dict(zip(initial, found, strict=True))
