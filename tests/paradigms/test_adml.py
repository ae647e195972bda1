"""ADML written out: two inner steps from one start, clean and attacked, each judged on the other kind."""

import pytest
import torch
import torch.nn.functional as F

from metacli.attacks.fgsm import FGSM
from metacli.paradigms.adml import ADML

OWN = {"inner_lr": 0.2, "order": "second", "attack": FGSM(epsilon=0.1), "seed": 0}


@pytest.fixture
def learner(make_adapting):
    return make_adapting(ADML, backbone={"kind": "mlp"}, **OWN)


def test_the_loss_and_its_gradient_are_those_written_out(learner, make_episode, plain_mlp):
    episode = make_episode()
    named = dict(learner.network.named_parameters())

    def loss(weights, x, labels):
        return F.cross_entropy(plain_mlp(weights, x), labels)

    def attacked(x, labels):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss({n: p.detach() for n, p in named.items()}, x, labels), x)
        return (x + 0.1 * slope.sign()).clamp(0, 1).detach()

    def adapted(x, labels):
        gradients = torch.autograd.grad(loss(named, x, labels), list(named.values()), create_graph=True)
        return {n: p - 0.2 * g for (n, p), g in zip(named.items(), gradients, strict=True)}

    expected = []
    for task in range(len(episode)):
        support, query = ((s.inputs["x"][task], s.labels[task]) for s in (episode.support, episode.query))
        robust, plain = adapted(attacked(*support), support[1]), adapted(*support)
        crossed = loss(robust, *query) + loss(plain, attacked(*query), query[1])
        expected.append(crossed / 2)
    found = learner.meta_loss(episode)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-9, atol=1e-10)
    parameters = list(named.values())
    gradients = torch.autograd.grad(torch.stack(expected).mean(), parameters)
    torch.testing.assert_close(
        torch.autograd.grad(found.mean(), parameters), gradients, rtol=1e-8, atol=1e-10
    )
