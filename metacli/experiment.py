"""A config with everything built that it names."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from metacli import build, provenance
from metacli.config.compatibility import asked_splits
from metacli.config.construct import construct_several
from metacli.config.origins import origins
from metacli.config.registry import component
from metacli.config.schema import Config
from metacli.console import Console
from metacli.crew import Crew
from metacli.evaluator import Evaluation, evaluate
from metacli.learner import Learner
from metacli.metrics import HEADLINE
from metacli.rundir import RunFolder
from metacli.runtime import prepare, resolve_device, resolve_threads
from metacli.trackers.tracker import Tracker


@dataclass(frozen=True)
class Experiment:
    """Made by `assemble`."""

    config: Config
    device: torch.device
    threads: int
    data: build.Data
    learner: Learner
    trackers: Mapping[str, Tracker]

    def evaluate(self, split: str, console: Console, learner: Learner | None = None) -> Evaluation:
        """The learner, or another, on the fixed episodes of a split."""
        shape = getattr(self.config.episode, split)
        source = self.data.sources[split]
        episodes = source.fixed_episodes(
            source.sampler(build.episode_shape(shape)), shape.count, self.config.trainer.chunk
        )
        with console.counting(f"{split} episodes", shape.count) as progress:
            among = -(-shape.count // self.config.trainer.chunk)
            return evaluate(learner or self.learner, episodes, self.data.table, progress, self.crew, among)

    @property
    def crew(self) -> Crew:
        """A GPU takes one chunk at a time."""
        return Crew(self.threads if self.device.type == "cpu" else 1)

    @property
    def headline(self) -> str:
        """The metric that its report states first, and that the best weights are chosen by."""
        return HEADLINE[self.learner.spec.kind]

    @property
    def trains(self) -> bool:
        return component("paradigm", self.config.paradigm.name).trains

    @property
    def pretrains(self) -> bool:
        return component("pretrain", self.config.pretrain.name).trains

    def manifest(self) -> dict[str, Any]:
        """What it runs on and with: what a run's manifest holds from the start."""
        table = self.data.table
        return {
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "versions": provenance.versions(),
            "machine": provenance.machine(),
            "code": provenance.code() | origins(self.config.plain()),
            "device": str(self.device),
            "threads": self.threads,
            "chunk": self.config.trainer.chunk,
            "task": asdict(self.learner.spec),
            "data": {
                "fingerprint": table.fingerprint,
                "splits": table.split_fingerprint,
                **table.counts,
            },
        }


def assemble(config: Config, trained: RunFolder | None = None) -> Experiment:
    """trained: whose weights are only to be evaluated.

    Raises UserError for what only the machine and the data can tell, before anything is written.
    """
    device, threads = resolve_device(config.device.name), resolve_threads(config.device.threads)
    prepare(device, threads)
    data = build.build_data(config, device)
    learner = build.build_learner(config, data.table, device, _train_classes(trained))
    trackers = construct_several("tracker", config.tracker)
    experiment = Experiment(config, device, threads, data, learner, trackers)
    for split in (config.report.split,) if trained else asked_splits(config):
        data.sources[split].sampler(build.episode_shape(getattr(config.episode, split)))
    return experiment


def _train_classes(trained: RunFolder | None) -> int | None:
    """Its learner may know how many they were, whatever data it is evaluated on."""
    return trained.manifest().get("task", {}).get("train_classes", 0) if trained else None
