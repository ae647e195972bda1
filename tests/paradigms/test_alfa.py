"""ALFA beside a plain loop, and where it is MAML."""

import pytest
import torch
import torch.nn.functional as F

from metacli.paradigms.alfa import ALFA
from metacli.paradigms.inner_loop import without_norms
from metacli.paradigms.maml import MAML


def test_where_nothing_but_ones_and_no_decay_is_generated_it_is_maml_whose_norms_stay(
    make_adapting, make_episode
):
    learner = make_adapting(ALFA, inner_steps=2)
    maml = make_adapting(MAML, inner_steps=2, inner_lr=0.25, loop=without_norms)
    episode = make_episode()
    tensors = len(learner.rates)
    with torch.no_grad():
        learner.generator[2].weight.zero_()
        learner.generator[2].bias.copy_(torch.arange(2 * tensors) < tensors)
    for one in (learner, maml):
        one.meta_loss(episode).mean().backward()
    torch.testing.assert_close(learner.meta_loss(episode), maml.meta_loss(episode), rtol=1e-12, atol=0)
    for own, other in zip(learner.network.parameters(), maml.network.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("order", ["first", "second"])
def test_meta_gradients_of_all_that_is_learned_are_those_of_a_plain_loop(
    order, make_adapting, make_episode, plain_mlp
):
    learner = make_adapting(ALFA, inner_steps=2, order=order, backbone={"kind": "mlp"})
    with torch.no_grad():
        for one in learner.generator.parameters():
            one += torch.rand(one.shape, generator=torch.Generator().manual_seed(4), dtype=one.dtype) / 2
    episode, losses = make_episode(), []
    for task in range(2):
        support, query = ((s.inputs["x"][task], s.labels[task]) for s in (episode.support, episode.query))
        whole = dict(learner.network.named_parameters())
        for step in range(2):
            names = learner.inner.adapted
            loss = F.cross_entropy(plain_mlp(whole, support[0]), support[1])
            gradients = torch.autograd.grad(
                loss, [whole[name] for name in names], create_graph=order == "second", retain_graph=True
            )
            means = [whole[name].mean() for name in names] + [each.mean().detach() for each in gradients]
            a, b = learner.generator(torch.stack(means)).split(len(names))
            whole = whole | {
                name: (1 - b[k] * learner.decays[k, step]) * whole[name]
                - a[k] * learner.rates[k, step] * gradient
                for k, (name, gradient) in enumerate(zip(names, gradients, strict=True))
            }
        losses.append(F.cross_entropy(plain_mlp(whole, query[0]), query[1]))
    moving = list(learner.parameters())
    expected = torch.autograd.grad(torch.stack(losses).mean(), moving)
    found = torch.autograd.grad(learner.meta_loss(episode).mean(), moving)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
