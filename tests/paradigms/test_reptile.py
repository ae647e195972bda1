"""Reptile beside torch's own optimizers, a task after the other; what it keeps from task to task."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from metacli.paradigms.reptile import Reptile, minibatches
from metacli.parts import commit, moved, part_of, total


def generator(seed):
    return torch.Generator().manual_seed(seed)


def outer_step(learner, optimizer, episode, seed, chunk=10):
    """As the trainer takes it."""
    learner.begin_step(0, 1, generator(seed))
    optimizer.zero_grad(set_to_none=True)
    parts = [part_of(learner, part, len(episode)) for part in episode.chunks(chunk)]
    _, statistics = total(parts, moved(learner))
    optimizer.step()
    commit(learner, statistics)


def outer(learner, lr):
    return torch.optim.SGD(learner.parameters(), lr=lr)


def steps_of(network, optimizer, episode, task, batches):
    """Descend the loss of one task in place."""
    items = episode.everything()
    for places in batches:
        optimizer.zero_grad()
        x, labels = items.inputs["x"][task : task + 1, places], items.labels[task, places]
        F.cross_entropy(network(x)[0], labels).backward()
        optimizer.step()


def test_after_one_step_of_gradient_descent_the_outer_step_is_the_mean_gradient(make_adapting, make_episode):
    learner = make_adapting(Reptile, inner_optimizer="sgd", inner_lr=0.3, inner_batch=15)
    reference, episode = copy.deepcopy(learner.network), make_episode()
    items = episode.everything()
    F.cross_entropy(reference(items.inputs["x"]).flatten(0, 1), items.labels.flatten()).backward()
    outer_step(learner, outer(learner, lr=0.5), episode, seed=0)
    for own, before in zip(learner.network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, before - 0.5 * 0.3 * before.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "aruba"])
def test_at_rate_zero_nothing_moves_outside(optimizer, make_adapting, make_episode):
    learner = make_adapting(Reptile, inner_optimizer=optimizer, inner_steps=2)
    before = copy.deepcopy(learner.network.state_dict())
    outer_step(learner, outer(learner, lr=0.0), make_episode(), seed=0)
    torch.testing.assert_close(learner.network.state_dict(), before, rtol=0, atol=0)


def test_task_after_task_it_is_torchs_adam_with_its_second_moment_kept(make_adapting, make_episode):
    learner = make_adapting(Reptile, inner_steps=3, inner_batch=4)
    network, theta = copy.deepcopy(learner.network), copy.deepcopy(learner.network.state_dict())
    adam = torch.optim.Adam(network.parameters(), lr=0.05, betas=(0.0, 0.999))
    optimizer, whole = outer(learner, lr=0.7), make_episode()
    for step, episode in enumerate(whole.chunks(1)):
        outer_step(learner, optimizer, episode, seed=step)
        steps_of(network, adam, episode, 0, minibatches(15, 4, 3, generator(step)))
        theta = {name: was + 0.7 * (network.state_dict()[name] - was) for name, was in theta.items()}
        network.load_state_dict(theta)
    torch.testing.assert_close(learner.network.state_dict(), theta, rtol=1e-9, atol=1e-11)
    kept = torch.cat([adam.state[parameter]["exp_avg_sq"].flatten() for parameter in network.parameters()])
    torch.testing.assert_close(learner.descent.second, kept, rtol=1e-9, atol=1e-14)
    assert learner.descent.steps == 6


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_side_by_side_every_task_starts_from_what_was_kept_and_adds_to_it_in_order(
    chunk, make_adapting, make_episode
):
    learner, episode = make_adapting(Reptile, inner_steps=2, inner_batch=4), make_episode(tasks=3)
    outer_step(learner, outer(learner, lr=0.5), make_episode(), seed=7)
    kept, passed = learner.descent.second.clone(), int(learner.descent.steps)
    theta, ends, after = copy.deepcopy(learner.network.state_dict()), [], kept.clone()
    for task in range(3):
        network = copy.deepcopy(learner.network)
        adam = torch.optim.Adam(network.parameters(), lr=0.05, betas=(0.0, 0.999))
        places = 0
        for parameter in network.parameters():
            own = kept[places : places + parameter.numel()].view_as(parameter).clone()
            state = {"step": torch.tensor(float(passed)), "exp_avg": torch.zeros_like(parameter)}
            adam.state[parameter] = state | {"exp_avg_sq": own}
            places += parameter.numel()
        steps_of(network, adam, episode, task, minibatches(15, 4, 2, generator(8)))
        ends.append(network.state_dict())
        found = torch.cat(
            [adam.state[parameter]["exp_avg_sq"].flatten() for parameter in network.parameters()]
        )
        after = 0.999**2 * after + (found - 0.999**2 * kept)
    outer_step(learner, outer(learner, lr=0.5), episode, seed=8, chunk=chunk)
    for name, tensor in learner.network.named_parameters():
        mean = torch.stack([end[name] for end in ends]).mean(0)
        torch.testing.assert_close(tensor, 0.5 * (theta[name] + mean), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(learner.descent.second, after, rtol=1e-9, atol=1e-14)


def test_aruba_keeps_how_far_weights_moved_and_how_steep_it_was(make_adapting, make_episode):
    learner = make_adapting(Reptile, inner_optimizer="aruba", inner_lr=0.2, inner_steps=2, inner_batch=4)
    moved_so_far = squares = None
    for number, episode in enumerate(make_episode().chunks(1), start=1):
        weights = dict(learner.network.named_parameters())
        if moved_so_far is None:
            moved_so_far = {name: torch.full_like(weight, 0.2**2) for name, weight in weights.items()}
            squares = {name: torch.ones_like(weight) for name, weight in weights.items()}
        items, at = episode.everything(), weights
        rates = {name: (moved_so_far[name] / squares[name]).sqrt() for name in weights}
        for places in minibatches(15, 4, 2, generator(number)):
            logits = functional_call(learner.network, at, (items.inputs["x"][:, places],))
            gradients = torch.autograd.grad(
                F.cross_entropy(logits[0], items.labels[0, places]), list(at.values())
            )
            gradients = dict(zip(at, gradients, strict=True))
            at = {
                name: (at[name] - rates[name] * gradients[name]).detach().requires_grad_() for name in weights
            }
            squares = {name: squares[name] + gradients[name] ** 2 for name in weights}
        for name, weight in weights.items():
            moved_so_far[name] += (at[name] - weight).detach() ** 2 / 2 + 0.2**2 / (number + 1)
            squares[name] += 1 / (number + 1)
        outer_step(learner, outer(learner, lr=0.7), episode, seed=number)
    for own, expected in ((learner.descent.moved, moved_so_far), (learner.descent.squares, squares)):
        flat = torch.cat([tensor.flatten() for tensor in expected.values()])
        torch.testing.assert_close(own, flat, rtol=1e-6, atol=1e-12)  # they begin as float32


def test_minibatches_go_round_after_round_through_all_items_in_new_orders():
    batches = minibatches(items=6, batch=4, steps=6, shuffle=generator(0))
    assert batches.shape == (6, 4)
    rounds = batches.flatten().view(4, 6)
    assert (rounds.sort(1).values == torch.arange(6)).all()
    assert len({tuple(order) for order in rounds.tolist()}) == 4


def test_training_reads_queries_as_further_items(make_adapting, make_episode):
    learner, episode = make_adapting(Reptile, inner_batch=15), make_episode()
    as_shots = replace(episode, support=episode.everything(), query=episode.query.at(torch.arange(0)))
    torch.testing.assert_close(learner.meta_loss(as_shots), learner.meta_loss(episode))


def test_a_step_of_training_is_shuffled_anew_and_evaluation_never(make_adapting, make_episode):
    learner, support = make_adapting(Reptile, inner_batch=2, inner_steps=2), make_episode().support

    def adapted(seed):
        learner.begin_step(0, 1, generator(seed))
        return learner.adapt(support).state["head.weight"]

    assert not torch.equal(adapted(1), adapted(2))
    learner.eval()
    assert torch.equal(adapted(1), adapted(2))
