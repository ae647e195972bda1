"""Values of any type in any place, and option files of any content: a valid config or plain lines, never a traceback.

FUZZ_EXAMPLES=20000 python -m pytest tests/config/test_fuzz.py          other examples, and more of them
"""

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from metacli.commands import list as listing
from metacli.commands.checked import checked
from metacli.commands.guard import verdict
from metacli.config.compose import composed as compose
from metacli.config.compose import values_of

MORE = int(os.environ.get("FUZZ_EXAMPLES", "0"))
LINE = 400  # characters of a message's line
BASES = [
    ("paradigm=maml",),
    ("paradigm=protonet", "backbone=resnet12"),
    ("paradigm=nearest_centroid", "optimizer=sgd"),
    ("dataset=imagefolder", "backbone=cnn", "tracker=[jsonl,tensorboard]"),
    ("dataset=omniglot", "backbone=rnn", "tracker=[wandb,mlflow]"),
    ("dataset=sinusoid", "backbone=mlp40"),
]
FUZZED = settings(
    derandomize=not MORE,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

WORDS = ["", " ", "maml", "${seed}", "${nowhere}", "???", "a\nb", "\x1b[2J", "\u2028", "\0", 3000 * "x"]
NUMBERS = st.sampled_from([0, 1, -1, 2**63, 10**30, -(10**400), 0.5, 1e308, float("nan"), float("inf"), -0.0])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | NUMBERS
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=("Cs",)), max_size=8).filter("/".__ne__)
)
STRANGE = st.binary(max_size=3) | st.dates() | st.datetimes() | st.sets(st.integers(), max_size=2)
NAMES = st.sampled_from(["name", "lr", "ways", "inner", "_target_", "defaults", "", "a.b", "é"]) | st.text(
    max_size=5
)
KEYS = NAMES | st.integers() | st.none() | st.booleans() | st.floats() | st.dates()
NODES = st.recursive(
    SCALARS | STRANGE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=4,
)
CHANGES = st.tuples(st.integers(0, 99), NODES | st.just(...), st.none() | KEYS)
LINES = """
# @package _global_|# @package a.b|# @package|name: maml|name: conv4|name: nothing|name: ???|name: null
name: [a]|name: 1|defaults: [maml]|defaults: [nowhere]|defaults: 3|defaults: [mine]
defaults: [{override /backbone: nowhere}]|defaults: {a: b}|defaults: [{override /backbone: mlp}]
defaults: [_self_, _self_]|defaults: [null]|defaults: [{a: {b: c}}]|defaults: [[a]]
defaults: [/optimizer@x: sgd]|defaults: [${seed}]|order: [first|order: first|seed: ${nowhere}|seed: ${seed}
lr: ${optimizer.lr}|&a [*a]|a: &a {b: *a}|!!python/object/apply:os.system [ls]|when: 2024-01-01|? [a]|: 1|--- a
%YAML 9|'|"|<<: *x|1: 2|null: 3|a: 1|- a|\tname: x|inner: {lr: 1, lr: 2}|width: 0x10|width: 1e3|a: !!binary aGk=
a: !!set {b}|true: 1|"\\0": 1|a: "\\x1b[2J"|...|paradigm: {name: maml}|_target_: os.system
hydra: {run: {dir: x}}|hydra: {output_subdir: x}|hydra: 3|# text|a.b: 1|x: ${oc.env:X}
seed: 0xffffffffffffffffffffffffffffffffffffffff
"""
FILES = (
    st.lists(st.sampled_from(LINES.strip().replace("\n", "|").split("|")), max_size=5)
    .map("\n".join)
    .map(str.encode)
    | st.dictionaries(KEYS, NODES, max_size=3).map(lambda node: yaml.dump(node, allow_unicode=True).encode())
    | st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=("Cs",)), max_size=20).map(str.encode)
    | st.binary(max_size=20)
)


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch) -> Path:
    """Where the command is given."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """A folder of the user's own options."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("METACLI_CONFIG_PATH", str(folder))
    return folder


@settings(FUZZED, max_examples=MORE or 800)
@given(base=st.sampled_from(BASES), changes=st.lists(CHANGES, min_size=1, max_size=3))
def test_values_of_any_type_in_any_place_are_valid_or_refused(base, changes, composed, empty):
    values = composed(*base)
    for place, new, key in changes:
        change(values, place, deepcopy(new), key)
    check(lambda: means_itself(values))
    assert list(empty.iterdir()) == []


@settings(FUZZED, max_examples=MORE or 40)
@given(group=st.sampled_from(["paradigm", "backbone", "dataset", "experiment", "tracker"]), content=FILES)
def test_an_option_file_of_any_content_is_valid_or_refused(group, content, mine, empty, capsys):
    path = mine / group / "mine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    try:
        check(lambda: listing.run([group]))
        check(lambda: means_itself(values_of(compose([f"{group}=mine"])[0])))
    finally:
        path.unlink()
        capsys.readouterr()
    assert list(empty.iterdir()) == []


def change(values: dict[Any, Any], place: int, new: Any, key: Any) -> None:
    """Somewhere in `values` stands `new` instead, or, if there is a key, beside; ... is nothing."""
    places = list(nodes(values))
    node, name = places[place % len(places)] if places else (values, key)
    if key is not None:
        node[key] = None if new is ... else new
    elif new is ...:
        del node[name]
    else:
        node[name] = new


def nodes(values: dict[Any, Any]) -> Iterator[tuple[dict[Any, Any], Any]]:
    for name, value in values.items():
        yield values, name
        if isinstance(value, dict):
            yield from nodes(value)


def means_itself(values: dict[str, Any]) -> None:
    config, notes = checked(values, [])
    saved = yaml.safe_load(yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True))
    assert checked(saved, []) == (config, notes)


def check(work: Callable[[], object]) -> None:
    """That it ends well, or in plain lines."""
    try:
        work()
    except AssertionError:
        raise
    except Exception as error:
        found = verdict(error)
        if found is None:
            raise
        code, told = found
        note(told)
        lines = told.splitlines()
        assert code == 2
        assert 2 <= len(lines) <= 4
        assert all(line.isprintable() and len(line) <= LINE for line in lines)
