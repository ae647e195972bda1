"""Every paradigm takes a network that was not written with a task axis, or refuses it; features that are computed once
change nothing."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from metacli import build, experiment
from metacli.config.compatibility import check, computes_once
from metacli.config.compose import composed, option_files, values_of
from metacli.config.registry import component
from metacli.config.validate import validate
from metacli.console import Console
from metacli.data.images import ImageSource
from metacli.data.table import Description
from metacli.errors import UserError

# One for each class.
PARADIGMS = sorted(
    {
        entry.target: name
        for name in sorted(option_files()["paradigm"])
        if "classify" in (entry := component("paradigm", name)).kinds and not entry.whole
    }.values()
)
SHAPE = {"ways": 3, "shots": 1, "queries": 3}
SMALL = {
    "backbone.model": "test_efficientnet",
    "backbone.weights": "none",
    "backbone.size": 16,
    "paradigm.finetune.steps": 1,
    "paradigm.augment.crop": 1,
    "paradigm.inner.steps": 1,
    "paradigm.inner.eval_steps": 1,
    "paradigm.embedding": 8,
    "paradigm.width": 8,
    "paradigm.neighbours": 4,
    "head.epochs": 2,
    "head.samples": 20,
    "episode.train": SHAPE,
    "episode.val": SHAPE | {"count": 4},
    "episode.test": SHAPE | {"count": 4},
    "trainer.meta_batch": 2,
    "device.name": "cpu",
    "device.threads": 1,
}


def configured(*overrides):
    config, _ = composed(["backbone=timm", *overrides])
    for key, value in SMALL.items():
        if OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, value, merge=False)
    OmegaConf.update(config, "backbone.size", 16)
    return validate(values_of(config))


@pytest.fixture(autouse=True)
def in_memory(table, monkeypatch, tmp_path):
    def build_data(config, device):
        return build.Data(table, {s: ImageSource(table=table, split=s, device=device) for s in table.splits})

    monkeypatch.setattr(build, "build_data", build_data)
    monkeypatch.setattr(experiment, "prepare", lambda device, threads: None)
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path))


@pytest.fixture
def assembled(table):
    sizes = {s: {str(c): 20 for c in ids} for s, ids in table.splits.items()}

    def make(*overrides):
        config = configured(*overrides)
        check(config, Description((1, 8, 8), sizes))
        return experiment.assemble(config)

    return make


def outcome(built, monkeypatch, *, once):
    monkeypatch.setattr(experiment, "computes_once", lambda config: once)
    return built.evaluate("test", Console(live=False)).results


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_paradigm_works_on_it_and_features_computed_once_change_nothing(
    paradigm, assembled, monkeypatch
):
    overrides = [f"paradigm={paradigm}", *(["attack=fgsm"] if paradigm == "adml" else [])]
    if component("paradigm", paradigm).maps:
        with pytest.raises(UserError, match="last map"):
            assembled(*overrides)
        return
    built = assembled(*overrides)
    learner, source = built.learner, built.data.sources["train"]
    sampler = source.sampler(build.episode_shape(built.config.episode.train))
    episode = source.episode(sampler, seed=0, step=0, tasks=2)
    before = deepcopy(learner.state_dict())
    if component("paradigm", paradigm).trains:
        learner.train()
        learner.meta_loss(episode).sum().backward()
        assert any(parameter.grad is not None for parameter in learner.parameters())
    found = outcome(built, monkeypatch, once=False)
    assert found.predicted.shape == (4, 9)
    if computes_once(built.config):
        fast = outcome(built, monkeypatch, once=True)
        np.testing.assert_allclose(fast.confidence, found.confidence, rtol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


def test_to_evaluate_a_run_the_weights_that_it_began_with_need_not_be_there(table):
    config = configured("paradigm=nearest_centroid")
    config = config.model_copy(
        update={"backbone": config.backbone.model_copy(update={"weights": "gone.pth"})}
    )
    assert experiment.assemble(config, classes=9).config == config
    with pytest.raises(UserError, match=r"backbone.weights=gone.pth"):
        experiment.assemble(config)


@pytest.mark.parametrize(
    ("moves", "what"),
    [("head", set()), ("norm", {"bn"}), ("lora", {"lora"}), ("last_block", {"blocks.3", "conv_head", "bn2"})],
)
def test_pretraining_moves_what_it_is_told_of_a_network(moves, what, assembled):
    built = assembled(
        "paradigm=nearest_centroid", "pretrain=supervised", f"pretrain.moves=[{moves}]", "backbone.lora=2"
    )
    with torch.no_grad():
        classifier = build.build_classifier(built.config, built.learner.spec, built.device)
    moved = [name for name, parameter in classifier.backbone.named_parameters() if parameter.requires_grad]
    assert bool(moved) == bool(what)
    assert all(any(word in name for word in what) for name in moved)


@pytest.mark.parametrize(
    ("overrides", "once"),
    [
        (["paradigm=nearest_centroid"], True),
        (["paradigm=transfer"], True),
        (["paradigm=transfer", "paradigm.moves.inner=[]"], True),
        (["paradigm=transfer", "paradigm.moves.inner=[norm,head]"], False),
        (["paradigm=pmf"], False),
        (["paradigm=anil"], True),
        (["paradigm=maml"], False),
        (["paradigm=nearest_centroid", "attack=pgd"], False),
        (["paradigm=nearest_centroid", "features=pca"], False),
    ],
)
def test_features_are_computed_once_where_no_task_changes_them(overrides, once):
    assert computes_once(configured(*overrides)) is once
