import pytest
from torch import nn

from metacli.backbones.conv4 import Conv4
from metacli.backbones.mlp import MLP
from metacli.backbones.pixels import Pixels
from metacli.errors import UserError
from metacli.features.stacked import Stacked
from metacli.layers import Linear
from metacli.select import MOVES, moving


def network(backbone):
    whole = nn.Sequential()
    whole.add_module("backbone", backbone)
    whole.add_module("head", Linear(backbone.features, 3))
    return whole


def conv(norm="batch", depth=2):
    return network(Conv4(shape=(1, 8, 8), width=4, depth=depth, downsample="stride", norm=norm))


HEAD = ("head.weight", "head.bias")


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        (["head"], HEAD),
        (["norm"], [f"backbone.blocks.{i}.norm.{p}" for i in (0, 1) for p in ("weight", "bias")]),
        (["bias"], ["backbone.blocks.0.norm.bias", "backbone.blocks.1.norm.bias", "head.bias"]),
        (["last_block"], [f"backbone.blocks.1.{p}" for p in ("conv.weight", "norm.weight", "norm.bias")]),
    ],
)
def test_a_move_covers_the_parameters_of_its_name(moves, expected):
    assert moving(conv(), moves) == tuple(expected)


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
def test_backbone_and_head_together_are_everything_in_order(norm):
    whole = conv(norm)
    names = tuple(name for name, _ in whole.named_parameters())
    assert moving(whole, ["head", "backbone"]) == names
    assert moving(whole, ["backbone"]) == tuple(name for name in names if name not in HEAD)


def test_moves_are_a_union_without_repetition():
    assert moving(conv(), ["norm", "bias", "head"]) == (*moving(conv(), ["norm"]), *HEAD)
    assert set(moving(conv(), MOVES)) == {name for name, _ in conv().named_parameters()}


def test_norms_of_every_kind_are_found():
    assert moving(conv("group"), ["norm"]) == moving(conv("batch"), ["norm"])


def test_moves_that_cover_nothing_are_refused_with_their_key():
    with pytest.raises(
        UserError, match=r"paradigm.moves.inner=\[norm\]: this network has no such parameters"
    ):
        moving(conv("none"), ["norm"], "paradigm.moves.inner")


def test_the_last_block_is_the_last_by_number():
    names = moving(conv(depth=12), ["last_block"])
    assert {name.split(".")[2] for name in names} == {"11"}
    names = moving(network(MLP(shape=(4,), widths=[3, 3], norm="none")), ["last_block"])
    assert names == ("backbone.blocks.1.linear.weight", "backbone.blocks.1.linear.bias")


def test_a_backbone_without_parameters_has_none_to_move():
    with pytest.raises(UserError, match="no such parameters"):
        moving(network(Pixels(shape=(1, 2, 2))), ["backbone", "last_block", "norm"])


def test_an_unknown_move_is_an_error():
    with pytest.raises(ValueError, match="'heads' is not one of"):
        moving(conv(), ["heads"])


def stacked(backbone):
    features = nn.Sequential()
    features.add_module("layer", Linear(4, 4))
    features.add_module("norm", nn.GroupNorm(1, 4))
    whole = Stacked(features, backbone)
    return network(whole)


def test_features_move_by_their_own_name_alone():
    whole = stacked(MLP(shape=(4,), widths=[3, 3], norm="batch"))
    names = {name for name, _ in whole.named_parameters()}
    features = {name for name in names if name.startswith("backbone.fitted.")}
    assert len(features) == 4
    assert set(moving(whole, ["features"])) == features
    assert set(moving(whole, ["backbone", "last_block", "norm", "bias", "head"])) == names - features
    assert set(moving(whole, ["features", "backbone", "head"])) == names
    assert set(moving(whole, ["last_block"])) == {
        f"backbone.backbone.blocks.1.{name}" for name in ("linear.weight", "norm.weight", "norm.bias")
    }
    assert set(moving(whole, ["norm"])) == {
        f"backbone.backbone.blocks.{i}.norm.{name}" for i in (0, 1) for name in ("weight", "bias")
    }


def test_a_backbone_without_blocks_is_its_own_last_block_on_features_too():
    layer = Linear(4, 2)
    layer.features = 2
    assert set(moving(stacked(layer), ["last_block"])) == {
        "backbone.backbone.weight",
        "backbone.backbone.bias",
    }


def test_without_features_there_are_none_to_move():
    with pytest.raises(UserError, match=r"moves=\[features\]"):
        moving(conv(), ["features"])
