import torch
from torch import nn

from metacli.layers.plain import Plain, add_low_rank, given_features
from metacli.runtime import borrowed, prepare
from metacli.select import moving


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def with_head(backbone):
    whole = nn.Sequential()
    whole.add_module("backbone", backbone)
    whole.add_module("head", nn.Linear(1, 1))
    return whole


def network():
    """With what torch's own modules remember and draw."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 7 * 8, 5)
    ).double()


def test_shared_weights_give_the_features_of_items_whatever_task_they_are_in():
    inner, x = network(), rand(3, 4, 1, 9, 10)
    backbone = Plain(inner, features=5).train()
    before = {name: tensor.clone() for name, tensor in inner.state_dict().items()}
    expected = torch.stack([torch.stack([inner.eval()(item[None])[0] for item in task]) for task in x])
    torch.testing.assert_close(backbone(x), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in inner.state_dict().items())


def test_without_gradients_many_items_go_through_in_parts():
    backbone, x = Plain(network(), features=5), rand(2, 90, 1, 9, 10)
    with torch.no_grad():
        parts = backbone(x)
    torch.testing.assert_close(parts, backbone(x).detach())


def test_given_features_pass_inside_alone():
    backbone = Plain(network(), features=5)
    features = rand(2, 3, 5)
    with given_features(nn.Sequential(backbone)):
        assert backbone(features) is features
    assert backbone(rand(2, 3, 1, 9, 10)).shape == (2, 3, 5)


def test_low_rank_weights_begin_as_nothing_and_move_alone():
    inner, x = network(), rand(1, 4, 1, 9, 10)
    expected = Plain(inner, features=5)(x)
    add_low_rank(inner, 2)
    backbone = Plain(inner.double(), features=5)
    torch.testing.assert_close(backbone(x), expected)
    whole = with_head(backbone)
    own = moving(whole, ["lora"])
    assert [name.rpartition(".lora.")[0] for name in own] == ["backbone.network.0"] * 2 + [
        "backbone.network.4"
    ] * 2
    assert not set(own) & set(moving(whole, ["backbone", "last_block", "norm", "bias", "head"]))
    with torch.no_grad():
        for layer in (inner[0], inner[4]):
            layer.lora[1].weight.copy_(rand(*layer.lora[1].weight.shape))
    down, up = (factor.weight for factor in inner[4].lora)
    ones = torch.ones(1, 224).double()
    merged = torch.nn.functional.linear(ones, inner[4].layer.weight + up @ down, inner[4].layer.bias)
    torch.testing.assert_close(inner[4](ones), merged)
    assert not torch.allclose(backbone(x), expected)


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.stages = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2))
        self.norm = nn.LayerNorm(2)


def test_the_last_block_is_the_last_of_the_outermost_blocks_and_what_follows():
    whole = with_head(Plain(Stem(), features=2))
    last = moving(whole, ["last_block"])
    assert {name.rpartition(".")[0] for name in last} == {
        "backbone.network.stages.1.0",
        "backbone.network.stages.1.1",
        "backbone.network.norm",
    }
    assert moving(whole, ["norm"]) == ("backbone.network.norm.weight", "backbone.network.norm.bias")


def test_attention_can_be_differentiated_twice():
    before = torch.backends.cuda.flash_sdp_enabled()
    with borrowed():
        prepare(torch.device("cpu"), 1)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
        x = torch.randn(2, 3, 8, requires_grad=True)
        (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
    assert second.isfinite().all()
    assert torch.backends.cuda.flash_sdp_enabled() == before
