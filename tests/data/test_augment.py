"""What happens to training images, and that it happens to nothing else."""

from dataclasses import replace

import pytest
import torch

from metacli.data.augment import augmented
from metacli.data.images import ImageSource
from metacli.data.prefetch import prefetched
from metacli.data.sampler import EpisodeShape
from metacli.data.table import Augmentation
from metacli.episode import Episode, Examples

EVERYTHING = Augmentation(flip=True, crop=2, colour=0.4)
SHAPE = EpisodeShape(ways=3, shots=2, queries=3)


def episode(x):
    """x [T, N, C, H, W] as support and query images."""
    labels = torch.zeros(x.shape[:2], dtype=torch.int64)
    examples = Examples({"x": x}, labels, labels == 0, labels, labels[:, :1])
    return Episode(examples, examples, torch.arange(len(x)))


def changed(x, seed=0, **how):
    found = augmented(episode(x), Augmentation(**how), torch.Generator().manual_seed(seed))
    return found.support.inputs["x"], found.query.inputs["x"]


@pytest.fixture
def photos(device):
    return torch.rand(4, 50, 3, 7, 6, generator=torch.Generator().manual_seed(1)).to(device)


def test_about_every_second_image_is_mirrored(photos):
    for x in changed(photos, flip=True):
        mirrored = (x == photos.flip(4)).flatten(2).all(2)
        assert torch.equal(x, torch.where(mirrored[:, :, None, None, None], photos.flip(4), photos))
        assert 0.4 < mirrored.float().mean() < 0.6


def test_every_image_is_shifted_by_no_more_than_asked_and_its_edges_repeated(photos):
    seen = set()
    for x in changed(photos, crop=2):
        padded = torch.nn.functional.pad(photos.flatten(0, 1), (2, 2, 2, 2), mode="replicate")
        for image, whole in zip(x.flatten(0, 1), padded, strict=True):
            places = [
                (row, column)
                for row in range(5)
                for column in range(5)
                if torch.equal(image, whole[:, row : row + 7, column : column + 6])
            ]
            assert len(places) == 1
            seen.update(places)
    assert len(seen) == 25


def test_colours_vary_within_the_strength_and_stay_in_range(photos):
    gray = torch.full_like(photos, 0.5)
    x, _ = changed(gray, colour=0.4)
    assert 0.3 <= x.min() < 0.32
    assert 0.68 < x.max() <= 0.7
    assert torch.allclose(x, x.mean((2, 3, 4), keepdim=True))
    bright, _ = changed(photos, colour=0.9)
    assert (bright.min(), bright.max()) == (0, 1)


def test_contrast_and_saturation_turn_about_the_mean():
    x = torch.rand(1, 200, 3, 7, 6, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    found, _ = changed(x, colour=0.2)
    brightness = found.mean((2, 3, 4)) / x.mean((2, 3, 4))
    grays = found.mean(2, keepdim=True), x.mean(2, keepdim=True)
    contrast = (grays[0].std((3, 4)) / grays[1].std((3, 4))).flatten() / brightness.flatten()
    colours = (found - grays[0]).norm(dim=2).mean((2, 3)) / (x - grays[1]).norm(dim=2).mean((2, 3))
    saturation = colours.flatten() / contrast / brightness.flatten()
    for factor in (brightness, contrast, saturation):
        assert factor.min() + 1e-4 >= 0.8
        assert factor.max() - 1e-4 <= 1.2
        assert factor.std() > 0.1  # 0.4 / √12


def test_an_image_of_one_channel_is_varied_too():
    x = torch.rand(2, 5, 1, 7, 6)
    for found in changed(x, flip=True, crop=2, colour=0.4):
        assert found.shape == x.shape
        assert not torch.equal(found, x)


def test_no_two_images_are_varied_alike(photos):
    one = photos[:1, :1].expand(4, 50, -1, -1, -1)
    for how in ({"crop": 3}, {"colour": 0.4}):
        support, query = changed(one, **how)
        found = torch.cat([support, query]).flatten(0, 1).flatten(1)
        assert len(found.unique(dim=0)) > (200 if "colour" in how else 40)
        assert not torch.equal(support, query)


def test_without_augmentation_nothing_is_touched(photos):
    before = episode(photos)
    assert augmented(before, Augmentation(), torch.Generator()) is before


def test_the_episode_itself_is_left_as_it_was(photos):
    copy = photos.clone()
    changed(photos, flip=True, crop=2, colour=0.4)
    assert torch.equal(photos, copy)


@pytest.fixture
def sources(table):
    """A split of images with and without augmentation."""
    cpu = torch.device("cpu")
    varied = replace(table, augmentation=EVERYTHING)
    return [ImageSource(table=t, split="train", device=cpu) for t in (table, varied)]


def same(one, other):
    return all(
        torch.equal(getattr(one, s).inputs["x"], getattr(other, s).inputs["x"]) for s in ("support", "query")
    )


def test_training_episodes_are_the_same_but_for_their_pixels(sources):
    plain, varied = (source.episode(source.sampler(SHAPE), seed=0, step=4, tasks=3) for source in sources)
    for name in ("support", "query"):
        before, after = getattr(plain, name), getattr(varied, name)
        assert not torch.equal(before.inputs["x"], after.inputs["x"])
        for part in ("labels", "rows", "classes", "mask"):
            assert torch.equal(getattr(before, part), getattr(after, part))


def test_evaluation_episodes_are_not_augmented(sources):
    plain, varied = (list(source.fixed_episodes(source.sampler(SHAPE), 70)) for source in sources)
    assert all(same(*pair) for pair in zip(plain, varied, strict=True))


def test_seed_and_step_alone_decide_how_images_are_varied(sources):
    _, source = sources
    sampler = source.sampler(SHAPE)

    def make(step, seed=0):
        return source.episode(sampler, seed=seed, step=step, tasks=3)

    ahead = prefetched(make, 3, steps=8)
    assert all(same(ahead(step), make(step)) for step in range(2, 8))
    assert not same(make(0), make(0, seed=1))
