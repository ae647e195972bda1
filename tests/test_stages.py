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
from metacli.episode import Episode
from metacli.errors import Interrupted, UserError
from metacli.features import pca
from metacli.heads.base import BaseStatistics
from metacli.paradigms.nearest_centroid import NearestCentroid
from metacli.rundir import RunFolder
from metacli.stages import Stages
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


PCA = ("paradigm=fomaml", *SMALL, "features=pca", "features.components=16", "backbone.norm=none")
ENCODER = ("features=autoencoder", "features.widths=[3,4]", "features.epochs=3", "features.batch=50")
AUTOENCODER = ("paradigm=fomaml", *SMALL, *ENCODER, "backbone.norm=none")
FROZEN: tuple[str, ...] = ()
INIT = ("paradigm.moves.outer=[features,backbone,head]",)
ADAPT = (*INIT, "paradigm.moves.inner=[features,backbone,head]")


def features(weights: dict[str, Any]) -> dict[str, Any]:
    return {name.rpartition("fitted.")[2]: tensor for name, tensor in weights.items() if "fitted." in name}


@pytest.mark.parametrize("which", [PCA, AUTOENCODER], ids=["pca", "autoencoder"])
@pytest.mark.parametrize("mode", [FROZEN, INIT, ADAPT], ids=["frozen", "init", "adapt"])
def test_features_are_frozen_or_where_the_loops_begin(mode, which, train, table):
    run = train(*which, *mode)
    fitted = load_weights(run.of("fitted").best)
    trained = features(load_state(run.last)["learner"])
    assert trained.keys() == fitted.keys()
    assert same(trained, fitted) == (mode == FROZEN)
    learner = build.build_learner(config_of(*which, *mode), table, torch.device("cpu"))
    adapted = [name for name in learner.inner.adapted if "fitted." in name]
    assert bool(adapted) == (mode == ADAPT)
    whole = [name for name, parameter in learner.named_parameters() if parameter.requires_grad]
    assert bool(features(dict.fromkeys(whole))) == (mode != FROZEN)


def test_what_is_fitted_is_kept_and_said(train, table):
    run = train(*PCA)
    layer = features(load_weights(run.best))["linear.weight"]
    assert same(features(load_weights(run.best)), load_weights(run.of("fitted").best))
    facts = run.stages()["features"]
    assert (facts["images"], facts["classes"]) == (180, 9)
    assert 0 < facts["measured"]["explained_variance"] < 1
    assert not torch.equal(
        layer, features(load_weights(train(*PCA, "features.fit=false").best))["linear.weight"]
    )


def test_an_autoencoder_learns_and_its_best_epoch_is_kept(train):
    run = train(*AUTOENCODER, "features.epochs=6", "features.lr=0.01")
    stage = [row for row in rows(run) if "stage" in row]
    assert [(row["stage"], row["epoch"]) for row in stage] == [("features", epoch) for epoch in range(1, 7)]
    assert stage[-1]["loss"] < stage[0]["loss"]
    facts = run.stages()["features"]
    assert facts["measured"] == {"reconstruction": min(row["val_reconstruction"] for row in stage)}
    assert (facts["images"], facts["epochs"]) == (162, 6)
    encoder = {
        name.removeprefix("encoder."): tensor
        for name, tensor in load_weights(run.of("features").best).items()
        if name.startswith("encoder.")
    }
    assert same(load_weights(run.of("fitted").best), encoder)


def test_features_without_a_fit_are_drawn_by_the_seed_and_leave_no_stage(train):
    run, again = (train(*PCA, "features.fit=false", name=name) for name in ("run", "again"))
    other = train(*PCA, "features.fit=false", "seed=1")
    assert same(features(load_weights(run.best)), features(load_weights(again.best)))
    assert not same(features(load_weights(run.best)), features(load_weights(other.best)))
    assert run.stages() == {}
    assert not run.of("fitted").best.exists()


@pytest.mark.parametrize("mode", [FROZEN, INIT], ids=["frozen", "init"])
def test_pretraining_on_features_moves_them_only_where_the_outer_loop_may(mode, train):
    run = train(*PCA, *PRETRAINED, *mode)
    fitted, pretrained = load_weights(run.of("fitted").best), load_weights(run.of("pretrain").best)
    assert same(features(pretrained), fitted) == (mode == FROZEN)
    assert [row["stage"] for row in rows(run)[:4]] == ["pretrain"] * 4


@pytest.mark.parametrize("stage", ["features", "pretrain", ""])
def test_a_run_that_dies_in_any_stage_goes_on_to_the_same_bits(stage, train, monkeypatch):
    settings = (*AUTOENCODER, *PRETRAINED)
    whole = train(*settings, name="whole")
    step = Trainer._step

    def dying(trainer, at):
        if at == 3 and trainer.run.stage == stage:
            raise KeyboardInterrupt
        return step(trainer, at)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(*settings, name="parts")
    (run,) = (RunFolder(path) for path in (whole.path.parents[1] / "parts").iterdir())
    api.resume(run, config_of(*settings))
    assert_same(run, whole)
    assert run.of("fitted").best.read_bytes() == whole.of("fitted").best.read_bytes()
    assert run.stages().keys() == {"features", "pretrain"}


def test_a_run_that_dies_between_its_stages_does_not_fit_again(train, monkeypatch):
    settings = (*PCA, *PRETRAINED)
    whole = train(*settings, name="whole")
    with monkeypatch.context() as patched:
        patched.setattr(Stages, "_pretrain", None)
        with pytest.raises(TypeError):
            train(*settings, name="parts")
    (run,) = (RunFolder(path) for path in (whole.path.parents[1] / "parts").iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(pca.PCA, "fit", None)
        api.resume(run, config_of(*settings))
    assert_same(run, whole)


def test_an_earlier_run_brings_its_features_fitted(train, monkeypatch):
    origin = train(*PCA, *INIT, name="origin")
    with monkeypatch.context() as patched:
        patched.setattr(pca.PCA, "fit", None)
        run = train(*PCA, f"run.init_from={origin.path}", name="run")
    assert same(features(load_weights(run.best)), features(load_weights(origin.best)))
    with pytest.raises(UserError, match="its backbone is another one"):
        train("paradigm=fomaml", *SMALL, f"run.init_from={origin.path}")


def test_an_evaluation_has_the_features_of_the_run(train, monkeypatch):
    run = train(*PCA, *ADAPT)
    monkeypatch.setattr(pca.PCA, "fit", None)
    evaluation = api.evaluate_run(run, config_of(*PCA, *ADAPT))
    assert evaluation.manifest()["result_hash"] == run.manifest()["result_hash"]


def test_second_order_goes_through_features_as_finite_differences_say(table):
    """The derivative of the query loss after adapting all, by a weight of the features."""
    where = ("features=pca", "features.components=9", "features.rate=0.5", "paradigm=maml", *SMALL, *ADAPT)
    config = config_of(*where, "backbone.norm=none", "paradigm.inner.lr=0.2", "paradigm.inner.steps=2")
    learner = build.build_learner(config, table, torch.device("cpu")).double()
    source = ImageSource(table=table, split="train", device=torch.device("cpu"))
    sampler = source.sampler(build.episode_shape(config.episode.train))
    episode = doubled(source.episode(sampler, seed=0, step=0, tasks=2))
    weight = backbone_of(learner).fitted.linear.weight
    (gradient,) = torch.autograd.grad(learner.meta_loss(episode).sum(), [weight])
    for place in ((0, 5), (4, 30), (8, 63)):
        losses = []
        for change in (1e-5, -1e-5):
            with torch.no_grad():
                weight[place] += change
            losses.append(learner.meta_loss(episode).sum().item())
            with torch.no_grad():
                weight[place] -= change
        assert gradient[place].item() == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-4, abs=1e-8)


def doubled(episode: Episode) -> Episode:
    support, query = (
        replace(part, inputs={"x": part.inputs["x"].double()}) for part in (episode.support, episode.query)
    )
    return replace(episode, support=support, query=query)


@pytest.mark.parametrize("optimizer", ["metagrad", "adaptive_metagrad"])
def test_pretraining_is_announced_with_its_length_and_the_memory_of_its_optimizer(optimizer, train):
    run = train(*UNTRAINED, f"optimizer@pretrain.optimizer={optimizer}", "pretrain.optimizer.radius=0.5")
    log = (run.path / "log.txt").read_text()
    assert (
        "pretrain=supervised comes first: 4 epochs of 4 steps, on 162 images of 9 meta-train classes" in log
    )
    assert "the pretrain.optimizer keeps " in log
    told = [row["loss"] for row in rows(run)]
    assert told[-1] < told[0]
    assert ("pretrain.optimizer.grad_bound" in run.manifest().get("calibrated", {})) == (
        optimizer == "metagrad"
    )


def test_a_pretraining_that_needs_more_memory_than_is_free_is_refused_before_a_run(
    train, monkeypatch, tmp_path
):
    monkeypatch.setattr(build, "free_memory", lambda device: 200_000)
    with pytest.raises(UserError) as error:
        train(*UNTRAINED, "optimizer@pretrain.optimizer=metagrad", "pretrain.optimizer.variant=full")
    said = str(error.value)
    assert "pretrain.optimizer.variant=full: " in said
    assert "what fits: pretrain.optimizer.variant=coordinate (" in said
    assert "parameters: pretrain.moves=[head], or an optimizer such as adam" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (UNTRAINED, "of this run"),
        (("paradigm=nearest_centroid", *SMALL), "random; nothing was trained here"),
        (("paradigm=nearest_centroid", *SMALL[2:]), "none"),  # pixels
    ],
)
def test_whose_the_weights_are_is_told(overrides, said, train, monkeypatch):
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "metacli.outcome.write_report", lambda path, results, summary, *rest: told.append(summary)
    )
    train(*overrides)
    assert told[0]["run"]["weights"] == said
