"""The encoder against torch's own layers, and what it learns from."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from metacli.data.images import ImageSource
from metacli.episode import Episode, Examples
from metacli.errors import UserError
from metacli.features.autoencoder import Denoising, Encoder

CPU = torch.device("cpu")


def make(*, form="vector", shape=(1, 8, 8), widths=(3, 5), dim=6, loss="bce", noise=0.1, **fitting):
    how = {"images": 1000, "epochs": 2, "batch": 32, "held_out": 0.1, "lr": 0.01} | fitting
    return Encoder(shape=shape, form=form, widths=widths, dim=dim, loss=loss, noise=noise, **how).double()


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def episode(x):
    nothing = torch.zeros(1, x.shape[1], dtype=torch.long)
    examples = Examples({"x": x}, nothing, nothing == 0, nothing, nothing)
    return Episode(examples, examples, torch.tensor([0]))


def reference(encoder, x):
    """The last map, [N, K, H, W]."""
    for layer in encoder.convolutions:
        x = F.conv2d(x, layer.weight.permute(0, 3, 1, 2), layer.bias, stride=2, padding=1).relu()
    return x


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 10)])
def test_the_map_is_that_of_torchs_convolutions_as_an_image_as_a_sequence_and_coded(shape):
    x = images(2, 4, *shape)
    for form in ("image", "sequence", "vector"):
        encoder = make(form=form, shape=shape)
        expected = reference(encoder, x.flatten(0, 1)).unflatten(0, (2, 4))
        found = encoder(x)
        if form == "sequence":  # the channels of one place after another
            expected = expected.flatten(3).transpose(2, 3).unsqueeze(2)
            assert found.shape[2:] == (1, encoder.sides[-1][0] * encoder.sides[-1][1], 5)
        if form == "vector":
            places = expected.permute(0, 1, 3, 4, 2).flatten(2)
            expected = places @ encoder.code.weight.T + encoder.code.bias
        torch.testing.assert_close(found, expected)


def test_the_code_is_part_of_the_network_only_where_the_backbone_gets_it():
    assert any("code" in name for name, _ in make(form="vector").named_parameters())
    assert not any("code" in name for name, _ in make(form="image").named_parameters())


@pytest.mark.parametrize("form", ["image", "vector"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 30), (1, 1, 5)])
def test_an_image_of_any_size_is_restored_in_its_size(shape, form):
    learner = Denoising(make(form=form, shape=shape, widths=[4, 4, 4])).double()
    assert learner._restored(images(1, 2, *shape)).shape == (1, 2, *shape)


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_what_is_restored_from_noise_is_compared_with_the_image_itself(loss):
    learner, x = Denoising(make(loss=loss, noise=0.3)).double(), images(1, 4, 1, 8, 8)
    learner.begin_step(0, 1, torch.Generator().manual_seed(5))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
    restored = learner._restored(x + 0.3 * noise).sigmoid()
    expected = {
        "bce": -(x * restored.log() + (1 - x) * (1 - restored).log()).mean(),
        "mse": (restored - x).square().mean(),
    }[loss]
    torch.testing.assert_close(learner.meta_loss(episode(x)), expected[None])


def test_the_error_of_each_image_is_measured_without_noise():
    learner, x = Denoising(make(noise=9.0)).double(), images(1, 4, 1, 8, 8)
    expected = (learner._restored(x).sigmoid() - x).square().mean((0, 2, 3, 4))
    np.testing.assert_allclose(learner.errors([episode(x), episode(x)]), 2 * expected.tolist())


@pytest.mark.parametrize("form", ["image", "sequence", "vector"])
def test_it_can_be_differentiated_twice_with_weights_of_each_task(form):
    encoder = make(form=form, shape=(1, 4, 4), widths=[2, 2], dim=2)
    x = images(2, 2, 1, 4, 4)
    named = dict(encoder.named_parameters())
    weights = [images(2, *tensor.shape, seed=seed) - 0.4 for seed, tensor in enumerate(named.values())]

    def run(*given):
        return torch.func.functional_call(encoder, dict(zip(named, given, strict=True)), (x,))

    together = run(*weights)
    for task in range(2):
        own = dict(zip(named, (tensor[task] for tensor in weights), strict=True))
        alone = torch.func.functional_call(encoder, own, (x[task, None],))
        torch.testing.assert_close(together[task], alone[0])
    assert torch.autograd.gradgradcheck(run, [tensor.requires_grad_() for tensor in weights])


def test_it_is_fitted_to_meta_train_images_of_which_some_are_held_out(table):
    asked = {}

    def train(learner, batches, **how):
        asked.update(how, learner=learner, batches=batches)
        return {"measured": {}}

    encoder = make(images=100, batch=30, epochs=7, lr=0.02).float()
    source = ImageSource(table=table, split="train", device=CPU)
    encoder.fit(source, 0, train)
    batches = asked["batches"]
    assert (len(batches.rows), len(batches.held_out_rows), batches.per_epoch) == (90, 10, 3)
    assert set(table.labels[batches.rows]) <= set(table.splits["train"])
    assert (asked["epochs"], asked["rate"]["lr"], asked["metric"]) == (7, 0.02, "reconstruction")
    assert asked["learner"].encoder is encoder
    assert len(asked["validate"]()) == 10
    for split in ("val", "test"):
        with pytest.raises(ValueError, match="not to be trained on"):
            encoder.fit(ImageSource(table=table, split=split, device=CPU), 0, train)
    with pytest.raises(UserError, match=r"features.held_out=0.001: that is none of 100 images"):
        make(images=100, held_out=0.001).fit(source, 0, train)
