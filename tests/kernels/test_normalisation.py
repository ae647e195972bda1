"""The task-batched batch norm against F.batch_norm, one task at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from metacli.kernels.normalisation import batch_norm

EPS = 1e-5


def ours(relu):
    return lambda y, gamma, beta: batch_norm(y, gamma, beta, EPS, relu)[0]


def reference(relu):
    def normalise(y, gamma, beta):
        tasks = zip(y, gamma, beta, strict=True)
        out = torch.stack([F.batch_norm(y, None, None, g, b, training=True, eps=EPS) for y, g, b in tasks])
        return out.relu() if relu else out

    return normalise


def operands(tasks=2, rows=7, channels=3, dtype=torch.float64, device="cpu", offset=0.0):
    random = torch.Generator().manual_seed(0)
    y = torch.randn(tasks, rows, channels, generator=random, dtype=torch.float64) + offset
    gamma, beta = torch.randn(2, tasks, channels, generator=random, dtype=torch.float64)
    return [tensor.to(device, dtype).requires_grad_() for tensor in (y, gamma, beta)]


def derivatives(function, inputs):
    """The value, first gradients of a mixture of it, and gradients of a mixture of those."""
    random = torch.Generator().manual_seed(1)

    def mixed(values):
        weights = [torch.randn(v.shape, generator=random, dtype=torch.float64).to(v) for v in values]
        return sum((value * weight).sum() for value, weight in zip(values, weights, strict=True))

    value = function(*inputs)
    first = torch.autograd.grad(mixed([value.square()]), inputs, create_graph=True)
    return [value, *first, *torch.autograd.grad(mixed([gradient.square() for gradient in first]), inputs)]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rows", [2, 7, 50])
def test_value_first_and_second_derivatives_are_those_of_torch(rows, relu, device):
    inputs = operands(rows=rows, device=device)
    got, expected = derivatives(ours(relu), inputs), derivatives(reference(relu), inputs)
    for ours_, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours_, theirs, rtol=1e-9, atol=1e-9 * theirs.abs().max().item())


@pytest.mark.parametrize("relu", [False, True])
def test_derivatives_agree_with_finite_differences(relu):
    inputs = operands(rows=5, channels=2)
    assert gradcheck(ours(relu), inputs)
    assert gradgradcheck(ours(relu), inputs)


@pytest.mark.parametrize("relu", [False, True])
def test_a_large_mean_does_not_spoil_float32(relu, device):
    inputs = operands(rows=200, dtype=torch.float32, device=device, offset=1000.0)
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    got, expected = derivatives(ours(relu), inputs), derivatives(ours(relu), exact)
    for low, high in zip(got, expected, strict=True):
        assert (low - high).norm() < 1e-3 * high.norm()


def test_many_rows_do_not_spoil_float32(device):
    inputs = operands(tasks=1, rows=200_000, dtype=torch.float32, device=device)
    exact = [tensor.detach().double() for tensor in inputs]
    got, expected = batch_norm(*inputs, EPS, True), batch_norm(*exact, EPS, True)
    assert (got[0] - expected[0]).norm() < 1e-6 * expected[0].norm()
    for low, high in zip(got[1:], expected[1:], strict=True):  # of numbers with variance 1
        torch.testing.assert_close(low.double(), high, rtol=0, atol=1e-6)


def test_the_statistics_are_the_biased_ones_and_carry_no_gradient():
    y, gamma, beta = operands()
    _, mean, variance = batch_norm(y, gamma, beta, EPS, True)
    expected_variance, expected_mean = torch.var_mean(y.detach(), 1, correction=0)
    torch.testing.assert_close(mean, expected_mean)
    torch.testing.assert_close(variance, expected_variance)
    assert not mean.requires_grad
    assert not variance.requires_grad


def test_one_row_is_normalised_to_beta():
    y, gamma, beta = operands(rows=1)
    torch.testing.assert_close(batch_norm(y, gamma, beta, EPS, False)[0].squeeze(1), beta, rtol=0, atol=1e-12)


def test_a_third_derivative_is_refused_rather_than_wrong():
    inputs = operands()
    first = torch.autograd.grad(ours(False)(*inputs).pow(3).sum(), inputs[0], create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), inputs[0], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()
