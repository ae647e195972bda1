"""Convolution, batch norm and ReLU in one product, against the three one after the other."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from metacli.kernels.first_layer import normalised_convolution

EPS = 1e-5


def operands(*, channels, items=4, size=(7, 6), dtype=torch.float64, device="cpu"):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, items, *size, channels, generator=random, dtype=torch.float64)
    w = torch.randn(2, 5, 3, 3, channels, generator=random, dtype=torch.float64)
    gamma, beta = torch.randn(2, 2, 5, generator=random, dtype=torch.float64)
    x, *weights = (tensor.to(device, dtype) for tensor in (x, w, gamma, beta))
    return x, [weight.requires_grad_() for weight in weights]


def folded(x, stride, relu, padding=1):
    def function(w, gamma, beta):
        return normalised_convolution(x, w, gamma, beta, stride=stride, padding=padding, eps=EPS, relu=relu)

    return function


def one_after_the_other(x, stride, relu):
    def function(w, gamma, beta):
        outputs, means, variances = [], [], []
        for images, *weights in zip(x, w, gamma, beta, strict=True):
            kernel, scale, shift = weights
            y = F.conv2d(images.movedim(-1, 1), kernel.movedim(-1, 1), stride=stride, padding=1)
            out = F.batch_norm(y, None, None, scale, shift, training=True, eps=EPS).movedim(1, -1)
            variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
            outputs.append(out.relu() if relu else out)
            means.append(mean)
            variances.append(variance)
        return torch.stack(outputs), torch.stack(means), torch.stack(variances)

    return function


def derivatives(function, inputs):
    """The three values, first gradients of a mixture of them, and gradients of a mixture of those."""
    random = torch.Generator().manual_seed(1)

    def mixed(values):
        weights = [torch.randn(v.shape, generator=random, dtype=torch.float64).to(v) for v in values]
        pairs = zip(values, weights, strict=True)
        return sum((value.square() * weight).sum() for value, weight in pairs)

    values = function(*inputs)
    first = torch.autograd.grad(mixed(values), inputs, create_graph=True)
    return [*values, *first, *torch.autograd.grad(mixed(first), inputs)]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_values_statistics_and_both_derivatives_are_those_of_the_separate_layers(
    channels, stride, relu, device
):
    x, weights = operands(channels=channels, device=device)
    got = derivatives(folded(x, stride, relu), weights)
    expected = derivatives(one_after_the_other(x, stride, relu), weights)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9 * theirs.abs().max().item())


@pytest.mark.parametrize("relu", [False, True])
def test_derivatives_agree_with_finite_differences(relu):
    x, weights = operands(channels=1, size=(4, 3))
    assert gradcheck(folded(x, 2, relu), weights)
    assert gradgradcheck(folded(x, 2, relu), weights)


def test_a_large_mean_does_not_spoil_float32():
    x, weights = operands(channels=3, dtype=torch.float32)
    x = x * 0.1 + 100
    exact = [weight.detach().double().requires_grad_() for weight in weights]
    got = derivatives(folded(x, 1, False, padding=0), weights)
    expected = derivatives(folded(x.double(), 1, False, padding=0), exact)
    for low, high in zip(got, expected, strict=True):
        assert (low - high).norm() < 1e-3 * high.norm()


def test_many_images_do_not_spoil_float32(device):
    x, weights = operands(channels=1, items=200, size=(28, 28), dtype=torch.float32, device=device)
    x = (x > 1.5).float()  # ink on paper
    exact = [weight.detach().double() for weight in weights]
    got = folded(x, 1, True)(*weights)
    for low, high in zip(got, folded(x.double(), 1, True)(*exact), strict=True):
        assert (low - high).norm() < 1e-5 * high.norm()
