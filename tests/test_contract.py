"""What a user may rely on: every paradigm works with every backbone in every bn_mode, or is refused, and every setting
does something, is refused, or is said to do nothing. A new paradigm or backbone is held to it by having a YAML; one
that does not classify is held to it on sinusoids.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel

from metacli import api, build, experiment
from metacli.config.compatibility import check
from metacli.config.compose import composed, option_files, values_of
from metacli.config.construct import construct
from metacli.config.registry import component, groups
from metacli.config.schema import Config
from metacli.config.schema.paradigm import BatchNormMode
from metacli.config.validate import validate
from metacli.console import Console
from metacli.data.images import ImageSource
from metacli.data.table import Description, Table
from metacli.errors import UserError
from metacli.files import digest
from metacli.metrics import METRICS
from metacli.weights import backbone_of, load_into

PARADIGMS = sorted(option_files()["paradigm"])
# What others have trained is held to it in tests/pretrained, what takes texts in tests/paradigms/test_on_texts.py.
PRETRAINED = {"huggingface", "resnet18", "resnet50", "timm", "torchvision"}
TEXT = {"hf_text", "bert", "minilm"}
BACKBONES = sorted(option_files()["backbone"].keys() - PRETRAINED - TEXT)
OPTIMIZERS = sorted(option_files()["optimizer"])
ATTACKS = sorted(set(option_files()["attack"]) - {"none"})
HEADS = sorted(set(option_files()["head"]) - {"none"})
FEATURES = sorted(set(option_files()["features"]) - {"none"})
# What tags words is held to it in tests/paradigms/test_on_words.py, what is asked whole splits in test_whole_splits.py.
CLAIMS = [
    (name, kind)
    for name in PARADIGMS
    for kind in component("paradigm", name).kinds
    if kind != "tag" and not component("paradigm", name).whole
]
TRAINED = [(name, kind) for name, kind in CLAIMS if component("paradigm", name).trains]

DATA: dict[str, list[str]] = {"classify": [], "regress": ["dataset=sinusoid"]}
# One that all paradigms take.
NETWORK: dict[str, list[str]] = {"classify": ["backbone=conv4"], "regress": ["backbone=mlp40"]}

# The experiment of the fixture `table`, as small as it makes sense; keys that a backbone does not have are left out.
SMALL = {
    "backbone.width": 4,
    "features.components": 16,
    "features.images": 100,
    "features.widths": [3, 4],
    "features.epochs": 2,
    "features.batch": 44,
    "features.lr": 0.01,
    "backbone.depth": 2,
    "backbone.widths": [8, 4],
    "paradigm.inner.lr": 0.1,
    "paradigm.ridge": 0.001,
    "paradigm.embedding": 16,
    "paradigm.width": 8,
    "paradigm.neighbours": 4,
    "paradigm.finetune.steps": 2,
    "paradigm.finetune.lr": 0.02,
    "paradigm.augment.crop": 1,
    "optimizer.lr": 0.01,
    "pretrain.epochs": 1,
    "pretrain.batch": 80,
    "attack.epsilon": 0.02,
    "attack.episodes": 4,
    "head.epochs": 3,
    "head.batch": 2,
    "head.samples": 30,
    "head.neighbours": 4,
    "head.steps": 3,
    "episode.train": {"ways": 3, "shots": 1, "queries": 3},
    "episode.val": {"ways": 3, "shots": 1, "queries": 3, "count": 8},
    "episode.test": {"ways": 3, "shots": 1, "queries": 3, "count": 8},
    "trainer": {
        "steps": 4,
        "meta_batch": 2,
        "chunk": 4,
        "val_every": 2,
        "log_every": 2,
        "patience": 0,
        "clip": 0.0,
    },
    "device": {"name": "cpu", "threads": 1, "workers": 0, "processes": 1, "precision": "fp32"},
}

# What some paradigms need besides.
OWN = {
    "reptile": {"paradigm.inner.optimizer": "sgd", "paradigm.inner.eval_steps": 4, "optimizer.lr": 1.0},
    "maml_pp": {"paradigm.inner.steps": 2, "paradigm.inner.eval_steps": 2, "paradigm.multi_step": 0.8},
    "alfa": {"paradigm.inner.steps": 2, "paradigm.inner.eval_steps": 2, "paradigm.inner.initial_decay": 0.01},
    "imaml": {"paradigm.inner.steps": 2, "paradigm.inner.eval_steps": 2, "paradigm.solver.steps": 1},
}
# What all methods share, as evaluation, is tried with one of each sort: an inner loop that is differentiated through,
# one that is not, none, an optimizer that comes with it, statistics over a whole step, no training, no classes.
ALL_SHARE = ("episode.val", "episode.test", "optimizer", "trainer", "device", "report")
ONE_OF_EACH_SORT = {"maml", "reptile", "protonet", "metagrad", "gnn", "nearest_centroid", "joint"}
# With what a method shows within seconds that it learns, where that is not what others do or takes them too long.
SLOW_TO_START: dict[str, dict[str, Any]] = {
    "maml_pp": {"networks": ["mlp"], "steps": 50},
    "alfa": {"networks": ["mlp"], "steps": 50},
    "imaml": {"networks": ["mlp"], "steps": 50},
    "gnn": {"networks": ["conv4"], "shots": 1, "steps": 150, "lr": 0.02},
    "relationnet": {"networks": ["conv4"], "shots": 1, "steps": 100, "lr": 0.005},
    "tpn": {"networks": ["conv4"], "shots": 1, "steps": 100, "lr": 0.005},
}

# Where running averages that have hardly moved yet give the same answer to every query.
WITHOUT_AVERAGES = {"gnn": ["paradigm.bn_mode=batch"]}

# Settings that are there for something else than a result.
ON_PURPOSE = {
    "paradigm.family": "a word for lists and reports",
    "trainer.chunk": "memory against speed",
    "trainer.log_every": "lines in the log",
    "trainer.patience": "a shorter run, if there is reason for it",
    "device.name": "where to compute",
    "device.threads": "speed",
    "device.workers": "speed",
    "device.processes": "speed",
    "optimizer.wake": "where an expert begins that wakes late: a training this short may have none",
    "optimizer.experts": "memory: one more than a training this short wakes",
}


def pairs() -> Iterator[tuple[str, str, str, str]]:
    """Each paradigm with each backbone and each bn_mode, each backbone with each bn_mode; all three with some."""
    modes = get_args(BatchNormMode)
    for number, (paradigm, kind) in enumerate(CLAIMS):
        for place, backbone in enumerate(BACKBONES):
            whole = backbone in ("conv4", "conv4_stride", "mlp")
            for mode in modes if whole else [modes[(number + place) % len(modes)]]:
                yield paradigm, kind, backbone, mode


@functools.cache
def _composed(*overrides: str) -> DictConfig:
    return composed(overrides)[0]


def values(*overrides: str, **small: Any) -> dict[str, Any]:
    """The config of some choices, made small. Each choice is composed by itself, since composing is slow."""
    first, *others = overrides
    config = deepcopy(_composed(first))
    for override in others:
        key, _, text = override.partition("=")
        if key in groups():
            config[key] = deepcopy(_composed(override)[key])
        else:
            OmegaConf.update(config, key, yaml.safe_load(text))
    for key, value in (SMALL | OWN.get(config.paradigm.name, {}) | small).items():
        if OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, value, merge=False)
    found = values_of(config)
    blocks = len(found["backbone"].get("widths", ()))
    for key, value in found["backbone"].items():
        if isinstance(value, list):  # one for each block, of all sorts
            found["backbone"][key] = value[:: len(value) // blocks][:blocks]
    return found


@pytest.fixture(autouse=True)
def in_memory(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """`table` in place of images, whatever data set a config names; torch's switches are put back after it."""
    build_named = build.build_data

    def build_data(config: Config, device: torch.device) -> build.Data:
        if config.dataset.name == "sinusoid":
            return build_named(config, device)
        sources = {name: ImageSource(table=table, split=name, device=device) for name in table.splits}
        return build.Data(table, sources)

    monkeypatch.setattr(build, "build_data", build_data)
    monkeypatch.setattr("metacli.outcome.write_report", lambda *ignored: None)
    monkeypatch.setattr(experiment, "prepare", lambda device, threads: None)


@pytest.mark.parametrize(("paradigm", "kind", "backbone", "bn_mode"), list(pairs()))
def test_every_paradigm_works_with_every_backbone_and_every_bn_mode(paradigm, kind, backbone, bn_mode, table):
    plain = values(f"paradigm={paradigm}", *DATA[kind], f"backbone={backbone}", f"paradigm.bn_mode={bn_mode}")
    if refused(plain, table):
        return
    built = experiment.assemble(validate(plain))
    learner, source = built.learner, built.data.sources["train"]
    episode = source.episode(
        source.sampler(build.episode_shape(built.config.episode.train)), seed=0, step=0, tasks=2
    )
    before = deepcopy(learner.state_dict())
    for training in (True, False):
        learner.train(training)
        outputs = learner.adapt(episode.support)(episode.query.inputs)
        assert outputs.shape == ((2, 9, 3) if kind == "classify" else (2, 3, 1))
        assert outputs.isfinite().all()
        losses = learner.meta_loss(episode)
        assert losses.shape == (2,)
        assert losses.isfinite().all()
    learner.train()
    if component("paradigm", paradigm).trains and list(learner.parameters()):
        losses.sum().backward()
        assert any(parameter.grad is not None for parameter in learner.parameters())
    found = built.evaluate("test", Console())
    assert found.results.predicted.shape == ((8, 9) if kind == "classify" else (8, 3, 1))
    assert learner.training
    assert _same(before, learner.state_dict())


@pytest.mark.parametrize(("paradigm", "kind"), TRAINED)
def test_what_trains_gets_better(paradigm, kind, table, tmp_path):
    slow = SLOW_TO_START.get(paradigm, {})
    shape = {"ways": 3, "shots": slow.get("shots", 5), "queries": 5}
    settings = {
        "backbone.widths": [32, 32],
        "backbone.width": 16,
        "paradigm.inner.lr": 0.4,
        **({"optimizer.lr": slow["lr"]} if "lr" in slow else {}),
        "pretrain.epochs": 20,
        "pretrain.batch": 20,
        "episode.train": shape,
        "episode.test": shape | {"count": 60},
        "trainer": SMALL["trainer"]
        | {"steps": slow.get("steps", 100), "meta_batch": 8, "chunk": 8, "val_every": 25},
    }
    networks = slow.get("networks", ["mlp", "conv4"])
    plain = next(
        fitting
        for network in networks
        if not refused(
            fitting := values(f"paradigm={paradigm}", *DATA[kind], f"backbone={network}", **settings), table
        )
    )
    gained = gain(validate(plain), tmp_path)
    assert gained.mean() > max(0.05, 3 * gained.std() / len(gained) ** 0.5)


@pytest.mark.parametrize(("paradigm", "kind"), CLAIMS)
def test_every_setting_does_something_or_is_refused_or_is_said_to_do_nothing(paradigm, kind, ignored):
    among = ("paradigm", "episode.train", *(ALL_SHARE if paradigm in ONE_OF_EACH_SORT else ()))
    chosen = [*DATA[kind], *NETWORK[kind], *WITHOUT_AVERAGES.get(paradigm, [])]
    assert ignored(values(f"paradigm={paradigm}", *chosen), among) == []


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_setting_of_a_backbone_does_something(backbone, ignored):
    assert ignored(values("paradigm=anil", f"backbone={backbone}"), ["backbone"]) == []


@pytest.mark.parametrize("backbone", ["mlp128", "cnn64", "rnn64"])
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_paradigm_works_on_all_features(paradigm, features, backbone, table):
    plain = values(f"paradigm={paradigm}", f"features={features}", f"backbone={backbone}")
    if refused(plain, table):
        return
    built = experiment.assemble(validate(plain))
    learner, source = built.learner, built.data.sources["train"]
    sampler = source.sampler(build.episode_shape(built.config.episode.train))
    episode = source.episode(sampler, seed=0, step=0, tasks=2)
    answers = len(table.splits["train"]) if component("paradigm", paradigm).whole else 3
    assert learner.adapt(episode.support)(episode.query.inputs).shape == (2, 9, answers)
    if component("paradigm", paradigm).trains:
        learner.meta_loss(episode).sum().backward()
    fitted = list(backbone_of(learner).fitted.parameters())
    assert fitted
    assert all(parameter.grad is None for parameter in fitted)  # frozen, until moves say otherwise


@pytest.mark.parametrize(("features", "backbone"), [("pca", "mlp128"), ("autoencoder", "cnn64")])
def test_every_setting_of_features_does_something(features, backbone, ignored):
    plain = values("paradigm=fomaml", f"features={features}", f"backbone={backbone}")
    assert ignored(plain, ["features", "paradigm"]) == []
    plain["features"]["fit"] = False
    assert ignored(plain, ["features"]) == []


@pytest.mark.parametrize("paradigm", ["nearest_centroid", "protonet"])
def test_every_setting_of_pretraining_does_something(paradigm, ignored):
    how = ("pretrain=supervised", "pretrain.head=cosine")
    groups = ("pretrain", "optimizer", "episode", "trainer")
    assert ignored(values(f"paradigm={paradigm}", "backbone=mlp", *how), groups) == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_setting_of_an_optimizer_does_something(optimizer, ignored):
    assert ignored(values("paradigm=anil", f"optimizer={optimizer}"), ["optimizer"]) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_setting_of_an_attack_does_something(attack, ignored):
    plain = values("paradigm=protonet", "backbone=mlp", f"attack={attack}", "attack.train_on=query")
    assert ignored(plain, ["attack"]) == []


@pytest.mark.parametrize("paradigm", [name for name, kind in CLAIMS if kind == "classify"])
def test_what_every_paradigm_predicts_can_be_attacked(paradigm, table):
    network = "conv4" if component("paradigm", paradigm).maps else "conv4_stride"
    plain = values(f"paradigm={paradigm}", f"backbone={network}", "attack=fgsm", "attack.epsilon=0.5")
    check(validate(plain), described(validate(plain), table))
    built = experiment.assemble(validate(plain))
    before = deepcopy(built.learner.state_dict())
    found = built.evaluate("test", Console(), attacked=True).robustness
    assert [entry["n"] for entry in found] == [4] * 4
    assert _same(before, built.learner.state_dict())


@pytest.mark.parametrize("head", HEADS)
def test_every_head_works_and_every_setting_of_it_does_something(head, ignored):
    assert ignored(values("paradigm=frozen", "backbone=conv4_stride", f"head={head}"), ["head"]) == []


@pytest.mark.parametrize("bn_mode", get_args(BatchNormMode))
@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_fitted_in_every_bn_mode_and_leaves_the_learner_as_it_was(head, bn_mode):
    plain = values("paradigm=frozen", "backbone=conv4_stride", f"head={head}", f"paradigm.bn_mode={bn_mode}")
    built = experiment.assemble(validate(plain))
    before = deepcopy(built.learner.state_dict())
    assert built.evaluate("test", Console()).results.predicted.shape == (8, 9)
    assert _same(before, built.learner.state_dict())


def test_a_seed_does_nothing_only_where_that_is_said(ignored):
    for backbone in ("conv4", "pixels"):
        assert ignored(values("paradigm=nearest_centroid", f"backbone={backbone}"), []) == []


@pytest.fixture
def ignored(table: Table, tmp_path: Path) -> Callable[[dict[str, Any], Sequence[str]], list[str]]:
    """The settings among the values of some groups that nothing reads, nobody refuses and no note names."""

    def find(plain: dict[str, Any], among: Sequence[str]) -> list[str]:
        usual = outcome(plain, tmp_path)
        return [
            f"{key}={value}"
            for key, value in alternatives(plain, among)
            if key not in ON_PURPOSE and silent(plain, key, value, usual)
        ]

    def silent(plain: dict[str, Any], key: str, value: Any, usual: tuple[str, ...]) -> bool:
        changed = OmegaConf.create(deepcopy(plain))
        OmegaConf.update(changed, key, value)
        try:
            config = validate(values_of(changed))
            notes = check(config, described(config, table), [f"{key}={value}"])
        except UserError:
            return False
        same = outcome(config.plain(), tmp_path) == usual
        noted = any(note.startswith(f"{key} has no effect") for note in notes)
        assert same or not noted  # what is said to do nothing does nothing
        return same and not noted

    return find


def gain(config: Config, folder: Path) -> np.ndarray:
    """By how much training betters the headline metric of each test episode, [E]; an error, by its logarithm."""
    built = experiment.assemble(config)

    def measured() -> np.ndarray:
        results = built.evaluate("test", Console()).results
        values = results.values()[results.primary]
        return values if METRICS[results.primary].higher_is_better else -np.log(values)

    untrained = measured()
    load_into(built.learner, api.train(config, folder).best)
    return measured() - untrained


def refused(plain: dict[str, Any], table: Table) -> bool:
    try:
        config = validate(plain)
        check(config, described(config, table))
    except UserError:
        return True
    return False


def outcome(plain: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """All that a run with these values computes."""
    run = api.train(validate(plain), folder)
    manifest = run.manifest()
    history = run.metrics.read_text() if run.metrics.exists() else ""
    return history, digest(run.best.read_bytes()), manifest["result_hash"], manifest["episode_hash"]


def alternatives(plain: dict[str, Any], among: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Another value for every setting of some nodes, every other one of a choice; and another seed."""
    for path in among:
        group, *inner = path.split(".")
        node, schema = plain[group], Config.model_fields[group].annotation
        if group in groups():
            schema = component(group, node["name"]).schema
        for key in inner:
            node, schema = node[key], schema.model_fields[key].annotation
        yield from _others(schema, node, path)
    yield "seed", plain["seed"] + 1


def _others(schema: type[BaseModel], node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, field in schema.model_fields.items():
        path, value, kind = f"{prefix}.{key}", node[key], field.annotation
        if isinstance(value, dict):
            yield from _others(kind, value, path)
        elif isinstance(value, str) and (choices := _words(kind)):
            yield from ((path, choice) for choice in choices if choice != value)
        elif isinstance(value, list):
            yield path, value[:-1]
        elif isinstance(value, bool):
            yield path, not value
        elif isinstance(value, int):
            yield path, value + 1
        elif isinstance(value, float):
            yield path, value / 2 if value else 0.01


def _words(kind: Any) -> tuple[str, ...]:
    """Those that a setting may be, alone or beside other types."""
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))


def described(config: Config, table: Table) -> Description:
    if config.dataset.name == "sinusoid":
        return construct("dataset", config.dataset).describe()
    counts = {
        split: {table.classes[c]: int((table.labels == c).sum()) for c in ids}
        for split, ids in table.splits.items()
    }
    return Description((1, *table.images.shape[1:3]), counts)


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(tensor, other[name]) for name, tensor in one.items()
    )
