import pytest
import torch

from metacli.data.shift import CHANGES, shifted
from metacli.episode import Episode, Examples


@pytest.fixture
def episode():
    x = torch.rand(2, 3, 1, 6, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(3).expand(2, 3)
    examples = Examples({"x": x}, labels, torch.ones_like(labels, dtype=bool), labels, labels)
    return Episode(examples, examples.at(torch.tensor([2, 0])), torch.arange(2))


@pytest.mark.parametrize("change", CHANGES)
def test_all_images_change_and_nothing_else(change, episode):
    found = shifted(episode, change)
    for now, before in ((found.support, episode.support), (found.query, episode.query)):
        assert torch.equal(now.labels, before.labels)
        assert 0 <= now.inputs["x"].min() < now.inputs["x"].max() <= 1
        assert not any(
            torch.equal(*pair) for pair in zip(now.inputs["x"][0], before.inputs["x"][0], strict=True)
        )


def test_what_is_inverted_or_rotated_can_be_put_back(episode):
    x = episode.support.inputs["x"]
    torch.testing.assert_close(shifted(shifted(episode, "invert"), "invert").support.inputs["x"], x)
    turned = shifted(episode, "rotate")
    assert torch.equal(turned.support.inputs["x"], x.mT.flip(3))
    for _ in range(3):
        turned = shifted(turned, "rotate")
    assert torch.equal(turned.support.inputs["x"], x)


def test_a_blurred_pixel_is_the_mean_of_those_around_it(episode):
    x = episode.query.inputs["x"]
    torch.testing.assert_close(
        shifted(episode, "blur").query.inputs["x"][:, :, :, 2, 3], x[:, :, :, 0:5, 1:6].mean((3, 4))
    )
