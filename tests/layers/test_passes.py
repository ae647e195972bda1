"""What each bn_mode normalises with, and which queries see each other."""

import pytest
import torch
import torch.nn.functional as F

from metacli.backbones.mlp import MLP
from metacli.layers import Passes

MODES = ["batch", "support", "running", "with_support_single"]


@pytest.fixture
def sets():
    """Support [2, 4, 5] and queries [2, 3, 5]."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 5, generator=random, dtype=torch.float64)
    return {"x": x[:, :4]}, {"x": x[:, 4:]}


def passes(mode, *, training):
    """A network of two blocks in which nothing is at its initial value, and weights of each task for it."""
    random = torch.Generator().manual_seed(1)
    network = MLP(shape=(5,), widths=[6, 4], norm="batch").double().train(training)
    for tensor in network.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape, generator=random, dtype=torch.float64) + 0.1)
    weights = {
        name: torch.randn(2, *parameter.shape, generator=random, dtype=torch.float64)
        for name, parameter in network.named_parameters()
    }
    return Passes(network, mode), weights


def answers(runner, weights, support, query):
    return runner.query(weights | runner.context(weights, support), query)


def plain(weights, task, x, statistics=None):
    """One task, [N, D] -> [N, K]; statistics: (mean, variance) of each block, else those of x."""
    seen = []
    for block in (0, 1):
        own = {
            name.removeprefix(f"blocks.{block}."): weight[task]
            for name, weight in weights.items()
            if name.startswith(f"blocks.{block}.")
        }
        x = F.linear(x, own["linear.weight"], own.get("linear.bias"))
        mean, variance = statistics[block] if statistics else (x.mean(0), x.var(0, correction=0))
        seen.append((mean, variance))
        x = ((x - mean) / (variance + 1e-5).sqrt() * own["norm.weight"] + own["norm.bias"]).relu()
    return x, seen


def expected(mode, network, weights, task, support, query):
    match mode:
        case "batch":
            return plain(weights, task, query)[0]
        case "support":
            return plain(weights, task, query, plain(weights, task, support)[1])[0]
        case "running":
            stored = [(block.norm.running_mean, block.norm.running_var) for block in network.blocks]
            return plain(weights, task, query, stored)[0]
        case "with_support_single":
            both = [plain(weights, task, torch.cat([support, q[None]]))[0] for q in query]
            return torch.stack([outputs[-1] for outputs in both])


@pytest.mark.parametrize("mode", MODES)
def test_queries_are_normalised_as_the_mode_says(mode, sets):
    runner, weights = passes(mode, training=False)
    support, query = sets
    got = answers(runner, weights, support, query)
    for task in range(2):
        reference = expected(mode, runner.network, weights, task, support["x"][task], query["x"][task])
        torch.testing.assert_close(got[task], reference)


@pytest.mark.parametrize("mode", MODES)
def test_the_support_pass_uses_its_own_statistics_except_running_ones(mode, sets):
    runner, weights = passes(mode, training=False)
    support = sets[0]
    same = torch.allclose(runner.support(weights, support)[0], plain(weights, 0, support["x"][0])[0])
    assert same == (mode != "running")


@pytest.mark.parametrize(("mode", "equal_to"), [("running", "batch"), ("with_support_single", "batch")])
def test_while_training_two_modes_take_the_statistics_of_the_batch(mode, equal_to, sets):
    one, weights = passes(mode, training=True)
    other, _ = passes(equal_to, training=True)
    assert torch.equal(answers(one, weights, *sets), answers(other, weights, *sets))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_only_in_batch_mode_do_queries_see_each_other(mode, training, sets):
    runner, weights = passes(mode, training=training)
    support, query = sets
    others = query["x"].clone()
    others[:, 1:] += 1.0
    before = answers(runner, weights, support, query)[:, 0]
    after = answers(runner, weights, support, {"x": others})[:, 0]
    alone = mode == "support" or (not training and mode != "batch")
    assert torch.equal(before, after) == alone
    assert torch.allclose(before, after) == alone


@pytest.mark.parametrize("mode", ["support", "with_support_single"])
def test_gradients_flow_from_the_queries_into_the_support_set(mode, sets):
    runner, weights = passes(mode, training=False)
    support, query = sets
    support["x"].requires_grad_()
    answers(runner, weights, support, query).square().sum().backward()
    assert support["x"].grad.abs().max() > 0
