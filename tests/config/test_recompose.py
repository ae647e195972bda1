"""A saved config with changes: what is asked for changes, and nothing else does."""

import re
import shutil
from copy import deepcopy

import pytest

from metacli.config import compose, recompose
from metacli.config.recompose import Recomposed
from metacli.errors import UserError

COMMAND = ["trainer.steps=7", "paradigm.inner.lr=0.05", "backbone.width=8", "seed=3"]
CHOICES = {
    "dataset": "glyphs",
    "episode": "5w1s",
    "features": "none",
    "backbone": "conv4_stride",
    "head": "none",
    "pretrain": "none",
    "optimizer": "adam",
    "attack": "none",
    "trainer": "short",
    "device": "auto",
    "report": "default",
    "run": "default",
    "tracker": "none",
    "paradigm": "maml",
}


@pytest.fixture
def saved(composed):
    return composed(*COMMAND)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the configs that may be edited."""
    copy = tmp_path / "configs"
    shutil.copytree(compose.config_folder(), copy)
    monkeypatch.setattr(compose, "config_folder", lambda: copy)
    return copy


def changed(saved, *overrides, command=COMMAND) -> Recomposed:
    return recompose.recompose(deepcopy(saved), command, CHOICES, overrides)


def test_nothing_asked_is_nothing_changed(saved):
    assert changed(saved) == Recomposed(saved, CHOICES, COMMAND)


def test_a_value_changes_alone(saved):
    again = changed(saved, "episode.test.shots=5")
    expected = deepcopy(saved)
    expected["episode"]["test"]["shots"] = 5
    assert again == Recomposed(expected, CHOICES, [*COMMAND, "episode.test.shots=5"])


def test_a_switched_paradigm_is_taken_afresh_with_the_options_it_chooses(saved, composed):
    again = changed(saved, "paradigm=protonet")
    fresh = composed("paradigm=protonet")
    assert again.values["paradigm"] == fresh["paradigm"]
    assert again.choices == CHOICES | {"paradigm": "protonet", "trainer": "one_episode"}
    assert again.values["trainer"] == fresh["trainer"] | {
        "steps": 7
    }  # the command line of the run still wins
    for group in ("seed", "dataset", "episode", "backbone", "optimizer", "device", "report"):
        assert again.values[group] == saved[group]


def test_a_switched_paradigm_loses_the_values_that_were_set_for_the_other(saved):
    again = changed(saved, "paradigm=anil")
    assert again.values["paradigm"]["inner"]["lr"] != 0.05
    assert "paradigm.inner.lr=0.05" not in again.command


def test_values_of_an_option_that_went_with_a_switch_are_dropped(saved):
    again = changed(saved, "paradigm=nearest_centroid")
    assert again.values["backbone"] == {"name": "pixels"}
    assert "backbone.width=8" not in again.command


def test_a_switch_and_a_value_of_the_new_option_go_together(saved):
    again = changed(saved, "optimizer=sgd", "optimizer.momentum=0.5")
    assert again.values["optimizer"]["momentum"] == 0.5
    assert again.values["optimizer"]["name"] == "sgd"


def test_a_switched_data_set_keeps_everything_else(saved, composed):
    again = changed(saved, "dataset=imagefolder", "dataset.root=photos")
    assert again.values["dataset"] == composed("dataset=imagefolder")["dataset"] | {"root": "photos"}
    assert {**again.values, "dataset": None, "run": None} == {**saved, "dataset": None, "run": None}


def test_the_name_of_the_run_follows_paradigm_and_data_set(saved):
    again = changed(saved, "paradigm=protonet", "dataset=omniglot")
    assert again.values["run"]["name"] == "protonet-omniglot"


def test_a_name_of_the_users_own_stays(composed):
    command = [*COMMAND, "run.name=mine"]
    again = changed(composed(*command), "paradigm=protonet", command=command)
    assert again.values["run"]["name"] == "mine"


def test_a_value_that_follows_another_follows_it_still(saved):
    assert changed(saved, "paradigm.inner.steps=5").values["paradigm"]["inner"]["eval_steps"] == 5


def test_a_value_that_was_set_apart_from_another_stays_apart(composed):
    command = [*COMMAND, "paradigm.inner.eval_steps=1"]
    again = changed(composed(*command), "paradigm.inner.steps=5", command=command)
    assert again.values["paradigm"]["inner"]["eval_steps"] == 1


def test_an_experiment_brings_its_values_to_groups_whose_option_stays(saved, composed):
    command = [text for text in COMMAND if not text.startswith("trainer")]
    experiment = "experiment=omniglot/maml_5w1s"
    again = changed(composed(*command), experiment, command=command)
    fresh = composed(experiment)
    assert again.values["episode"] == fresh["episode"]
    assert again.values["trainer"] == fresh["trainer"]
    assert again.values["backbone"]["width"] == 8


def test_an_experiment_yields_to_the_command_line_of_the_run(saved):
    assert changed(saved, "experiment=omniglot/maml_5w1s").values["trainer"]["steps"] == 7


def test_the_new_command_composes_what_came_out(saved, composed):
    again = changed(saved, "paradigm=protonet", "episode.test.shots=5", "dataset=omniglot")
    assert composed(*again.command) == again.values


def test_changes_of_changes_work(saved):
    first = changed(saved, "paradigm=protonet", "trainer.val_every=3")
    second = recompose.recompose(first.values, first.command, first.choices, ["paradigm=maml"])
    assert second.values["paradigm"]["name"] == "maml"
    assert second.values["trainer"]["val_every"] == 3
    assert second.values["trainer"]["steps"] == 7


def test_an_edited_yaml_changes_no_saved_run(saved, folder):
    for path in folder.glob("*/*.yaml"):
        path.write_text(
            re.sub(r"\b(steps|meta_batch|lr|count|width|clip): [\d.]+", r"\1: 9", path.read_text())
        )
    assert changed(saved).values == saved
    assert changed(saved, "seed=4").values == saved | {"seed": 4}
    switched = changed(saved, "episode=20w1s").values
    assert switched["episode"]["test"]["count"] == 9
    assert switched | {"episode": saved["episode"]} == saved


def test_a_removed_key_or_option_harms_no_saved_run(saved, folder):
    trainer = folder / "trainer" / "short.yaml"
    trainer.write_text(re.sub(r"^steps: .*\n", "", trainer.read_text(), flags=re.M))
    assert changed(saved, "seed=4").values == saved | {"seed": 4}
    (folder / "paradigm" / "maml.yaml").unlink()
    assert changed(saved, "seed=4").values == saved | {"seed": 4}


def test_a_group_that_is_switched_comes_from_the_yaml_of_today(saved, folder):
    path = folder / "optimizer" / "sgd.yaml"
    path.write_text(re.sub(r"^lr: .*", "lr: 0.7", path.read_text(), flags=re.M))
    assert changed(saved, "optimizer=sgd").values["optimizer"]["lr"] == 0.7


def test_several_values_are_refused(saved):
    with pytest.raises(UserError, match="seed=1,2: several values"):
        changed(saved, "seed=1,2")


PRETRAINED = ["pretrain=supervised", "optimizer@pretrain.optimizer=adam", "pretrain.optimizer.lr=0.5"]


@pytest.fixture
def pretrained(composed):
    values, choices = composed(*PRETRAINED), CHOICES | {"pretrain": "supervised"}
    choices["optimizer@pretrain.optimizer"] = "adam"
    return lambda *overrides: recompose.recompose(values, PRETRAINED, choices, overrides)


def test_an_option_inside_anothers_settings_is_a_choice_of_its_own(pretrained):
    again = pretrained("seed=1")
    assert again.choices["optimizer@pretrain.optimizer"] == "adam"
    assert again.values["pretrain"]["optimizer"]["name"] == "adam"
    assert again.values["pretrain"]["optimizer"]["lr"] == 0.5


def test_it_is_switched_alone(pretrained, composed):
    again = pretrained("optimizer@pretrain.optimizer=sgd", "pretrain.optimizer.momentum=0.5")
    fresh = composed("optimizer=sgd", "optimizer.momentum=0.5")["optimizer"]
    assert again.values["pretrain"]["optimizer"] == fresh
    assert again.values["optimizer"]["name"] == "adam"
    assert again.choices["optimizer@pretrain.optimizer"] == "sgd"
    assert "pretrain.optimizer.lr=0.5" not in again.command


def test_the_option_of_its_group_is_switched_without_it(pretrained):
    again = pretrained("optimizer=sgd")
    assert again.values["optimizer"]["name"] == "sgd"
    assert again.values["pretrain"]["optimizer"]["lr"] == 0.5


def test_it_goes_with_what_it_is_inside_of(pretrained):
    again = pretrained("pretrain=none")
    assert again.values["pretrain"] == {"name": "none"}
    assert again.command == ["pretrain=none"]
    assert "optimizer@pretrain.optimizer" not in again.choices


def test_it_goes_with_a_paradigm_that_brought_what_it_is_inside_of(composed, tmp_path, monkeypatch):
    (tmp_path / "paradigm").mkdir()
    text = "# @package _global_\ndefaults:\n  - maml\n  - override /pretrain: supervised\n"
    (tmp_path / "paradigm" / "brings.yaml").write_text(text)
    monkeypatch.setenv("METACLI_CONFIG_PATH", str(tmp_path))
    command = ["paradigm=brings", "optimizer@pretrain.optimizer=adam"]
    config, choices = recompose.composed(command)
    again = recompose.recompose(compose.values_of(config), command, choices, ["paradigm=protonet"])
    assert again.values["pretrain"] == {"name": "none"}
    assert again.command == ["paradigm=protonet"]
