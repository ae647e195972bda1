"""What MAML is by definition, beside the plain loop of test_maml_reference.py."""

import pytest
import torch
import torch.nn.functional as F

from metacli.backbones.conv4 import Conv4
from metacli.episode import TaskSpec
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML


def gradients(learner):
    return {name: p.grad for name, p in learner.network.named_parameters()}


def meta_gradients(learner, episode):
    learner.zero_grad()
    learner.meta_loss(episode).mean().backward()
    return gradients(learner)


@pytest.mark.parametrize("order", ["first", "second"])
def test_with_inner_rate_zero_the_meta_gradient_is_the_supervised_one(order, make_maml, make_episode):
    learner, episode = make_maml(lr=0.0, order=order), make_episode()
    got = meta_gradients(learner, episode)
    learner.zero_grad()
    logits = learner.network(episode.query.inputs["x"])
    F.cross_entropy(logits.flatten(0, 1), episode.query.labels.flatten()).backward()
    torch.testing.assert_close(got, gradients(learner))


@pytest.mark.parametrize("inner", [("backbone", "head"), ("head",)], ids=str)
def test_the_first_order_meta_gradient_is_that_of_the_query_loss_at_the_adapted_weights(
    inner, make_maml, make_episode
):
    learner, episode = make_maml(order="first", steps=3, inner=inner), make_episode()
    got = meta_gradients(learner, episode)
    learner.zero_grad()
    predictor = learner.adapt(episode.support).detach()
    adapted = {name: tensor.requires_grad_() for name, tensor in predictor.state.items()}
    learner.query_loss(predictor, episode.query).mean().backward()
    expected = gradients(learner) | {name: tensor.grad.sum(0) for name, tensor in adapted.items()}
    torch.testing.assert_close(got, expected)


def test_each_inner_step_goes_down_the_support_loss_by_the_inner_rate(make_maml, make_episode):
    learner, support = make_maml(lr=0.05, inner=("backbone", "head")), make_episode().support
    state = learner.adapt(support).state
    loss = learner.query_loss(learner.adapt(support), support)
    before = F.cross_entropy(
        learner.network(support.inputs["x"]).flatten(0, 1), support.labels.flatten(), reduction="none"
    )
    assert (loss < before.view(2, -1).mean(1)).all()
    slope = torch.autograd.grad(before.view(2, -1)[1].mean(), learner.network.head.weight)[0]
    torch.testing.assert_close(state["head.weight"][1], learner.network.head.weight - 0.05 * slope)


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("inner", [("backbone", "head"), ("head",)], ids=str)
def test_evaluation_predicts_what_training_predicts_after_as_many_steps(
    inner, order, make_maml, make_episode
):
    learner, episode = make_maml(steps=3, inner=inner, order=order), make_episode()
    training = learner.adapt(episode.support)(episode.query.inputs)
    with torch.no_grad():
        evaluation = learner.eval().adapt(episode.support)(episode.query.inputs)
    torch.testing.assert_close(training, evaluation, rtol=1e-12, atol=1e-12)


def test_evaluation_takes_its_own_number_of_steps(make_maml, make_episode):
    learner, longer, support = make_maml(steps=1), make_maml(steps=4), make_episode().support
    learner.inner.eval_steps = 4
    with torch.no_grad():
        evaluation = learner.eval().adapt(support)
    training = longer.adapt(support)
    torch.testing.assert_close(evaluation.state, training.detach().state)


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("inner", [("backbone", "head"), ("head",)], ids=str)
def test_a_loss_summed_over_the_ways_is_the_mean_at_as_many_times_the_rate(
    inner, order, make_maml, make_episode
):
    options = {"steps": 2, "order": order, "inner": inner}
    mean, summed = (
        make_maml(lr=0.3, **options),
        make_maml(lr=0.1, reduction="sum_over_k", **options),
    )  # 3 ways
    expected = meta_gradients(mean, make_episode())
    torch.testing.assert_close(meta_gradients(summed, make_episode()), expected, rtol=1e-11, atol=1e-13)


def test_evaluation_keeps_no_graph(make_maml, make_episode, monkeypatch):
    created, whole = [], torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd,
        "grad",
        lambda *arguments, create_graph: (
            created.append(create_graph) or whole(*arguments, create_graph=create_graph)
        ),
    )
    learner = make_maml(bn_mode="support", steps=2).eval()
    with torch.no_grad():
        predictor = learner.adapt(make_episode().support)
    assert not any(tensor.requires_grad for tensor in predictor.state.values())
    assert created == [False, False]


def test_only_what_moves_outside_gets_a_gradient(make_maml, make_episode):
    episode = make_episode()
    whole = meta_gradients(make_maml(), episode)
    learner = make_maml(outer=("last_block", "head"))
    part = meta_gradients(learner, episode)
    moved = {name for name, gradient in part.items() if gradient is not None}
    assert moved == {name for name in whole if name.startswith(("backbone.blocks.2.", "head."))}
    torch.testing.assert_close({name: part[name] for name in moved}, {name: whole[name] for name in moved})


def test_what_is_frozen_outside_still_adapts_inside(make_maml, make_episode):
    support = make_episode().support
    one, other = make_maml(outer=("head",), steps=2), make_maml(steps=2)
    torch.testing.assert_close(one.adapt(support).detach().state, other.adapt(support).detach().state)


def test_only_what_moves_inside_stands_in_the_predictor(make_maml, make_episode):
    learner = make_maml(inner=("norm", "head"))
    names = {f"backbone.blocks.{i}.norm.{p}" for i in range(3) for p in ("weight", "bias")}
    state = learner.adapt(make_episode().support).state
    assert set(state) == names | {"head.weight", "head.bias"}


def test_the_omniglot_network_has_the_published_parameters_but_for_biases_that_cancel():
    backbone = Conv4(shape=(1, 28, 28), width=64, depth=4, downsample="stride", norm="batch")
    learner = MAML(
        inner=InnerLoop(
            spec=TaskSpec("classify", (1, 28, 28), 5),
            backbone=backbone,
            features=backbone.features,
            inner_steps=1,
            inner_eval_steps=1,
            inner_loss_reduction="mean",
            order="second",
            moves_inner=["backbone", "head"],
            moves_outer=["backbone", "head"],
            bn_mode="batch",
        ),
        inner_lr=0.4,
    )
    assert sum(parameter.numel() for parameter in learner.parameters()) == 112261 - 4 * 64
