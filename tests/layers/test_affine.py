import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from metacli.layers import Conv2d, Linear


def per_task(module, tasks):
    """Random weights for each task, by name."""
    return {name: torch.randn(tasks, *p.shape, dtype=torch.float64) for name, p in module.named_parameters()}


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_with_shared_weights_is_conv2d_on_all_images(channels, bias):
    layer = Conv2d(channels, 4, kernel=3, stride=2, padding=1, bias=bias).double()
    x = torch.randn(2, 3, 7, 6, channels, dtype=torch.float64)
    if bias:
        torch.nn.init.normal_(layer.bias)
    images = x.flatten(0, 1).movedim(-1, 1)
    expected = F.conv2d(images, layer.weight.movedim(-1, 1), layer.bias, stride=2, padding=1)
    assert layer(x).shape == (2, 3, 4, 3, 4)
    torch.testing.assert_close(layer(x), expected.movedim(1, -1).unflatten(0, (2, 3)))


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_with_weights_of_each_task_treats_each_task_alone(bias):
    layer = Conv2d(2, 4, kernel=3, stride=1, padding=1, bias=bias).double()
    x = torch.randn(2, 3, 5, 6, 2, dtype=torch.float64)
    weights = per_task(layer, 2)
    together = functional_call(layer, weights, (x,))
    for t in range(2):
        alone = functional_call(layer, {name: weight[t] for name, weight in weights.items()}, (x[t : t + 1],))
        torch.testing.assert_close(together[t : t + 1], alone)


def test_a_linear_layer_takes_shared_weights_or_those_of_each_task():
    layer = Linear(5, 4).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    weights = per_task(layer, 2)
    expected = torch.stack([F.linear(x[t], weights["weight"][t], weights["bias"][t]) for t in range(2)])
    torch.testing.assert_close(functional_call(layer, weights, (x,)), expected)
