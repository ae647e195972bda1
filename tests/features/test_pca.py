"""Principal components as a layer: scikit-learn's numbers, of meta-train images and no others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metacli.data.batches import Batches
from metacli.data.images import ImageSource
from metacli.errors import UserError
from metacli.features.pca import PCA, principal

CPU = torch.device("cpu")


def make(*, components=16, output=(16,), whiten=True, images=1000, rate=1.0, shape=(1, 8, 8)):
    return PCA(shape=shape, output=output, components=components, whiten=whiten, images=images, rate=rate)


def fitted(table, seed=0, split="train", **how):
    layer = make(**how)
    facts = layer.fit(ImageSource(table=table, split=split, device=CPU), seed, train=None)
    return layer.requires_grad_(False), facts


def pixels(table):
    """Of all meta-train images, [180, 64]."""
    return table.images[np.isin(table.labels, table.splits["train"])].reshape(-1, 64) / np.float32(255)


def test_the_layer_is_the_transform_of_scikit_learn(table):
    sample = pixels(table)
    found = principal(sample, 16, seed=0, whiten=True)
    for rate in (1.0, 0.1):
        layer, facts = fitted(table, rate=rate)
        z = layer(torch.from_numpy(sample).view(1, -1, 1, 8, 8))[0].numpy()
        signs = np.sign((z * found.transform(sample)).sum(0))  # the order of the images decides them
        np.testing.assert_allclose(z, signs * found.transform(sample), atol=1e-4)
        assert facts["measured"]["explained_variance"] == pytest.approx(found.explained_variance_ratio_.sum())
        assert facts["images"] == 180


def test_what_it_is_fitted_to_is_white(table):
    layer, _ = fitted(table)
    z = layer(torch.from_numpy(pixels(table)).view(1, -1, 1, 8, 8))[0].double()
    identity = torch.eye(16, dtype=torch.float64)
    torch.testing.assert_close(z.T.cov(), identity, atol=0.01, rtol=0)  # as exact as a random solver is


def test_without_whitening_directions_keep_their_lengths(table):
    layer, _ = fitted(table, whiten=False)
    weight = layer.scale * layer.linear.weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(16), atol=1e-5, rtol=0)


def test_the_fitted_mean_is_the_pixel_mean_of_the_meta_train_sample(table):
    sample = pixels(table)
    np.testing.assert_allclose(principal(sample, 16, seed=0, whiten=True).mean_, sample.mean(0), rtol=1e-6)
    for images, rows in ((1000, slice(None)), (70, None)):
        layer, _ = fitted(table, images=images)
        if rows is None:
            source = ImageSource(table=table, split="train", device=CPU)
            drawn = Batches(source, size=1, held_out=0.0, seed=0, purpose="features", images=70)
            sample = np.concatenate([part.query.inputs["x"].flatten(2)[0] for part in drawn.every()])
            assert len(sample) == 70
        mean = torch.from_numpy(sample.mean(0)).view(1, 1, 1, 8, 8)
        torch.testing.assert_close(layer(mean), torch.zeros(1, 1, 16), atol=1e-4, rtol=0)


@pytest.mark.parametrize("split", ["val", "test"])
def test_images_of_other_splits_cannot_reach_the_fit(split, table):
    with pytest.raises(ValueError, match=f"images of the {split} split are not to be trained on"):
        fitted(table, split=split)
    blank = table.images.copy()
    blank[np.isin(table.labels, table.splits[split])] = 255
    one, other = fitted(table)[0], fitted(replace(table, images=blank))[0]
    assert torch.equal(one.linear.weight, other.linear.weight)
    assert torch.equal(one.linear.bias, other.linear.bias)


def test_it_depends_on_the_seed_and_not_on_threads(table):
    one = fitted(table, images=50)[0].linear.weight
    torch.set_num_threads(2)
    assert torch.equal(one, fitted(table, images=50)[0].linear.weight)
    torch.set_num_threads(1)
    assert not torch.equal(one, fitted(table, images=50, seed=1)[0].linear.weight)


def test_more_numbers_than_memory_should_hold_are_gone_through_in_parts(table):
    sample = pixels(table)
    whole, parts = (principal(sample, 4, seed=0, whiten=True, in_memory=size) for size in (sample.size, 0))
    np.testing.assert_allclose(parts.mean_, whole.mean_, rtol=1e-5)
    np.testing.assert_allclose(parts.explained_variance_, whole.explained_variance_, rtol=1e-2)


def test_z_is_given_as_a_vector_or_row_by_row_as_a_square(table):
    x = torch.from_numpy(pixels(table)[:6]).view(2, 3, 1, 8, 8)
    vector, square = fitted(table)[0](x), fitted(table, output=(1, 4, 4))[0](x)
    assert vector.shape == (2, 3, 16)
    assert torch.equal(square, vector.view(2, 3, 1, 4, 4))


def test_a_step_moves_it_by_a_share_of_what_it_would(table):
    def moved(rate):
        """By one step of gradient descent on some loss: what weights and biases amount to, before and after."""
        layer = fitted(table, rate=rate)[0].double().requires_grad_()
        loss = (layer(torch.rand(1, 5, 1, 8, 8, dtype=torch.float64, generator=random())) ** 2).sum()
        gradients = torch.autograd.grad(loss, [layer.linear.weight, layer.linear.bias])
        parameters = (layer.linear.weight, layer.linear.bias)
        before = [layer.scale * parameter.detach() for parameter in parameters]
        after = [layer.scale * (p.detach() - 0.5 * g) for p, g in zip(parameters, gradients, strict=True)]
        return [new - old for new, old in zip(after, before, strict=True)]

    for whole, share in zip(moved(1.0), moved(0.1), strict=True):
        torch.testing.assert_close(share, 0.1 * whole, rtol=1e-4, atol=1e-6)


def random():
    return torch.Generator().manual_seed(0)


def test_too_few_images_are_named(table):
    with pytest.raises(UserError, match=r"features.components=16: meta-train has 10 images"):
        fitted(table, images=10)
