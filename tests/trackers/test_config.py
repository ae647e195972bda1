"""The group `tracker`: one option, several or none, each under its own name."""

import inspect
import tomllib
from copy import deepcopy
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import metacli
from metacli.config.compatibility import check, machine
from metacli.config.compose import composed, option_files, values_of
from metacli.config.construct import construct, construct_several, flatten
from metacli.config.recompose import recompose
from metacli.config.registry import component, components, load
from metacli.config.validate import validate
from metacli.errors import UserError

TRACKERS = sorted(components("tracker"))


def values(*overrides):
    config, choices = composed(overrides)
    return values_of(config), choices


def test_every_tracker_has_a_yaml_and_every_yaml_a_tracker():
    assert set(option_files()["tracker"]) == {*TRACKERS, "none"}


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_takes_the_settings_of_its_yaml_under_its_name(name):
    plain, choices = values(f"tracker={name}")
    assert choices["tracker"] == name
    assert plain["tracker"].keys() == {name}
    assert plain["tracker"][name].keys() == component("tracker", name).schema.model_fields.keys()
    assert validate(plain).plain() == plain
    takes = inspect.signature(load(component("tracker", name).target)).parameters
    assert takes.keys() == flatten(plain["tracker"][name]).keys()
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in takes.values())


@pytest.mark.parametrize("option", ["none", "[]"])
def test_there_may_be_none(option):
    plain, choices = values(f"tracker={option}")
    assert validate(plain).tracker == {}
    assert choices["tracker"] == option


def test_a_run_of_before_there_were_trackers_has_none():
    plain, _ = values()
    del plain["tracker"]
    assert validate(plain).tracker == {}


def test_several_stand_beside_each_other_and_each_may_be_set():
    plain, choices = values("tracker=[wandb,tensorboard]", "tracker.wandb.project=shapes")
    assert choices["tracker"] == "[wandb,tensorboard]"
    assert plain["tracker"].keys() == {"wandb", "tensorboard"}
    built = construct_several("tracker", validate(plain).tracker)
    assert built["wandb"].project == "shapes"
    assert built["wandb"].mode == "offline"
    assert built["tensorboard"].dir is None


def test_a_folder_is_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, _ = values("tracker=[jsonl,mlflow]", "tracker.jsonl.file=a", "tracker.mlflow.uri=sqlite:///b.db")
    nodes = validate(plain).plain()["tracker"]
    assert nodes["jsonl"]["file"] == str(tmp_path / "a")
    assert nodes["mlflow"]["uri"] == f"sqlite:///{tmp_path}/b.db"


@pytest.mark.parametrize("uri", ["http://here:5000", "https://there", "databricks", "postgresql://a/b"])
def test_a_server_of_mlflow_is_taken_as_it_is(uri):
    plain, _ = values("tracker=mlflow", f"tracker.mlflow.uri='{uri}'")
    assert validate(plain).plain()["tracker"]["mlflow"]["uri"] == uri


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["tracker=mlflow", "tracker.mlflow.uri=mlruns"], "tracker.mlflow.uri=mlruns: no folder of files"),
        (["tracker=mlflow", "tracker.mlflow.uri='file:mlruns'"], "tracker.mlflow.uri=file:mlruns: no folder"),
        (["tracker=wandb", "tracker.wandb.mode=on"], "tracker.wandb.mode=on: input should be 'offline' or"),
        (["tracker=wandb", "tracker.wandb.project="], "tracker.wandb.project=: string should have"),
        (["+tracker.mine.x=1"], "unknown key tracker.mine"),
        (["+tracker.wandb.project=x"], "tracker.wandb.entity is missing|tracker.wandb.mode is missing"),
        (["tracker=jsonl", "tracker.jsonl=3"], "tracker.jsonl: Input should be a valid dictionary"),
    ],
)
def test_mistakes_are_named(overrides, said):
    with pytest.raises(UserError, match=said):
        validate(values(*overrides)[0])


def test_a_saved_run_keeps_its_trackers():
    command = ["tracker=[jsonl,wandb]", "tracker.wandb.project=x"]
    plain, choices = values(*command)
    again = recompose(deepcopy(plain), command, choices, ["seed=4"])
    assert again.values == plain | {"seed": 4}
    assert again.choices == choices
    again = recompose(deepcopy(plain), command, choices, ["tracker.wandb.project=y"])
    assert again.values["tracker"]["wandb"]["project"] == "y"
    again = recompose(deepcopy(plain), command, choices, ["paradigm=protonet"])
    assert again.values["tracker"] == plain["tracker"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("none", "tensorboard"),
        ("none", "[tensorboard,jsonl]"),
        ("wandb", "none"),
        ("[jsonl,wandb]", "[tensorboard,jsonl]"),
        ("[jsonl,wandb]", "[]"),
    ],
)
def test_a_saved_run_may_be_given_other_trackers(before, after):
    command = [f"tracker={before}", "seed=3"]
    plain, choices = values(*command)
    again = recompose(plain, command, choices, [f"tracker={after}"])
    fresh, choices = values(f"tracker={after}", "seed=3")
    assert validate(again.values) == validate(fresh)
    assert again.choices == choices
    assert values(*again.command)[0] == fresh


@pytest.fixture
def notes():
    """Overrides -> what is said of settings without effect."""

    def check_all(*overrides, training=True):
        config = validate(values(*overrides)[0])
        return check(config, construct("dataset", config.dataset).describe(), overrides, training=training)

    return check_all


@pytest.fixture
def packages(monkeypatch):
    """The optional ones that are installed, as it seems."""
    found = set()
    monkeypatch.setattr(
        machine, "find_spec", lambda package: ModuleSpec(package, None) if package in found else None
    )
    return found


def test_a_tracker_whose_package_is_missing_is_refused_in_time(notes, packages):
    with pytest.raises(UserError) as refused:
        notes("tracker=[jsonl,wandb]")
    assert str(refused.value) == (
        'tracker=wandb: the package wandb is not installed\npip install "metacli[wandb]"'
    )
    packages.add("wandb")
    assert notes("tracker=[jsonl,wandb]") == []


def test_an_evaluation_is_not_tracked_and_says_so(notes, packages):
    assert notes("tracker=wandb", training=False) == ["tracker has no effect: nothing is trained here"]


def test_every_package_that_a_tracker_needs_is_an_extra_of_metacli():
    project = tomllib.loads((Path(metacli.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for name in TRACKERS:
        if extra := component("tracker", name).extra:
            assert any(line.startswith(extra) for line in project["optional-dependencies"][extra])
