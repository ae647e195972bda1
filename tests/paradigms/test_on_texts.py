"""Every paradigm that classifies learns from texts, on an encoder of transformers, or is refused."""

import pytest

from metacli import build
from metacli.config.compatibility import check
from metacli.config.compose import composed, option_files, values_of
from metacli.config.construct import construct
from metacli.config.registry import component
from metacli.config.validate import validate
from metacli.errors import UserError
from metacli.experiment import assemble

PARADIGMS = [p for p in sorted(option_files()["paradigm"]) if "classify" in component("paradigm", p).kinds]
OWN = {"reptile": ["paradigm.inner.batch=5"], "frozen": ["head=logreg"]}
REFUSED = {
    "pmf",
    "relationnet",
    "classifier",
}  # vary images, compare maps, are what pretraining makes of them


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_paradigm_learns_from_texts(paradigm, sentences, encoder_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path))
    overrides = [
        f"paradigm={paradigm}",
        "dataset=text",
        f"dataset.root={sentences}",
        "dataset.split_sizes=[5,5,5]",
        "pretrain=none",
        "backbone=hf_text",
        f"backbone.model={encoder_folder}",
        "backbone.weights=none",
        "backbone.max_length=30",
        "episode.train.queries=2",
        "episode.val={ways: 5, shots: 1, queries: 2, count: 2}",
        "episode.test={ways: 5, shots: 1, queries: 2, count: 2}",
        "trainer.chunk=2",
        "trainer.meta_batch=2",
        "device={name: cpu, threads: 1}",
        *OWN.get(paradigm, []),
    ]
    config = validate(values_of(composed(overrides)[0]))
    try:
        check(config, construct("dataset", config.dataset).describe())
    except UserError:
        assert paradigm in REFUSED
        return
    assert paradigm not in REFUSED
    built = assemble(config)
    source, learner = built.data.sources["train"], built.learner
    sampler = source.sampler(build.episode_shape(config.episode.train))
    episode = source.episode(sampler, seed=0, step=0, tasks=2)
    outputs = learner.adapt(episode.support)(episode.query.inputs)
    assert outputs.shape == (2, 10, 5)
    if component("paradigm", paradigm).trains:
        learner.meta_loss(episode).sum().backward()
        assert any(p.grad is not None and p.grad.any() for p in learner.parameters())
