"""MAML whose inner loop moves the head only: its update can be written out by hand."""

import pytest
import torch
import torch.nn.functional as F


def softmax_regression_step(features, labels, weight, bias, rate):
    """One gradient step on the mean cross-entropy, without autograd's help. features [N, D]."""
    error = ((features @ weight.T + bias).softmax(1) - F.one_hot(labels, len(bias))) / len(labels)
    return weight - rate * error.T @ features, bias - rate * error.sum(0)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_is_that_of_the_formula_written_out(steps, make_maml, make_episode):
    learner, episode = make_maml(inner=("head",), steps=steps, lr=0.5), make_episode()
    backbone, head = learner.network.backbone, learner.network.head
    losses = []
    for t in range(len(episode)):
        support, query = (backbone(s.inputs["x"][t : t + 1])[0] for s in (episode.support, episode.query))
        weight, bias = head.weight, head.bias
        for _ in range(steps):
            weight, bias = softmax_regression_step(support, episode.support.labels[t], weight, bias, 0.5)
        losses.append(F.cross_entropy(query @ weight.T + bias, episode.query.labels[t]))
    parameters = list(learner.parameters())
    expected = torch.autograd.grad(torch.stack(losses).mean(), parameters)
    got = torch.autograd.grad(learner.meta_loss(episode).mean(), parameters)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_on_fixed_features_the_meta_gradient_is_identity_minus_rate_times_hessian(make_maml, make_episode):
    learner, episode = make_maml(kind="pixels", inner=("head",), lr=0.3), make_episode(tasks=1)
    head = learner.network.head
    theta = torch.cat([head.weight.detach(), head.bias.detach()[:, None]], 1).flatten()

    def loss(theta, examples):
        features = F.pad(examples.inputs["x"][0].flatten(1), (0, 1), value=1.0)
        return F.cross_entropy(features @ theta.view(len(head.bias), -1).T, examples.labels[0])

    def slope_at(theta, examples):
        return torch.autograd.functional.jacobian(lambda at: loss(at, examples), theta)

    hessian = torch.autograd.functional.hessian(lambda at: loss(at, episode.support), theta)
    slope = slope_at(theta - 0.3 * slope_at(theta, episode.support), episode.query)
    for order, expected in (("first", slope), ("second", slope - 0.3 * hessian @ slope)):
        learner.inner.order = order
        weight, bias = torch.autograd.grad(learner.meta_loss(episode).mean(), (head.weight, head.bias))
        got = torch.cat([weight, bias[:, None]], 1).flatten()
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_the_predictor_holds_the_head_alone(make_maml, make_episode):
    learner = make_maml(inner=("head",), steps=2)
    assert set(learner.adapt(make_episode().support).state) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("steps", [1, 5])
def test_the_backbone_sees_each_set_once(steps, make_maml, make_episode):
    learner, episode = make_maml(inner=("head",), steps=steps), make_episode()
    passes = []
    learner.network.backbone.register_forward_hook(lambda module, inputs, output: passes.append(output))
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    learner.meta_loss(episode)
    assert len(passes) == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())
