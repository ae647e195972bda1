"""Every option of every group composes, is valid, and gives its code what it takes: to be there is to be tested."""

import inspect
import os
import re
from typing import Any

import pytest
from pydantic import BaseModel

from metacli.config.compose import config_folder, option_files
from metacli.config.construct import FOR_TRAINING, construct, flatten
from metacli.config.registry import ELSEWHERE, SEVERAL, component, components, groups, load, summary
from metacli.config.schema import Config
from metacli.config.validate import validate

OPTIONS = [(group, option) for group, options in option_files().items() for option in options]
COMPONENTS = [(group, option) for group, option in OPTIONS if group in groups()]
NAMES = {  # of the component that an option is
    option: re.search(r"^name: (\w+)$", path.read_text(encoding="utf-8"), re.M)[1]
    for option, path in option_files()["backbone"].items()
}
# Options of one component differ in values alone. A file of a paradigm that sets a key of one backbone fails with most
# others, so three in turn find it; and each backbone has its turn.
BACKBONES = list({NAMES[b]: b for b in NAMES}.values())
PAIRS = [
    (p, BACKBONES[(3 * i + k) % len(BACKBONES)])
    for i, p in enumerate(option_files()["paradigm"])
    for k in range(3)
]

# What the code of a component is given beside its own values.
CONTEXT = {
    "dataset": set(),
    "features": {"shape", "form", "output"},
    "attack": set(),
    "backbone": {"shape"},
    "optimizer": {"params", "horizon", "per_task"},
    "head": {"features", "train_classes", "descent"},
    "pretrain": {"spec", "backbone", "features"},
    "paradigm": {"attack", "seed", "spec", "backbone", "features", "head", "map_shape", "last_layer"},
}

LATER = {
    "CNN": {"padding", "slope"},
    "Conll": {"limit"},
    "Limit": {"train", "val", "test"},
    "Config": {"attack", "features", "head", "pretrain", "target"},
    "Device": {"processes", "precision"},
    "Supervised": {"moves"},
    "ImageFolder": {"augment", "split_by"},
    "Augment": {"flip", "crop", "colour"},
    "InnerLoop": {"loss_reduction"},
    "NoInnerLoop": {"loss_reduction"},
}


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_is_valid(group, option, composed):
    values = composed(f"{group}={option}")
    if "root" in values["dataset"]:
        values["dataset"]["root"] = os.path.abspath(values["dataset"]["root"])
    assert validate(values).plain() == values


@pytest.mark.parametrize(("paradigm", "backbone"), PAIRS)
def test_every_paradigm_composes_with_backbones_of_several_sorts(paradigm, backbone, composed):
    config = validate(composed(f"paradigm={paradigm}", f"backbone={backbone}"))
    assert config.paradigm.name == paradigm
    assert config.backbone.name == NAMES[backbone]


def test_every_group_of_the_config_is_a_folder_of_options():
    nodes = {name for name, field in Config.model_fields.items() if _model(field.annotation)}
    assert nodes | {"experiment", *SEVERAL} == set(option_files())


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_a_schema_has_the_keys_of_the_yaml_and_no_more(group, option, composed):
    values = composed(f"{group}={option}")
    _same_keys(values, Config)
    for name in groups():
        _same_keys(values[name], component(name, values[name]["name"]).schema)


@pytest.mark.parametrize(
    "schema",
    [Config, *(c.schema for g in groups() for c in components(g).values())],
    ids=lambda s: s.__name__,
)
def test_a_default_stands_in_the_yaml_alone_but_for_keys_that_older_runs_lack(schema):
    for model in _models(schema):
        defaults = {key for key, field in model.model_fields.items() if not field.is_required()}
        assert defaults == LATER.get(model.__name__, set()), model


@pytest.mark.parametrize(("group", "option"), COMPONENTS)
def test_a_constructor_takes_exactly_the_values_of_its_yaml(group, option, composed):
    node = composed(f"{group}={option}")[group]
    code = load(component(group, node["name"]).target)
    own = {key: value for key, value in node.items() if key not in FOR_TRAINING.get(group, ())}
    values = flatten(own).keys() - {"name", "family", "schedule"}
    takes = dict(inspect.signature(code).parameters)
    if maker := component(group, node["name"]).inner:
        del takes["inner"]
        given = inspect.signature(load(maker)).parameters.items()
        takes |= {
            key: each.replace(default=each.empty)
            for key, each in given
            if key in values or key in CONTEXT[group]
        }
    if code.__module__.startswith("metacli."):
        assert takes.keys() - CONTEXT[group] == values
        assert all(parameter.default is inspect.Parameter.empty for parameter in takes.values())
        assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in takes.values())
    else:
        assert takes.keys() >= values | {"params"}


@pytest.mark.parametrize("group", groups())
def test_every_component_has_a_yaml_and_every_yaml_a_component(group, composed):
    named = {composed(f"{group}={option}")[group]["name"] for option in option_files()[group]}
    assert named == set(components(group))


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in groups() for n in components(g)])
def test_every_component_of_ours_says_in_a_sentence_what_it_is(group, name):
    if component(group, name).target.startswith("metacli."):
        said = summary(group, name)
        assert len(said.split()) >= 4
        assert not said.startswith("metacli ")


def test_a_data_set_is_described_without_being_built(composed):
    described = construct("dataset", validate(composed()).dataset).describe()
    assert described.splits.keys() == {"train", "val", "test"}
    assert len(described.shape) == 3


def test_no_yaml_names_code():
    for path in config_folder().rglob("*.yaml"):
        assert not re.search(
            r"_target_|_partial_|[\w.]+:[A-Z]\w+$", path.read_text(encoding="utf-8"), re.M
        ), path


def _same_keys(values: Any, model: type[BaseModel]) -> None:
    assert values.keys() == model.model_fields.keys() - ELSEWHERE.keys(), model
    for key, field in model.model_fields.items():
        inner = _model(field.annotation)
        if inner and key not in groups():  # where a component has a schema of its own
            _same_keys(values[key], inner)


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [_model(field.annotation) for field in model.model_fields.values()]
    return [model, *(found for other in inner if other for found in _models(other))]


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
