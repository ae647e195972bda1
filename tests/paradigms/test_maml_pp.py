"""MAML++ beside a plain loop, and where it is MAML."""

import pytest
import torch
import torch.nn.functional as F

from metacli.paradigms.inner_loop import without_norms
from metacli.paradigms.maml import MAML
from metacli.paradigms.maml_pp import MAMLPlusPlus, loss_weights


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, [0.2] * 5), (5, [0.1] * 4 + [0.6]), (9, [0.02] * 4 + [0.92]), (10, [0.006] * 4 + [0.976])],
)
def test_the_loss_moves_to_the_last_step_as_published(epoch, expected):
    assert loss_weights(5, epoch / 10) == pytest.approx(expected)


def test_with_constant_rates_and_the_last_loss_it_is_maml_whose_norms_stay(make_adapting, make_episode):
    learner = make_adapting(MAMLPlusPlus, inner_steps=3)
    maml = make_adapting(MAML, inner_steps=3, inner_lr=0.25, loop=without_norms)
    episode = make_episode()
    for one in (learner, maml):
        one.meta_loss(episode).mean().backward()
    torch.testing.assert_close(learner.meta_loss(episode), maml.meta_loss(episode), rtol=1e-12, atol=0)
    later = dict(zip(learner.norms, learner.later, strict=True))
    whole = dict(maml.network.named_parameters())
    assert set(later) == {name for name in whole if ".norm." in name}
    for name, own in learner.network.named_parameters():
        gradient = own.grad + later[name].grad.sum(0) if name in later else own.grad
        torch.testing.assert_close(gradient, whole[name].grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("done", [0.25, 0.5], ids=["every step's loss", "the last loss"])
@pytest.mark.parametrize("order", ["first", "second"])
def test_meta_gradients_of_weights_norms_and_rates_are_those_of_a_plain_loop(
    order, done, make_adapting, make_episode, plain_mlp
):
    steps = 3
    learner = make_adapting(
        MAMLPlusPlus,
        inner_steps=steps,
        first_order=0.0 if order == "second" else 0.9,
        backbone={"kind": "mlp"},
    )
    learner.begin_step(int(100 * done), 100, torch.Generator())
    with torch.no_grad():
        for one in (learner.rates, *learner.later):
            one += 0.1 * torch.rand(one.shape, generator=torch.Generator().manual_seed(4), dtype=one.dtype)
    counts = loss_weights(steps, 0.5) if done < 0.5 else [0, 0, 1]
    episode, losses = make_episode(), []
    for task in range(2):
        support, query = ((s.inputs["x"][task], s.labels[task]) for s in (episode.support, episode.query))
        whole = dict(learner.network.named_parameters())
        norms = [
            {
                name: whole[name] if step == 0 else rows[step - 1]
                for name, rows in zip(learner.norms, learner.later, strict=True)
            }
            for step in range(steps)
        ]
        weights = {name: tensor for name, tensor in whole.items() if name not in learner.norms}
        for step in range(steps):
            loss = F.cross_entropy(plain_mlp(weights | norms[step], support[0]), support[1])
            gradients = torch.autograd.grad(
                loss, list(weights.values()), create_graph=order == "second", retain_graph=True
            )
            weights = {
                name: weights[name] - learner.rates[place, step] * gradient
                for place, (name, gradient) in enumerate(zip(weights, gradients, strict=True))
            }
            losses.append(
                counts[step] * F.cross_entropy(plain_mlp(weights | norms[step], query[0]), query[1])
            )
    moving = list(learner.parameters())
    expected, found = (
        torch.autograd.grad(
            loss, moving, materialize_grads=True
        )  # of first order, no early norm matters at last
        for loss in (torch.stack(losses).sum() / 2, learner.meta_loss(episode).mean())
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_norms_of_later_steps_begin_as_those_of_a_pretrained_network(make_adapting, make_episode):
    learner = make_adapting(MAMLPlusPlus, inner_steps=3)
    name = learner.norms[0]
    with torch.no_grad():
        learner.network.get_parameter(name).fill_(7.0)
    learner.begin_step(0, 10, torch.Generator())
    assert learner.later[0].shape == (2, 6)
    assert (learner.later[0] == 7).all()
    with torch.no_grad():
        learner.later[0].fill_(3.0)
    learner.begin_step(1, 10, torch.Generator())
    assert (learner.later[0] == 3).all()
