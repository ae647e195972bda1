import pickle
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from metacli.errors import UserError
from metacli.pretrained import weights
from metacli.pretrained.huggingface import encoder
from metacli.pretrained.weights import fit, load, located, read


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.fixture
def trained():
    """Tensors that no new network has."""
    return {name: torch.rand_like(tensor.float()) for name, tensor in network().state_dict().items()}


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A package with these files, which cannot be imported."""

    class Package:
        files: tuple[str, ...] = ()

        def locate_file(self, name):
            return tmp_path / name

    def find(name):
        if name != "some-weights":
            raise PackageNotFoundError(name)
        return Package()

    monkeypatch.setattr(weights, "distribution", find)
    return Package


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items() if "num_batches" not in name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_file_is_read_into_a_network(name, trained, tmp_path):
    if name.endswith("pth"):
        torch.save({"state_dict": trained}, tmp_path / name)
    else:
        save_file(trained, tmp_path / name)
    place = located(str(tmp_path / name), "backbone.weights")
    loaded = network()
    fit(loaded, read(place), place)
    assert same(loaded.state_dict(), trained)


def test_a_folder_is_read_in_parts_and_safetensors_come_first(trained, tmp_path):
    names = sorted(trained)
    save_file({name: trained[name] for name in names[:3]}, tmp_path / "model-1.safetensors")
    save_file({name: trained[name] for name in names[3:]}, tmp_path / "model-2.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    assert same(trained, read(tmp_path))


def test_names_may_share_a_prefix_or_be_others_in_the_same_order(trained):
    for given in (
        {f"module.net.{name}": tensor for name, tensor in trained.items()},
        {f"{place}{name[::-1]}": tensor for place, (name, tensor) in enumerate(trained.items())},
    ):
        given["classifier"] = torch.zeros(7, 4)  # the network has none
        loaded = network()
        fit(loaded, given, "w")
        assert same(loaded.state_dict(), trained)


def test_weights_of_another_network_are_refused(trained):
    loaded = network()
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    with pytest.raises(UserError, match=r"1 of 6 tensors.*the first is 0.weight"):
        fit(loaded, trained | {"0.weight": torch.zeros(9, 3)}, "w")
    assert same(loaded.state_dict(), before)


def test_what_cannot_be_loaded_is_said_with_its_setting_and_the_ways_out(trained, tmp_path):
    file = tmp_path / "w.safetensors"
    save_file(trained | {"0.weight": torch.zeros(9, 3)}, file)
    (tmp_path / "empty").mkdir()
    for place, said in ((file, "weights of another network"), (tmp_path / "empty", "no file of weights")):
        with pytest.raises(UserError) as error:
            load(network(), str(place), "backbone.weights")
        assert error.value.problem.startswith(f"backbone.weights={place}: {said}")
        assert "backbone.weights=FILE or FOLDER" in error.value.hint
    before = network()
    load(before, "none", "backbone.weights")


def test_nothing_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("this ran",))

    (tmp_path / "w.pt").write_bytes(pickle.dumps({"x": Evil()}, protocol=2))
    torch.save({"x": Evil()}, tmp_path / "zipped.pt")
    for name in ("w.pt", "zipped.pt"):
        with pytest.raises(UserError, match="cannot be read as weights"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda tensor: tensor.fill_(torch.nan), "NaN or infinite numbers in 1 of 6 tensors.*0.weight"),
        (lambda tensor: tensor.fill_(torch.inf), "NaN or infinite numbers"),
        (lambda tensor: tensor.to(torch.int8), "0.weight holds int8 where the network has floats"),
    ],
)
def test_weights_that_are_no_numbers_or_no_floats_are_refused(spoil, said, trained, tmp_path):
    torch.save(trained | {"0.weight": spoil(trained["0.weight"].clone())}, tmp_path / "w.pth")
    loaded = network()
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    with pytest.raises(UserError, match=f"w.pth: {said}"):
        load(loaded, str(tmp_path / "w.pth"), "backbone.weights")
    assert same(loaded.state_dict(), before)
    halves = {name: tensor.half() for name, tensor in trained.items()}
    fit(loaded, halves, "w")
    assert same(loaded.state_dict(), {name: tensor.float() for name, tensor in halves.items()})


def test_an_installed_package_is_found_without_importing_it(installed, tmp_path):
    for name in (
        "pkg/__init__.py",
        "pkg/models/a.pth",
        "pkg/model/config.json",
        "pkg/model/model.safetensors",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    installed.files = ("pkg/__init__.py", "pkg/models/a.pth")
    assert located("some-weights", "backbone.weights") == tmp_path / "pkg/models/a.pth"
    installed.files += ("pkg/model/config.json", "pkg/model/model.safetensors")
    assert located("some-weights", "backbone.weights") == tmp_path / "pkg/model"
    installed.files = ("pkg/__init__.py",)
    with pytest.raises(UserError, match=r"weights=some-weights: the installed package"):
        located("some-weights", "backbone.weights")


def test_none_is_no_place_and_what_is_nowhere_names_the_ways_out(monkeypatch):
    assert located("none", "backbone.weights") is None
    with pytest.raises(UserError, match=r"(?s)backbone.weights=nowhere.pth: no such.*an installed package"):
        located("nowhere.pth", "backbone.weights")

    def offline(*args, **kwargs):
        raise OSError("no network\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(
        UserError, match=r"(?s)backbone.model=some/one: not on this.*\(no network\)\n"
    ) as error:
        encoder("some/one")
    assert error.value.hint.endswith(
        "backbone.model=FOLDER, an installed package, or owner/name of the Hugging Face hub"
    )


@pytest.fixture
def tiny(tmp_path):
    """A folder of a Hugging Face model, and the model."""
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    model = ResNetModel(config).eval()
    model.save_pretrained(tmp_path)
    return tmp_path, model


def test_an_encoder_of_transformers_has_the_weights_of_its_folder_others_or_none(tiny):
    folder, model = tiny
    for chosen in ("default", str(folder)):
        loaded, where = encoder(str(folder), chosen)
        assert where == folder
        assert same(model.state_dict(), loaded.state_dict())
    assert not same(model.state_dict(), encoder(str(folder), "none")[0].state_dict())


def test_a_model_that_brings_code_is_not_run(tiny):
    folder, _ = tiny
    config = (folder / "config.json").read_text().replace('"resnet"', '"unheard of"')
    config = config.replace("{", '{"auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"},', 1)
    (folder / "config.json").write_text(config)
    (folder / "code.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(UserError, match="need code of their own are not run"):
        encoder(str(folder))


class _Evil:
    def __reduce__(self):
        return (print, ("this ran",))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda file, _: (file.unlink(), torch.save({"x": _Evil()}, file.parent / "pytorch_model.bin")),
            "no weights",
        ),
        (lambda file, _: file.write_bytes(b"damaged, and long enough for a header"), "no weights"),
        (lambda file, own: save_file(_with_first(own, torch.nan), file, {"format": "pt"}), "NaN or infinite"),
    ],
)
def test_a_folder_of_transformers_whose_weights_cannot_be_used_is_refused(spoil, said, tiny, capsys):
    folder, model = tiny
    spoil(folder / "model.safetensors", model.state_dict())
    with pytest.raises(UserError, match=rf"backbone.model={folder}: .*{said}") as error:
        encoder(str(folder))
    assert "weights_only" not in str(error.value)
    assert "this ran" not in capsys.readouterr().out


def _with_first(tensors, value):
    first = next(iter(tensors))
    return tensors | {first: torch.full_like(tensors[first], value)}
