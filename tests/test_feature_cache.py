import pytest
import torch
from torch import nn

from metacli.data.images import ImageSource
from metacli.data.sampler import EpisodeShape
from metacli.feature_cache import featured
from metacli.layers.plain import Plain, given_features


class Counted(nn.Module):
    """Features are all pixels, in other directions; knows how many items it has seen."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 6)
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return self.linear(x.flatten(1))


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return Plain(Counted(), features=6)


@pytest.fixture
def source(table):
    return ImageSource(table=table, split="test", device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path))
    return tmp_path


def test_episodes_of_features_are_the_features_of_the_same_episodes(source, backbone):
    shape = EpisodeShape(ways=3, shots=2, queries=4)
    other = featured(source, backbone, kept=False)
    (plain,), (fast,) = (list(s.fixed_episodes(s.sampler(shape), 5)) for s in (source, other))
    assert torch.equal(plain.query.rows, fast.query.rows)
    with given_features(backbone):
        torch.testing.assert_close(backbone(fast.query.inputs["x"]), fast.query.inputs["x"])
    torch.testing.assert_close(backbone(plain.query.inputs["x"]), fast.query.inputs["x"])


def test_each_item_is_computed_once_and_again_where_anything_has_changed(source, backbone, table, cache):
    def seen(source, backbone):
        before = backbone.network.seen
        found = featured(source, backbone, kept=True).features
        return backbone.network.seen - before, found

    first, features = seen(source, backbone)
    again, same = seen(source, backbone)
    assert (first, again) == (60, 0)
    assert torch.equal(features, same)
    table.images[source.rows[0]] += 1
    assert seen(ImageSource(table=table, split="test", device=torch.device("cpu")), backbone)[0] == 60
    with torch.no_grad():
        backbone.network.linear.bias[0] += 1
    assert seen(source, backbone)[0] == 60
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert seen(source, backbone)[0] == 60


def test_what_is_not_kept_leaves_nothing(source, backbone, cache):
    featured(source, backbone, kept=False)
    assert list(cache.iterdir()) == []
