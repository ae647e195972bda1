"""The task-batched convolution against F.conv2d, one task at a time, up to third derivatives."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from metacli.kernels import convolution as kernel
from metacli.kernels.convolution import Geometry, convolution, patches_of

GEOMETRIES = [
    Geometry(stride, padding, size) for stride in (1, 2, 3) for padding in (0, 1, 2) for size in (1, 3, 5)
]
CHECKED = [Geometry(1, 1, 3), Geometry(2, 1, 3), Geometry(3, 2, 3), Geometry(2, 0, 1), Geometry(1, 2, 5)]
MAPS = [(7, 5), (6, 8)]  # odd and even heights and widths


@pytest.fixture(params=["patches", "library"])
def path(request, monkeypatch):
    """Each of the two ways to compute, with the other one out of reach."""

    def other_way(*arguments, **options):
        raise AssertionError(f"left the way of {request.param}")

    by_patches = request.param == "patches"
    for limit in ("FEW_ROWS", "FEW_ROWS_STRIDED", "SMALL_MAP"):
        monkeypatch.setattr(kernel, limit, 10**9 if by_patches else 0)
    monkeypatch.setattr(kernel, "_library_backward" if by_patches else "patches_of", other_way)
    return request.param


def reference(x, w, stride, padding):
    """x [T, N, H, W, C], w [T, K, S, S, C] -> [T, N, H', W', K]."""
    outputs = [
        F.conv2d(images.movedim(-1, 1), weight.movedim(-1, 1), stride=stride, padding=padding)
        for images, weight in zip(x, w, strict=True)
    ]
    return torch.stack(outputs).movedim(2, -1)


def operands(geometry, size, *, tasks=2, items=2, channels=2, outputs=3, device="cpu"):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(tasks, items, *size, channels, dtype=torch.float64, generator=random)
    w = torch.randn(
        tasks, outputs, geometry.kernel, geometry.kernel, channels, dtype=torch.float64, generator=random
    )
    return x.to(device).requires_grad_(), w.to(device).requires_grad_()


def derivatives(function, x, w, orders):
    """The value, then for each order the gradients of a random combination of the ones before."""
    random = torch.Generator().manual_seed(1)
    found, values = [], [function(x, w)]
    for _ in range(orders):
        found += values
        weights = [torch.randn(v.shape, dtype=v.dtype, generator=random).to(v.device) for v in values]
        mixed = sum((value.square() * weight).sum() for value, weight in zip(values, weights, strict=True))
        values = torch.autograd.grad(mixed, (x, w), create_graph=True)
    return [*found, *values]


def assert_same_derivatives(geometry, size, device, orders):
    def ours(x, w):
        return convolution(x, w, geometry.stride, geometry.padding)

    def plain(x, w):
        return reference(x, w, geometry.stride, geometry.padding)

    x, w = operands(geometry, size, device=device)
    for got, expected in zip(derivatives(ours, x, w, orders), derivatives(plain, x, w, orders), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10 * expected.abs().max().item())


@pytest.mark.parametrize("size", MAPS, ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_value_first_and_second_derivatives_are_those_of_conv2d(geometry, size, path, device):
    assert_same_derivatives(geometry, size, device, orders=2)


@pytest.mark.parametrize("geometry", [Geometry(1, 1, 3), Geometry(2, 1, 3)], ids=str)
def test_third_derivatives_are_those_of_conv2d(geometry, path, device):
    assert_same_derivatives(geometry, (7, 5), device, orders=3)


@pytest.mark.parametrize("geometry", CHECKED, ids=str)
def test_derivatives_agree_with_finite_differences(geometry, path):
    x, w = operands(geometry, (4, 3), items=1, outputs=2)

    def ours(x, w):
        return convolution(x, w, geometry.stride, geometry.padding)

    assert gradcheck(ours, (x, w))
    assert gradgradcheck(ours, (x, w))


def test_only_the_gradients_asked_for_are_computed(path, monkeypatch):
    x, w = operands(Geometry(1, 1, 3), (6, 5))
    expected = torch.autograd.grad(reference(x, w, 1, 1).sin().sum(), w)[0]
    monkeypatch.setattr(kernel, "_input_gradient", lambda *arguments: pytest.fail("nobody asked for it"))
    got = torch.autograd.grad(convolution(x.detach(), w, 1, 1).sin().sum(), w)[0]
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_images_that_are_a_view_with_channels_first_are_read_rightly(channels, padding, path):
    x, w = operands(Geometry(1, padding, 3), (6, 5), channels=channels, outputs=1)
    view = x.detach().permute(0, 1, 4, 2, 3).contiguous().permute(0, 1, 3, 4, 2).requires_grad_()
    y = convolution(view, w, 1, padding)
    torch.testing.assert_close(y, reference(x, w, 1, padding))
    got = torch.autograd.grad(y.square().sum(), (view, w))
    expected = torch.autograd.grad(reference(x, w, 1, padding).square().sum(), (x, w))
    torch.testing.assert_close(got, expected)


def test_an_expanded_weight_collects_the_gradients_of_all_tasks(path):
    x, w = operands(Geometry(2, 1, 3), (6, 5))
    shared = w[0].detach().requires_grad_()
    got = torch.autograd.grad(convolution(x, shared.expand_as(w), 2, 1).square().sum(), shared)[0]
    expected = torch.autograd.grad(reference(x, shared.expand_as(w), 2, 1).square().sum(), shared)[0]
    torch.testing.assert_close(got, expected)


def test_patches_hold_the_window_under_each_output():
    x = torch.arange(2 * 3 * 5 * 6 * 2.0).view(2, 3, 5, 6, 2)
    patches = patches_of(x, Geometry(stride=2, padding=0, kernel=3)).view(2, 3, 2, 2, 3, 3, 2)
    assert torch.equal(patches[1, 2, 1, 0], x[1, 2, 2:5, 0:3])


@pytest.mark.parametrize(
    ("size", "rows", "strided", "small", "ways"),
    [
        ((6, 6), 3 * 9, 0, 0, "ppp"),
        ((6, 6), 3 * 9 - 1, 0, 0, "lll"),
        ((6, 6), 0, 3 * 9, 0, "lpl"),
        ((3, 3), 0, 0, 4, "ppp"),
    ],
)
def test_the_way_is_chosen_by_the_number_of_rows(size, rows, strided, small, ways, monkeypatch):
    x, w = operands(Geometry(2, 1, 3), size, items=3)
    for limit, value in (("FEW_ROWS", rows), ("FEW_ROWS_STRIDED", strided), ("SMALL_MAP", small)):
        monkeypatch.setattr(kernel, limit, value)
    taken = []

    def told(name, way):
        whole = getattr(kernel, name)
        monkeypatch.setattr(kernel, name, lambda *a, **o: taken.append(way) or whole(*a, **o))

    for name in ("_library_backward", "_scatter"):
        told(name, name)
    library = F.conv2d
    monkeypatch.setattr(kernel.F, "conv2d", lambda *a, **o: taken.append("conv2d") or library(*a, **o))
    to_weights, to_input = convolution(x.detach(), w, 2, 1), convolution(x, w.detach(), 2, 1)
    assert taken == (["conv2d", "conv2d"] if ways[0] == "l" else [])
    taken.clear()
    torch.autograd.grad(to_weights.sum(), w)
    assert taken == (["_library_backward"] if ways[1] == "l" else [])
    taken.clear()
    torch.autograd.grad(to_input.sum(), x)
    assert taken == ["_library_backward" if ways[2] == "l" else "_scatter"]


def test_one_copy_of_patches_serves_all_derivatives(monkeypatch):
    x, w = operands(Geometry(2, 1, 3), (6, 6))
    copied = []
    whole = patches_of
    monkeypatch.setattr(
        kernel, "patches_of", lambda *arguments: copied.append(arguments) or whole(*arguments)
    )
    (dw,) = torch.autograd.grad(convolution(x.detach(), w, 2, 1).pow(3).sum(), w, create_graph=True)
    torch.autograd.grad(dw.square().sum(), w)
    assert len(copied) == 1
