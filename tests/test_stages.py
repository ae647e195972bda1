"""What comes before meta-training: done once, kept, gone on with, and said."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from metacli import api, build, experiment
from metacli.checkpoint import load_state, load_weights
from metacli.config.compose import composed, values_of
from metacli.config.schema import Config
from metacli.config.validate import validate
from metacli.data.batches import Batches
from metacli.data.images import ImageSource
from metacli.data.table import Table
from metacli.errors import Interrupted
from metacli.heads.base import BaseStatistics
from metacli.paradigms.nearest_centroid import NearestCentroid
from metacli.rundir import RunFolder
from metacli.trainer import Trainer
from metacli.weights import backbone_of

SHAPE = "{ways: 3, shots: 1, queries: 3, count: 20}"
SMALL = (
    "backbone=mlp",
    "backbone.widths=[16,8]",
    "episode.train={ways: 3, shots: 1, queries: 3}",
    f"episode.val={SHAPE}",
    f"episode.test={SHAPE}",
    "trainer={steps: 4, meta_batch: 2, chunk: 4, val_every: 2, log_every: 2}",
    "device={name: cpu, threads: 1}",
)
PRETRAINED = ("pretrain=supervised", "pretrain.epochs=4", "pretrain.batch=50")
UNTRAINED = ("paradigm=nearest_centroid", *SMALL, *PRETRAINED)

Train = Callable[..., RunFolder]


def config_of(*overrides: str) -> Config:
    return validate(values_of(composed(overrides)[0]))


@pytest.fixture(autouse=True)
def in_memory(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """`table` in place of a data set; torch's switches stay as they are."""

    def build_data(config: Config, device: torch.device) -> build.Data:
        sources = {name: ImageSource(table=table, split=name, device=device) for name in table.splits}
        return build.Data(table, sources)

    monkeypatch.setattr(build, "build_data", build_data)
    monkeypatch.setattr(experiment, "prepare", lambda device, threads: None)
    monkeypatch.setattr("metacli.outcome.write_report", lambda *ignored: None)


@pytest.fixture
def train(tmp_path) -> Train:
    return lambda *overrides, name="run": api.train(config_of(*overrides), tmp_path / name)


def backbone(weights: dict[str, Any]) -> dict[str, Any]:
    return {
        name.rpartition("backbone.")[2]: tensor for name, tensor in weights.items() if "backbone." in name
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def rows(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def test_what_does_not_train_has_the_backbone_of_the_best_epoch(train):
    run = train(*UNTRAINED, "pretrain.epochs=8")
    best = load_weights(run.of("pretrain").best)
    assert same(backbone(load_weights(run.best)), backbone(best))
    saved = load_state(run.of("pretrain").last)
    accuracies = [row["val_accuracy"] for row in rows(run)]
    assert saved["progress"]["best"] == max(accuracies)
    assert saved["progress"]["best_step"] == 4 * (
        1 + accuracies.index(max(accuracies))
    )  # an epoch is 4 batches
    assert not same(backbone(best), backbone(saved["learner"]))
    assert not run.last.exists()


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_pretraining_betters_what_does_not_train(head, train):
    shape = "{ways: 3, shots: 5, queries: 5, count: 60}"
    small = [text for text in SMALL if not text.startswith(("backbone", "episode.test"))]
    conv4 = ("backbone=conv4", "backbone.width=16", "backbone.depth=2", f"episode.test={shape}")
    pretrained = ("pretrain=supervised", "pretrain.epochs=12", "pretrain.batch=32", f"pretrain.head={head}")
    accuracy = [
        train("paradigm=nearest_centroid", *small, *conv4, *more).manifest()["headline"]["mean"]
        for more in ((), (*pretrained, "pretrain.optimizer.lr=0.05"))
    ]
    assert accuracy[0] < 0.65
    assert accuracy[1] > 0.8


def test_meta_training_begins_with_the_pretrained_backbone(train):
    run = train("paradigm=protonet", *SMALL, *PRETRAINED, "optimizer.lr=1e-30", "backbone.norm=none")
    best = backbone(load_weights(run.of("pretrain").best))
    for weights in (load_weights(run.best), load_state(run.last)["learner"]):
        torch.testing.assert_close(backbone(weights), best, rtol=0, atol=1e-20)


def test_running_statistics_are_pretrained_too(train):
    run = train(*UNTRAINED)
    statistics = {name: tensor for name, tensor in load_weights(run.best).items() if "running_mean" in name}
    assert len(statistics) == 2
    assert all(tensor.any() for tensor in statistics.values())


def test_the_history_has_a_row_an_epoch_and_then_the_steps(train):
    found = rows(train("paradigm=protonet", *SMALL, *PRETRAINED))
    stage, rest = found[:4], found[4:]
    assert [(row["stage"], row["epoch"], row["step"]) for row in stage] == [
        ("pretrain", epoch, 4 * epoch) for epoch in (1, 2, 3, 4)
    ]
    numbers = {"loss", "held_out_accuracy", "val_accuracy", "val_ci95"}
    assert all(row.keys() == {"stage", "epoch", "step"} | numbers for row in stage)
    assert [row["step"] for row in rest] == [2, 4]
    assert not any("stage" in row for row in rest)


def test_without_images_held_out_there_is_no_accuracy_of_them(train):
    found = rows(train(*UNTRAINED, "pretrain.held_out=0.0"))
    assert not any("held_out_accuracy" in row for row in found)


@pytest.mark.parametrize("step", [0, 5, 7])
def test_interrupted_pretraining_goes_on_to_the_same_bits(step, train, monkeypatch):
    settings = ("paradigm=protonet", *SMALL, *PRETRAINED)
    whole = train(*settings, name="whole")
    batch = Batches.batch

    def interrupting(batches, at):
        if at == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(batches, at)

    with monkeypatch.context() as patched:
        patched.setattr(Batches, "batch", interrupting)
        with pytest.raises(Interrupted, match=f"after pretrain step {step + 1}\n"):
            train(*settings, name="parts")
    (run,) = (RunFolder(path) for path in (whole.path.parents[1] / "parts").iterdir())
    api.resume(run, config_of(*settings))
    assert f"pretrain: resumed after step {step + 1}" in (run.path / "log.txt").read_text()
    assert_same(run, whole)


def test_a_run_killed_in_meta_training_does_not_pretrain_again(train, monkeypatch):
    settings = ("paradigm=protonet", *SMALL, *PRETRAINED)
    whole = train(*settings, name="whole")
    step = Trainer._step

    def dying(trainer, at):
        if at == 3 and not trainer.run.stage:
            raise KeyboardInterrupt
        return step(trainer, at)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(*settings, name="parts")
    (run,) = (RunFolder(path) for path in (whole.path.parents[1] / "parts").iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(Batches, "batch", None)
        api.resume(run, config_of(*settings))
    assert_same(run, whole)


def test_the_manifest_says_what_was_pretrained(train):
    run = train(*UNTRAINED)
    facts = run.stages()["pretrain"]
    progress = load_state(run.of("pretrain").last)["progress"]
    assert facts == {
        "images": 162,
        "classes": 9,
        "epochs": 4,
        "best_epoch": progress["best_step"] // 4,
        "measured": {"accuracy": progress["best"]},
        "seconds": round(progress["seconds"], 1),
    }


def test_the_classes_that_are_trained_on_are_the_meta_train_classes(train, table):
    run = train(*UNTRAINED)
    assert load_weights(run.of("pretrain").best)["head.weight"].shape == (9, 8)
    assert run.manifest()["task"]["train_classes"] == len(table.splits["train"]) == 9


class Centred(NearestCentroid):
    """Knows of the meta-train classes."""

    def __init__(self, *, spec, backbone, features, distance, bn_mode):
        super().__init__(spec=spec, backbone=backbone, distance=distance, bn_mode=bn_mode)
        self.base = BaseStatistics(classes=spec.train_classes, features=features, per_class=True)


def test_what_is_known_of_the_base_classes_is_measured_once_after_pretraining(train, monkeypatch, table):
    monkeypatch.setattr("metacli.paradigms.nearest_centroid.NearestCentroid", Centred)
    run = train(*UNTRAINED)
    weights = load_weights(run.best)
    learner = build.build_learner(config_of(*UNTRAINED), table, torch.device("cpu"))
    learner.load_state_dict(weights)
    source = ImageSource(table=table, split="train", device=torch.device("cpu"))
    with torch.no_grad():
        features = backbone_of(learner.eval())(source.whole(source.rows).inputs["x"])[0]
    labels = source.local(source.rows)
    torch.testing.assert_close(weights["base.mean"], features.mean(0))
    for place in range(9):
        own = features[labels == place]
        torch.testing.assert_close(weights["base.means"][place], own.mean(0))
        torch.testing.assert_close(weights["base.covariances"][place], own.T.cov(), rtol=1e-4, atol=1e-5)


def test_an_evaluation_on_other_data_keeps_what_is_known_of_the_base_classes(train, monkeypatch, table):
    monkeypatch.setattr("metacli.paradigms.nearest_centroid.NearestCentroid", Centred)
    run = train(*UNTRAINED)
    config = config_of(*UNTRAINED)
    fewer = replace(table, splits={**table.splits, "train": table.splits["train"][:4]})
    sources = {
        name: ImageSource(table=fewer, split=name, device=torch.device("cpu")) for name in fewer.splits
    }
    monkeypatch.setattr(build, "build_data", lambda *ignored: build.Data(fewer, sources))
    evaluation = api.evaluate_run(run, config)
    assert evaluation.manifest()["result_hash"] == run.manifest()["result_hash"]


def assert_same(run: RunFolder, other: RunFolder) -> None:
    assert run.metrics.read_bytes() == other.metrics.read_bytes()
    assert run.best.read_bytes() == other.best.read_bytes()
    assert run.of("pretrain").best.read_bytes() == other.of("pretrain").best.read_bytes()
    assert run.manifest()["result_hash"] == other.manifest()["result_hash"]
