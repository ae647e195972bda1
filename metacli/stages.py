"""What comes before meta-training, done once and kept: features are fitted, the backbone is pretrained, and what is
known of its features is measured. All of it sees the meta-train classes alone.

A stage has checkpoints of its own, from which it goes on bit for bit, and the manifest says what came of it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from metacli import build
from metacli.checkpoint import load_weights, save_weights
from metacli.config.registry import component
from metacli.config.schema.optimizer import InDomain
from metacli.config.schema.pretrain import ByEpochs
from metacli.console import Console, Counting
from metacli.data.batches import Batches
from metacli.data.tag_batches import TagBatches
from metacli.experiment import Experiment
from metacli.features.stacked import Stacked
from metacli.heads.base import BaseStatistics
from metacli.heads.transitions import AbstractTransitions
from metacli.learner import Learner
from metacli.pretrain.supervised import Classifier
from metacli.report import wording
from metacli.rundir import RunFolder
from metacli.trainer import Plan, Trainer, saved_progress
from metacli.weights import backbone_of, load_into

STAGES = ("features", "pretrain")

Row = Mapping[str, Any]

BATCHES: dict[str, Any] = {"classify": Batches, "tag": TagBatches}


@dataclass(frozen=True)
class Stages:
    """Those that the config of `experiment` asks for. track: what else is done with a row of the history."""

    experiment: Experiment
    run: RunFolder
    console: Console
    track: Callable[[Row], None]

    def finish(self) -> None:
        """Do, or go on with, each. Afterwards the learner has what came of it."""
        if self.experiment.fits:
            self._fit_features()
        if self.experiment.pretrains:
            self._pretrain()
        _measure(self.experiment)

    def _fit_features(self) -> None:
        """What was fitted is kept by itself: to fit in training (an autoencoder) leaves checkpoints of its own."""
        config, backbone = self.experiment.config, backbone_of(self.experiment.learner)
        assert isinstance(backbone, Stacked)
        kept = self.run.of("fitted").best
        if not kept.exists():
            started = time.monotonic()
            fitted = build.build_features(config, self.experiment.learner.spec.shape).to(
                self.experiment.device
            )
            fitted.load_state_dict(backbone.fitted.state_dict())
            source = self.experiment.data.sources["train"]
            facts = fitted.fit(source, config.seed, partial(self._train, "features"))
            facts = {"seconds": round(time.monotonic() - started, 1), "classes": len(source.classes)} | facts
            self._note("features", facts)
            self.console.say(f"features {config.features.name}: {wording.stage(facts)}")
            save_weights(kept, fitted.state_dict())
        backbone.fitted.load_state_dict(load_weights(kept))

    def _pretrain(self) -> None:
        config, learner = self.experiment.config, self.experiment.learner
        how = config.pretrain
        assert isinstance(how, ByEpochs)
        classifier = build.build_classifier(config, learner.spec, self.experiment.device)
        backbone_of(classifier).load_state_dict(backbone_of(learner).state_dict())
        metric = self.experiment.headline
        batches = _batches(self.experiment, how)
        optimizer = build.optimizer_for(how.optimizer, classifier, how.epochs * batches.per_epoch)
        quiet = Console(live=False)
        facts = self._train(
            "pretrain",
            classifier,
            batches,
            optimizer=optimizer,
            rate=build.rate(how.optimizer),
            epochs=how.epochs,
            metric=metric,
            validate=lambda: self.experiment.evaluate("val", quiet, classifier).results.values()[metric],
            also=lambda: _told_apart(classifier, batches.held_out()),
        )
        facts["classes"] = learner.spec.train_classes
        self._note("pretrain", facts)
        self.console.say(f"pretrain: {wording.stage(facts)}")
        if component("paradigm", config.paradigm.name).whole:  # it is what was pretrained
            learner.load_state_dict(classifier.state_dict())
        else:
            backbone_of(learner).load_state_dict(backbone_of(classifier).state_dict())

    def _train(
        self,
        stage: str,
        learner: Learner,
        batches: Batches,
        *,
        optimizer: Optimizer,
        rate: Mapping[str, Any],
        epochs: int,
        metric: str,
        validate: Callable[[], Any],
        also: Callable[[], Mapping[str, float]] = dict,
    ) -> dict[str, Any]:
        """The learner has the best weights afterwards. What is to be said of it."""
        run, an_epoch = self.run.of(stage), batches.per_epoch
        plan = Plan(
            steps=epochs * an_epoch,
            meta_batch=len(batches.rows) // an_epoch,
            chunk=1,
            val_every=an_epoch,
            log_every=an_epoch,
            patience=0,
            clip=0.0,
            **rate,
            seed=self.experiment.config.seed,
            metric=metric,
            counting=Counting(f"{stage} epoch", an_epoch, batches.what),
            causes=f"the learning rate of {stage} too high",
        )
        trainer = Trainer(
            learner=learner,
            optimizer=optimizer,
            episodes=batches.batch,
            validate=validate,
            also=also,
            plan=plan,
            run=run,
            console=self.console,
            earlier=history(self.run, before=stage),
            track=self.track,
        )
        if run.last.exists():
            trainer.resume()
            self.console.say(f"{stage}: resumed after step {trainer.progress.step}")
        progress = trainer.fit()
        load_into(learner, run.best)
        return {
            batches.what: len(batches.rows),
            "epochs": epochs,
            "best_epoch": progress.best_step // an_epoch,
            "measured": {metric: progress.best},
            "seconds": round(progress.seconds, 1),
        }

    def _note(self, stage: str, facts: Mapping[str, Any]) -> None:
        self.run.update_manifest(stages=self.run.stages() | {stage: dict(facts)})


def plans(experiment: Experiment) -> list[str]:
    """What to say before a run: what is pretrained and for how long, and the memory that it takes beside the network's.

    Raises UserError where there is not enough.
    """
    how = experiment.config.pretrain
    if not isinstance(how, ByEpochs):
        return []
    batches, classes = _batches(experiment, how), experiment.learner.spec.train_classes
    said = (
        f"pretrain={how.name} comes first: {how.epochs} epochs of {batches.per_epoch} steps, on {len(batches.rows)} "
        f"{batches.what} of {classes} meta-train classes"
    )
    if not isinstance(how.optimizer, InDomain):
        return [said]
    classifier = build.build_classifier(
        build.unloaded(experiment.config), experiment.learner.spec, experiment.device
    )
    words = {"key": "pretrain.optimizer", "fewer": "pretrain.moves=[head], or an optimizer such as adam"}
    return [said, *build.optimizer_notes(how.optimizer, classifier, how.epochs * batches.per_epoch, **words)]


def _batches(experiment: Experiment, how: ByEpochs) -> Any:
    return BATCHES[experiment.learner.spec.kind](
        experiment.data.sources["train"],
        size=how.batch,
        held_out=how.held_out,
        seed=experiment.config.seed,
        purpose="pretrain",
    )


def begun(run: RunFolder) -> bool:
    return any(run.of(stage).last.exists() for stage in STAGES)


def history(run: RunFolder, before: str = "") -> list[Row]:
    """The rows of the stages, or of those `before` one, as far as their checkpoints go."""
    stages = STAGES[: STAGES.index(before)] if before else STAGES
    return [row for stage in stages for row in saved_progress(run.of(stage)).history]


def _told_apart(classifier: Classifier, parts: Iterator[Any]) -> dict[str, float]:
    """Which share of the images, or words, that are not trained on is told from all other classes."""
    classifier.eval()
    correct = [classifier.correct(episode.query).flatten() for episode in parts]
    classifier.train()
    return {"held_out_accuracy": torch.cat(correct).double().mean().item()} if correct else {}


def _measure(experiment: Experiment) -> None:
    """What some parts of the learner know of meta-train: the features of its classes, by the backbone as it is now; how
    tags follow on one another."""
    learner = experiment.learner
    for module in learner.modules():
        if isinstance(module, AbstractTransitions):
            module.measure(*experiment.data.table.sequences("train"))
    known = [module for module in learner.modules() if isinstance(module, BaseStatistics)]
    if not known:
        return
    batches = Batches(
        experiment.data.sources["train"], size=1, held_out=0.0, seed=experiment.config.seed, purpose="measure"
    )
    backbone = backbone_of(learner).eval()
    with torch.no_grad():
        parts: list[tuple[Tensor, Tensor]] = [
            (backbone(part.query.inputs["x"])[0].cpu(), part.query.labels[0].cpu())
            for part in batches.every()
        ]
    learner.train()
    for module in known:
        module.measure(parts)
