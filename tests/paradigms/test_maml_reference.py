"""Meta-gradients and predictions of MAML against a plain loop: one task at a time, torch's own functions."""

from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F

from metacli.backbones.mlp import MLP
from metacli.episode import Episode, Examples, TaskSpec
from metacli.kernels import convolution
from metacli.layers import fused
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML


@dataclass
class Plain:
    """The network on one task [N, C, H, W] -> [N, W], with the options of the learner under test."""

    learner: object
    downsample: str = "stride"
    norm: str = "batch"
    stored: bool = False  # running statistics in place of the batch's
    seen: list = field(default_factory=list)  # batch statistics of the last pass

    def __call__(self, weights, x, statistics=None):
        self.seen = []
        depth = len(self.learner.network.backbone.blocks)
        for block in range(depth):
            name = f"backbone.blocks.{block}."
            if name + "linear.weight" in weights:
                x = F.linear(x.flatten(1), weights[name + "linear.weight"], weights.get(name + "linear.bias"))
            else:
                kernel = weights[name + "conv.weight"].permute(0, 3, 1, 2)
                stride = 2 if self.downsample == "stride" else 1
                x = F.conv2d(x, kernel, weights.get(name + "conv.bias"), stride=stride, padding=1)
            x = self.normalise(weights, x, block, statistics[block] if statistics else None).relu()
            if x.dim() == 4 and self.downsample == "max_pool":
                x = F.max_pool2d(x, 2)
        if x.dim() == 4:
            x = x.permute(0, 2, 3, 1).flatten(1) if self.downsample == "max_pool" else x.mean((2, 3))
        return F.linear(x, weights["head.weight"], weights["head.bias"])

    def normalise(self, weights, x, block, statistics):
        if self.norm == "none":
            return x
        name = f"backbone.blocks.{block}.norm"
        scale, shift = weights[name + ".weight"], weights[name + ".bias"]
        if self.norm in ("group", "layer"):
            return F.group_norm(x, {"group": 2, "layer": 1}[self.norm], scale, shift)
        if self.stored:
            layer = self.learner.network.get_submodule(name)
            statistics = layer.running_mean, layer.running_var
        axes = (0, 2, 3) if x.dim() == 4 else 0
        self.seen.append((x.mean(axes), x.var(axes, correction=0)))
        if statistics is None:
            return F.batch_norm(x, None, None, scale, shift, training=True)
        mean, variance = statistics
        columns = (1, -1, 1, 1) if x.dim() == 4 else (1, -1)
        normal = (x - mean.view(columns)) / (variance.view(columns) + 1e-5).sqrt()
        return normal * scale.view(columns) + shift.view(columns)


def adapt(network, learner, x, labels, steps):
    """Weights after `steps` of gradient descent on one support set."""
    weights = dict(learner.network.named_parameters())
    for _ in range(steps):
        loss = F.cross_entropy(network(weights, x), labels)
        moved = {name: weights[name] for name in learner.inner.adapted}
        second = learner.inner.order == "second"
        gradients = torch.autograd.grad(loss, list(moved.values()), create_graph=second, retain_graph=True)
        for (name, tensor), gradient in zip(moved.items(), gradients, strict=True):
            weights[name] = tensor - learner.inner_lr * gradient
    return weights


def answers(network, weights, learner, support, query):
    """Logits of one task's queries."""
    mode = learner.inner.passes.bn_mode
    if mode == "with_support_single" and not learner.training:
        return torch.cat([network(weights, torch.cat([support, one[None]]))[-1:] for one in query])
    if mode == "support":
        network(weights, support)
        return network(weights, query, network.seen)
    return network(weights, query)


def meta_gradient(network, learner, episode):
    """Gradient of the mean query loss, by name of the parameter."""
    losses = []
    for task in range(len(episode)):
        support, query = (s.inputs["x"][task].double() for s in (episode.support, episode.query))
        weights = adapt(network, learner, support, episode.support.labels[task], learner.inner.steps)
        logits = answers(network, weights, learner, support, query)
        losses.append(F.cross_entropy(logits, episode.query.labels[task]))
    moving = {name: p for name, p in learner.network.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(moving.values()))
    return dict(zip(moving, gradients, strict=True))


def own_gradient(learner, episode):
    learner.zero_grad()
    learner.meta_loss(episode).mean().backward()
    return {name: p.grad for name, p in learner.network.named_parameters() if p.requires_grad}


def assert_same(got, expected, tolerance):
    """Relative to each parameter's gradient, or to a thousandth of the whole where batch norm cancels it."""
    assert got.keys() == expected.keys()
    whole = sum(gradient.square().sum() for gradient in expected.values()).sqrt()
    for name, gradient in got.items():
        error = (gradient - expected[name]).norm() / expected[name].norm().clamp(min=whole / 1000)
        assert error.item() <= tolerance, f"{name}: {error.item():.1e}"


NETWORKS = {
    "stride": {"downsample": "stride"},
    "max_pool": {"downsample": "max_pool"},
    "mlp": {"kind": "mlp"},
}


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
@pytest.mark.parametrize("network", NETWORKS)
def test_meta_gradients_are_those_of_a_plain_loop(network, norm, steps, order, make_maml, make_episode):
    options = NETWORKS[network]
    learner = make_maml(order=order, steps=steps, norm=norm, **options)
    plain = Plain(learner, options.get("downsample"), norm)
    episode = make_episode()
    assert_same(own_gradient(learner, episode), meta_gradient(plain, learner, episode), 1e-9)


@pytest.mark.parametrize(
    "inner", [("backbone", "head"), ("head",), ("last_block", "head"), ("norm",)], ids=str
)
@pytest.mark.parametrize("bn_mode", ["batch", "support", "running", "with_support_single"])
def test_meta_gradients_are_right_in_every_bn_mode_whatever_moves(bn_mode, inner, make_maml, make_episode):
    learner = make_maml(bn_mode=bn_mode, inner=inner, steps=2)
    episode = make_episode()
    assert_same(own_gradient(learner, episode), meta_gradient(Plain(learner), learner, episode), 1e-9)


@pytest.mark.parametrize("variant", ["library convolution", "many channels"])
def test_meta_gradients_are_right_on_every_way_to_compute(variant, make_maml, make_episode, monkeypatch):
    if variant == "library convolution":
        for limit in ("FEW_ROWS", "FEW_ROWS_STRIDED", "SMALL_MAP"):
            monkeypatch.setattr(convolution, limit, 0)
    shape = (fused.FOLDED_CHANNELS + 1, 9, 10) if variant == "many channels" else (1, 9, 10)
    for downsample in ("stride", "max_pool"):
        learner = make_maml(steps=2, downsample=downsample, shape=shape)
        episode = make_episode(shape=shape)
        plain = Plain(learner, downsample)
        assert_same(own_gradient(learner, episode), meta_gradient(plain, learner, episode), 1e-9)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("network", NETWORKS)
def test_float32_meta_gradients_are_close_to_the_plain_loop_in_float64(
    network, steps, make_maml, make_episode, device
):
    options = NETWORKS[network]
    learner, exact = (make_maml(steps=steps, **options) for _ in range(2))
    learner.float().to(device)
    for low, high in zip(learner.parameters(), exact.parameters(), strict=True):
        high.data.copy_(low.data)
    episode = make_episode(dtype=torch.float32)
    got = {name: gradient.cpu() for name, gradient in own_gradient(learner, episode.to(device)).items()}
    assert_same(got, meta_gradient(Plain(exact, options.get("downsample")), exact, episode), 1e-4)


@pytest.mark.parametrize("bn_mode", ["batch", "support", "running", "with_support_single"])
@pytest.mark.parametrize("inner", [("backbone", "head"), ("head",)], ids=str)
def test_predictions_at_evaluation_are_those_of_a_plain_loop(inner, bn_mode, make_maml, make_episode):
    learner = make_maml(bn_mode=bn_mode, inner=inner, steps=3).eval()
    episode = make_episode()
    support, query = episode.support, episode.query
    with torch.no_grad():
        got = learner.adapt(support)(query.inputs)
    plain = Plain(learner, stored=bn_mode == "running")
    for task in range(len(episode)):
        images = support.inputs["x"][task]
        weights = adapt(plain, learner, images, support.labels[task], 3)
        expected = answers(plain, weights, learner, images, query.inputs["x"][task])
        torch.testing.assert_close(got[task], expected, rtol=1e-9, atol=1e-9)


def test_second_order_meta_gradients_agree_with_finite_differences(make_maml, make_episode):
    learner, episode, step = make_maml(steps=2), make_episode(), 1e-5
    gradients = own_gradient(learner, episode)
    for name, parameter in learner.network.named_parameters():
        place = gradients[name].abs().argmax()
        weight = parameter.data.view(-1)
        losses = []
        for sign in (1, -1):
            weight[place] += sign * step
            losses.append(learner.meta_loss(episode).mean().item())
            weight[place] -= sign * step
        slope = (losses[0] - losses[1]) / (2 * step)
        assert gradients[name].view(-1)[place].item() == pytest.approx(slope, rel=1e-4), name


def test_first_and_second_order_differ(make_maml, make_episode):
    episode = make_episode()
    first, second = (own_gradient(make_maml(order=order), episode) for order in ("first", "second"))
    for name, gradient in first.items():
        assert (gradient - second[name]).norm() > 0.01 * gradient.norm(), name


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("steps", [1, 5])
def test_meta_gradients_of_regression_are_those_of_a_plain_loop(order, steps):
    torch.manual_seed(0)
    backbone = MLP(shape=(1,), widths=[5, 4], norm="none")
    learner = MAML(
        inner=InnerLoop(
            spec=TaskSpec("regress", (1,), 2),
            backbone=backbone,
            features=4,
            inner_steps=steps,
            inner_eval_steps=steps,
            inner_loss_reduction="mean",
            order=order,
            moves_inner=["backbone", "head"],
            moves_outer=["backbone", "head"],
            bn_mode="batch",
        ),
        inner_lr=0.1,
    ).double()
    given, asked = (
        Examples({"x": x}, y, torch.ones(3, n, dtype=torch.bool), torch.zeros(3, n), torch.zeros(3, 0))
        for n in (4, 6)
        for x, y in [(torch.randn(3, n, 1).double(), torch.randn(3, n, 2).double())]
    )
    learner.meta_loss(Episode(given, asked, torch.arange(3))).sum().backward()
    found = {name: parameter.grad for name, parameter in learner.network.named_parameters()}

    def predicted(weights, x):
        for block in range(2):
            name = f"backbone.blocks.{block}.linear"
            x = F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"]).relu()
        return F.linear(x, weights["head.weight"], weights["head.bias"])

    whole = dict(learner.network.named_parameters())
    total = 0
    for task in range(3):
        weights = dict(whole)
        for _ in range(steps):
            loss = F.mse_loss(predicted(weights, given.inputs["x"][task]), given.labels[task])
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=order == "second")
            weights = {
                name: tensor - 0.1 * gradient
                for (name, tensor), gradient in zip(weights.items(), gradients, strict=True)
            }
        total = total + F.mse_loss(predicted(weights, asked.inputs["x"][task]), asked.labels[task])
    wanted = dict(zip(whole, torch.autograd.grad(total, list(whole.values())), strict=True))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
