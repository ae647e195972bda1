"""The small backbones against the same network out of torch's own layers, and what all say of themselves."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from metacli.backbones.cnn import CNN
from metacli.backbones.conv4 import Conv4
from metacli.backbones.mlp import MLP
from metacli.backbones.pixels import Pixels
from metacli.backbones.resnet12 import ResNet12
from metacli.backbones.rnn import RNN
from metacli.config.schema import backbone as schema


def images(*shape):
    return torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def scrambled(module):
    random = torch.Generator().manual_seed(1)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return module


def plain_norm(kind, channels):
    return {
        "batch": lambda: nn.BatchNorm2d(channels),
        "group": lambda: nn.GroupNorm(2, channels),
        "layer": lambda: nn.GroupNorm(1, channels),
        "none": nn.Identity,
    }[kind]()


def plain_conv4(ours, channels, width, depth, downsample, norm):
    """The network as everybody writes it, with our weights in it."""
    blocks = []
    for i in range(depth):
        stride = 2 if downsample == "stride" else 1
        conv = nn.Conv2d(channels if i == 0 else width, width, 3, stride, 1, bias=norm != "batch")
        pool = nn.MaxPool2d(2) if downsample == "max_pool" else nn.Identity()
        blocks.append(nn.Sequential(conv, plain_norm(norm, width), nn.ReLU(), pool))
    network = nn.Sequential(*blocks).double()
    with torch.no_grad():
        for block, own in zip(network, ours.blocks, strict=True):
            block[0].weight.copy_(own.conv.weight.movedim(-1, 1))
            if norm != "batch":
                block[0].bias.copy_(own.conv.bias)
            if norm != "none":
                block[1].load_state_dict(own.norm.state_dict(), strict=False)
    return network


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 21, 17)], ids=str)
@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
@pytest.mark.parametrize("downsample", ["max_pool", "stride"])
def test_conv4_is_four_blocks_of_torchs_layers(downsample, norm, shape):
    backbone = scrambled(Conv4(shape=shape, width=6, depth=4, downsample=downsample, norm=norm))
    plain = plain_conv4(backbone, shape[0], 6, 4, downsample, norm)
    x = images(*shape)
    maps = torch.stack([plain(task) for task in x])  # [T, N, C, H, W]
    expected = maps.movedim(2, -1).flatten(2) if downsample == "max_pool" else maps.mean((3, 4))
    features = backbone(x)
    assert features.shape == (2, 3, backbone.features)
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize(
    ("shape", "downsample", "features"),
    [
        ((1, 28, 28), "max_pool", 64),
        ((1, 28, 28), "stride", 64),
        ((3, 84, 84), "max_pool", 1600),
        ((3, 84, 84), "stride", 64),
    ],
)
def test_conv4_says_how_many_features_it_gives(shape, downsample, features):
    backbone = Conv4(shape=shape, width=64, depth=4, downsample=downsample, norm="batch")
    assert backbone.features == features


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
@pytest.mark.parametrize("kind", ["conv4", "mlp"])
def test_weights_of_each_task_act_on_that_task_alone(kind, norm):
    backbone = (
        Conv4(shape=(1, 10, 9), width=4, depth=2, downsample="stride", norm=norm)
        if kind == "conv4"
        else MLP(shape=(1, 10, 9), widths=[6, 5], norm=norm)
    )
    random = torch.Generator().manual_seed(1)
    weights = {
        name: torch.randn(2, *parameter.shape, generator=random, dtype=torch.float64)
        for name, parameter in backbone.double().named_parameters()
    }
    x = images(1, 10, 9)
    together = functional_call(backbone, weights, (x,))
    for t in range(2):
        own = {name: weight[t] for name, weight in weights.items()}
        torch.testing.assert_close(together[t : t + 1], functional_call(backbone, own, (x[t : t + 1],)))


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_mlp_is_linear_layers_of_torch(norm):
    backbone = scrambled(MLP(shape=(1, 5, 4), widths=[7, 6], norm=norm))
    x = images(1, 5, 4)
    for task, features in zip(x, backbone(x), strict=True):
        y = task.flatten(1)
        for block in backbone.blocks:
            y = nn.functional.linear(y, block.linear.weight, block.linear.bias)
            if norm == "batch":
                y = nn.functional.batch_norm(y, None, None, block.norm.weight, block.norm.bias, True)
            y = y.relu()
        torch.testing.assert_close(features, y)
    assert backbone.features == 6


def test_pixels_are_the_input_itself():
    backbone = Pixels(shape=(3, 5, 4))
    x = images(3, 5, 4)
    assert torch.equal(backbone(x), x.flatten(2))
    assert backbone.features == 60
    assert not list(backbone.parameters())


def test_no_convolution_before_batch_norm_has_a_bias_that_would_cancel():
    def biases(norm):
        backbone = Conv4(shape=(1, 8, 8), width=4, depth=2, downsample="stride", norm=norm)
        return [name for name, _ in backbone.named_parameters() if name.endswith("conv.bias")]

    assert biases("batch") == []
    assert biases("group") == ["blocks.0.conv.bias", "blocks.1.conv.bias"]


@pytest.mark.parametrize(
    ("widths", "millions"), [([64, 160, 320, 640], 12.424320), ([64, 128, 256, 512], 7.996800)], ids=str
)
def test_resnet12_has_the_parameters_of_the_published_ones(widths, millions):
    backbone = ResNet12(shape=(3, 84, 84), widths=widths, norm="batch")
    assert sum(parameter.numel() for parameter in backbone.parameters()) == pytest.approx(millions * 1e6)
    assert backbone.features == widths[-1]


@pytest.mark.parametrize("downsample", ["max_pool", "stride", "none"])
@pytest.mark.parametrize("side", [4, 9])
def test_cnn_says_how_many_features_it_gives(side, downsample):
    options = {"widths": [4, 6], "kernel": 5, "downsample": downsample, "padding": "same", "slope": 0.0}
    for read, hidden in (("flatten", 0), ("mean", 0), ("flatten", 7)):
        backbone = CNN(shape=(1, side, 10), read=read, hidden=hidden, norm="none", **options).double()
        assert backbone(images(1, side, 10)).shape == (2, 3, backbone.features)


@pytest.mark.parametrize("downsample", ["max_pool", "stride", "none", ["none", "max_pool"]])
@pytest.mark.parametrize("padding", ["same", "valid", ["valid", "same"]])
def test_the_smallest_image_that_cnn_says_it_takes_leaves_one_pixel(padding, downsample):
    options = {"widths": [2, 2], "kernel": 5, "downsample": downsample, "padding": padding}
    options |= {"slope": 0.0, "read": "flatten", "hidden": 0, "norm": "none"}
    side = schema.CNN(name="cnn", **options).smallest
    assert CNN(shape=(1, side, side), **options).features == 2
    assert CNN(shape=(1, side - 1, side - 1), **options).features < 2


@pytest.mark.parametrize("cell", ["gru", "lstm", "tanh"])
def test_rnn_reads_the_rows_in_order_from_the_top(cell):
    backbone = RNN(shape=(1, 4, 3), cell=cell, width=5, depth=1, read="last", norm="none").double()
    x = images(1, 4, 3)
    turned = backbone(x.flip(3))
    assert not torch.allclose(backbone(x), turned)
    states = backbone.blocks(x.transpose(2, 3).flatten(3))
    x[:, :, :, -1] += 1.0
    torch.testing.assert_close(backbone.blocks(x.transpose(2, 3).flatten(3))[:, :, :-1], states[:, :, :-1])
