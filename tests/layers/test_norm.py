import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from metacli.layers import BatchNorm, GroupNorm, NoNorm, normalisation, recorded

SHAPE = (2, 3, 4, 5, 6)  # T, N, H, W, C


@pytest.fixture
def x():
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5


def scrambled(layer):
    """The layer in float64 with nothing left at its initial value."""
    random = torch.Generator().manual_seed(1)
    layer.double()
    for name, tensor in layer.state_dict().items():
        tensor.normal_(generator=random)
        if name == "running_var":
            tensor.abs_()
    return layer


def weights_of_each_task(layer):
    random = torch.Generator().manual_seed(2)
    return {
        name: torch.randn(2, 6, dtype=torch.float64, generator=random) for name, _ in layer.named_parameters()
    }


def test_batch_norm_uses_the_statistics_of_each_task_alone(x):
    layer = scrambled(BatchNorm(6, relu=False))
    expected = torch.stack(
        [
            F.batch_norm(task.movedim(-1, 1), None, None, layer.weight, layer.bias, True).movedim(1, -1)
            for task in x
        ]
    )
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("kind", ["batch", "group", "layer", "none"])
def test_each_normalisation_ends_in_a_relu(kind, x):
    layer = normalisation(kind, 6).double()
    y = layer(x)
    layer.relu = False
    assert torch.equal(y, layer(x).relu())
    assert (y == 0).any()


@pytest.mark.parametrize(("kind", "groups"), [("group", 3), ("layer", 1)])
def test_group_norm_is_torchs_and_sees_one_item_at_a_time(kind, groups, x):
    layer = GroupNorm(6, groups=groups, relu=False)
    scrambled(layer)
    expected = F.group_norm(x.flatten(0, 1).movedim(-1, 1), groups, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected.movedim(1, -1).view_as(x))
    torch.testing.assert_close(layer(x[:, :1]), layer(x)[:, :1])


@pytest.mark.parametrize(("channels", "groups"), [(4, 4), (64, 8), (1, 1), (12, 4)])
def test_groups_are_eight_or_as_many_as_divide_the_channels(channels, groups):
    assert normalisation("group", channels).groups == groups
    assert normalisation("layer", channels).groups == 1


@pytest.mark.parametrize("layer", [BatchNorm(6, relu=True), GroupNorm(6, groups=2, relu=True)])
def test_weights_of_each_task_act_on_that_task_alone(layer, x):
    layer.double()
    weights = weights_of_each_task(layer)
    together = functional_call(layer, weights, (x,))
    for t in range(2):
        own = {name: weight[t] for name, weight in weights.items()}
        torch.testing.assert_close(together[t : t + 1], functional_call(layer, own, (x[t : t + 1],)))


def test_running_statistics_normalise_in_eval_mode_where_they_are_tracked(x):
    layer = scrambled(BatchNorm(6, relu=False))
    layer.tracks = True
    batch = layer(x)
    stored = layer.eval()(x)
    expected = (x - layer.running_mean) / (layer.running_var + layer.eps).sqrt() * layer.weight + layer.bias
    torch.testing.assert_close(stored, expected)
    layer.tracks = False
    assert torch.equal(layer(x), batch)


def test_statistics_of_each_task_are_used_where_they_are_handed_in(x):
    layer = scrambled(BatchNorm(6, relu=False))
    variance, mean = torch.var_mean(x, (1, 2, 3), correction=0)
    given = {"running_mean": mean, "running_var": variance}
    torch.testing.assert_close(functional_call(layer, given, (x,)), layer(x))
    assert not torch.allclose(
        functional_call(layer, {"running_mean": mean + 1, "running_var": variance}, (x,)), layer(x)
    )


def test_a_normalisation_without_parameters_does_nothing_but_relu(x):
    assert not list(NoNorm(relu=True).parameters())
    assert torch.equal(NoNorm(relu=False)(x), x)


def test_no_forward_pass_moves_the_running_statistics(x):
    layer = BatchNorm(6, relu=True).double()
    layer.tracks = True
    with recorded(nn.Sequential(layer), differentiable=False):
        layer(x)
    assert torch.equal(layer.running_mean, torch.zeros(6))
    assert torch.equal(layer.running_var, torch.ones(6))


def test_recorded_statistics_are_averaged_over_the_passes(x):
    network = nn.Sequential(BatchNorm(6, relu=True), NoNorm(relu=False)).double()
    with recorded(network, differentiable=False) as statistics:
        network(x)
        network(3 * x)
    mean, variance = statistics["0"]
    expected_variance, expected_mean = torch.var_mean(x, (1, 2, 3), correction=0)
    torch.testing.assert_close(mean, 2 * expected_mean)
    torch.testing.assert_close(variance, 5 * expected_variance)
    assert not mean.requires_grad
    assert list(statistics) == ["0"]


def test_recorded_statistics_carry_gradients_where_asked(x):
    network = nn.Sequential(BatchNorm(6, relu=False)).double()
    x.requires_grad_()
    with recorded(network, differentiable=True) as statistics:
        network(x)
    torch.testing.assert_close(
        torch.autograd.grad(statistics["0"][1].sum(), x)[0],
        torch.autograd.grad(x.var((1, 2, 3), correction=0).sum(), x)[0],
    )


def test_a_recording_within_a_recording_keeps_its_passes_to_itself(x):
    network = nn.Sequential(BatchNorm(6, relu=False)).double()
    with recorded(network, differentiable=False) as outer:
        network(x)
        with recorded(network, differentiable=False) as inner:
            network(x + 100)
        network(x + 2)
    torch.testing.assert_close(inner["0"][0], outer["0"][0] + 99)


def test_a_recording_ends_also_where_the_pass_fails():
    network = nn.Sequential(BatchNorm(6, relu=False))
    with pytest.raises(RuntimeError), recorded(network, differentiable=False):
        network(torch.zeros(2, 3, 5))
    assert network[0].recorder is None


def test_running_statistics_move_by_the_momentum_formula():
    layer = scrambled(BatchNorm(6, relu=True))
    layer.tracks = True
    mean_before, var_before = layer.running_mean.clone(), layer.running_var.clone()
    mean, variance = torch.rand(2, 4, 6, dtype=torch.float64)
    layer.commit(mean, variance)
    torch.testing.assert_close(layer.running_mean, 0.9 * mean_before + 0.1 * mean.mean(0))
    torch.testing.assert_close(layer.running_var, 0.9 * var_before + 0.1 * variance.mean(0))
    layer.tracks = False
    layer.commit(mean, variance)
    torch.testing.assert_close(layer.running_mean, 0.9 * mean_before + 0.1 * mean.mean(0))
