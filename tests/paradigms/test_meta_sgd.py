"""Meta-SGD beside a plain loop, and where it is MAML."""

import pytest
import torch
import torch.nn.functional as F

from metacli.paradigms.maml import MAML
from metacli.paradigms.meta_sgd import MetaSGD


def test_with_constant_frozen_rates_it_is_maml_of_one_step(make_adapting, make_episode):
    learner, maml, episode = make_adapting(MetaSGD), make_adapting(MAML, inner_lr=0.2), make_episode()
    for rate in learner.rates:
        rate.requires_grad_(False).fill_(0.2)
    for one in (learner, maml):
        one.meta_loss(episode).mean().backward()
    torch.testing.assert_close(learner.meta_loss(episode), maml.meta_loss(episode), rtol=0, atol=0)
    for own, other in zip(learner.network.parameters(), maml.network.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("steps", [1, 3])
def test_meta_gradients_of_weights_and_rates_are_those_of_a_plain_loop(
    steps, order, make_adapting, make_episode, plain_mlp
):
    learner = make_adapting(MetaSGD, order=order, inner_steps=steps, backbone={"kind": "mlp"})
    episode, losses = make_episode(), []
    for task in range(2):
        weights = dict(learner.network.named_parameters())
        for _ in range(steps):
            loss = F.cross_entropy(
                plain_mlp(weights, episode.support.inputs["x"][task]), episode.support.labels[task]
            )
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=order == "second")
            weights = {
                name: weights[name] - rate * gradient
                for name, rate, gradient in zip(weights, learner.rates, gradients, strict=True)
            }
        losses.append(
            F.cross_entropy(plain_mlp(weights, episode.query.inputs["x"][task]), episode.query.labels[task])
        )
    moving = list(learner.parameters())
    expected = torch.autograd.grad(torch.stack(losses).mean(), moving)
    found = torch.autograd.grad(learner.meta_loss(episode).mean(), moving)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_every_weight_that_adapts_has_a_rate_of_its_own_in_the_range_asked_for(make_adapting):
    learner = make_adapting(MetaSGD, inner_initial_lr=(0.01, 0.1), moves_inner=("head",))
    weights = dict(learner.network.head.named_parameters()).values()
    for rate, weight in zip(learner.rates, weights, strict=True):
        assert rate.shape == weight.shape
        assert 0.01 <= rate.min() < rate.max() <= 0.1
