"""What a config may not say, and that the answer names the key, the value and the way out."""

import os

import pytest

from metacli.config.registry import component
from metacli.config.validate import validate
from metacli.errors import UserError


def refusal(values) -> str:
    with pytest.raises(UserError) as caught:
        validate(values)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["os:system", "metacli.paradigms.maml:MAML", "builtins.eval", "maml:MAML", ""]
)
@pytest.mark.parametrize("group", ["dataset", "backbone", "optimizer", "paradigm"])
def test_a_name_is_a_key_of_the_registry_and_never_code(group, name, composed):
    values = composed()
    values[group]["name"] = name
    assert f"{group}.name={name}: no such {group}" in refusal(values)


@pytest.mark.parametrize(
    "path", [(), ("paradigm",), ("paradigm", "inner"), ("optimizer",), ("run",), ("trainer",)]
)
@pytest.mark.parametrize("key", ["_target_", "_partial_", "_args_"])
def test_a_node_that_would_call_code_is_refused(path, key, composed):
    values = node = composed()
    for part in path:
        node = node[part]
    node[key] = "os.system"
    assert f"unknown key {'.'.join((*path, key))}=os.system" in refusal(values)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", "abc", "seed=abc: input should be a valid integer"),
        ("seed", -1, "seed=-1: input should be greater than or equal to 0"),
        ("seed", True, "seed=True: should be a number"),
        ("seed", 1.5, "seed=1.5: input should be a valid integer"),
        ("seed", None, "seed=None: input should be a valid integer"),
        ("episode.test.ways", 1, "episode.test.ways=1: input should be greater than or equal to 2"),
        ("episode.train.shots", 0, "episode.train.shots=0"),
        ("trainer.steps", 0, "trainer.steps=0"),
        ("optimizer.lr", 0, "optimizer.lr=0: input should be greater than 0"),
        ("optimizer.lr", float("inf"), "optimizer.lr=inf: input should be a finite number"),
        ("optimizer.schedule", "step", "'constant', 'cosine' or 'linear'"),
        ("paradigm.order", "third", "'second' or 'first'"),
        ("paradigm.inner.lr", float("nan"), "paradigm.inner.lr=nan: input should be a finite number"),
        ("paradigm.moves.inner", [], "paradigm.moves.inner=[]"),
        ("paradigm.moves.inner", ["heads"], "paradigm.moves.inner.0=heads"),
        ("paradigm.bn_mode", "train", "paradigm.bn_mode=train"),
        ("backbone.width", 0, "backbone.width=0"),
        ("device.name", "gpu", "device.name=gpu: should be auto, cpu, mps, cuda or cuda:N"),
        ("device.name", "cuda:x", "device.name=cuda:x: should be"),
        ("run.name", "../elsewhere", "run.name=../elsewhere: should be a folder name"),
        ("run.name", "", "run.name=: should be a folder name"),
        ("report.split", "tests", "report.split=tests"),
        ("trainer", None, "trainer=None"),
        ("trainer", [], "trainer=[]"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_key(key, value, said, composed):
    values = node = composed()
    *path, last = key.split(".")
    for part in path:
        node = node[part]
    node[last] = value
    assert said in refusal(values)


def test_a_misspelt_key_brings_the_right_one_to_mind(composed):
    values = composed()
    values["paradigm"]["inner"]["stepz"] = 3
    assert refusal(values) == 'unknown key paradigm.inner.stepz=3\ndid you mean "steps"?'


def test_a_missing_key_is_named(composed):
    values = composed()
    del values["trainer"]["steps"]
    assert refusal(values).startswith("trainer.steps is missing\n")


def test_a_whole_number_may_be_written_as_a_power_of_ten(composed):
    values = composed()
    values["trainer"]["steps"] = 1e4
    assert validate(values).trainer.steps == 10_000


def test_a_folder_may_have_a_number_for_a_name(composed):
    values = composed("dataset=imagefolder")
    values["dataset"]["root"] = 2024
    assert validate(values).dataset.root == os.path.abspath("2024")


def test_a_checked_config_does_not_change(composed):
    with pytest.raises(ValueError, match="frozen"):
        validate(composed()).trainer.steps = 3


def test_an_unknown_name_brings_the_right_one_to_mind():
    with pytest.raises(UserError, match='did you mean "protonet"'):
        component("paradigm", "protone")


def test_a_misspelt_key_is_told_before_the_key_that_it_leaves_missing(composed):
    values = composed()
    values["trainer"]["val_evry"] = values["trainer"].pop("val_every")
    told = refusal(values)
    assert told.startswith("unknown key trainer.val_evry=")
    assert told.endswith('did you mean "val_every"?')


def test_nesterov_without_momentum_is_refused(composed):
    values = composed("optimizer=sgd", "optimizer.momentum=0")
    assert refusal(values).startswith("optimizer: nesterov needs momentum > 0; set optimizer.nesterov=false")


def test_a_mistake_in_a_component_inside_another_names_the_whole_key(composed):
    values = composed("pretrain=supervised")
    values["pretrain"]["optimizer"]["momentun"] = values["pretrain"]["optimizer"].pop("momentum")
    assert refusal(values).startswith("unknown key pretrain.optimizer.momentun=0.9\ndid you mean")
    values = composed("pretrain=supervised")
    values["pretrain"]["optimizer"]["name"] = "os:system"
    assert "optimizer.name=os:system: no such optimizer" in refusal(values)
