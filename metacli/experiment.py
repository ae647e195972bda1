"""A config with everything built that it names."""

import platform
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from metacli import build, provenance
from metacli.chunk import LARGEST, automatic, kept_by, memory
from metacli.config.compatibility import asked_splits, computes_once, is_fitted, stays_still
from metacli.config.construct import construct_several
from metacli.config.origins import origins
from metacli.config.registry import component
from metacli.config.schema import Config
from metacli.console import Console
from metacli.crew import Crew
from metacli.data.source import EVALUATION_BLOCK
from metacli.distributed import ALONE, Ranks
from metacli.errors import UserError
from metacli.evaluator import Evaluation, evaluate
from metacli.feature_cache import encoded, featured
from metacli.layers.plain import Plain, given_features
from metacli.learner import Learner
from metacli.metrics import HEADLINE
from metacli.rundir import RunFolder
from metacli.runtime import generator, prepare, resolve_device, resolve_threads, seeded
from metacli.trackers.tracker import Tracker
from metacli.weights import backbone_of


@dataclass(frozen=True)
class Experiment:
    """Made by `assemble`."""

    config: Config
    device: torch.device
    threads: int
    ranks: Ranks
    chunk: int
    data: build.Data
    learner: Learner
    trackers: Mapping[str, Tracker]

    def evaluate(
        self,
        split: str,
        console: Console,
        learner: Learner | None = None,
        *,
        attacked: bool = False,
        outside: bool = False,
    ) -> Evaluation:
        """The learner on the fixed episodes of a split, or another, which the others of its ranks do not know, and
        whose `adapt` leaves its backbone as it is.

        attacked: by what the config says · outside: items of no class are asked, too.
        """
        shape, chunk = getattr(self.config.episode, split), self.chunk
        source = self.data.sources[split]
        ranks = ALONE if learner else self.ranks
        if ranks.world > 1:
            self.learner.load_state_dict(ranks.from_first(self.learner.state_dict()))
        backbone = backbone_of(learner or self.learner)
        once = isinstance(backbone, Plain) and (learner is not None or computes_once(self.config))
        if once:
            assert isinstance(backbone, Plain)
            with console.counting(f"features of {split} items", len(source.seen)) as progress:
                keep = encoded if self.learner.spec.kind == "tag" else featured
                source = keep(source, backbone, kept=not (learner or self.trains), progress=progress)
            chunk = chunk if isinstance(self.config.trainer.chunk, int) else EVALUATION_BLOCK
        count = len(source.rows) if self.whole else shape.count
        episodes = source.fixed_episodes(source.sampler(build.episode_shape(shape)), count, chunk)
        given = given_features(learner or self.learner) if once else nullcontext()
        with given, console.counting(f"{split} episodes", count) as progress:
            among = -(-count // chunk)
            return evaluate(
                learner or self.learner,
                episodes,
                self.data.table,
                progress,
                self.crew,
                among,
                ranks,
                trial=build.trial(self.config) if attacked else None,
                outside=partial(source.outside, count=shape.ways * shape.queries) if outside else None,
            )

    @property
    def crew(self) -> Crew:
        """A GPU takes one chunk at a time."""
        return Crew(self.threads if self.device.type == "cpu" else 1)

    @property
    def headline(self) -> str:
        """The metric that its report states first, and that the best weights are chosen by."""
        return HEADLINE[self.learner.spec.kind]

    def has_outside(self, split: str) -> bool:
        """Whether its data have items of no class beside those of a split."""
        outside = self.data.table.outside if self.learner.spec.kind == "classify" and not self.whole else {}
        return bool(len(outside.get(split, ())))

    @property
    def whole(self) -> bool:
        """Whether splits are asked as a whole."""
        return component("paradigm", self.config.paradigm.name).whole

    @property
    def device_name(self) -> str:
        """Processes beside each other take one GPU after another."""
        return self.device.type if self.ranks.launch.beside > 1 else str(self.device)

    @property
    def trains(self) -> bool:
        return component("paradigm", self.config.paradigm.name).trains

    @property
    def fits(self) -> bool:
        return is_fitted(self.config)

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
            "device": self.device_name,
            "threads": self.threads,
            "precision": self.config.device.precision,
            "processes": self.ranks.world,
            "chunk": self.chunk,
            "task": asdict(self.learner.spec),
            **({"types": table.names("train")} if self.learner.spec.kind == "tag" else {}),
            "data": {
                "fingerprint": table.fingerprint,
                "splits": table.split_fingerprint,
                **table.counts,
            },
        }


def assemble(config: Config, ranks: Ranks = ALONE, classes: int | None = None) -> Experiment:
    """ranks: who share it; they meet · classes: `classes_of` the run whose weights are only to be evaluated.

    Raises UserError for what only the machine and the data can tell, before anything is written.
    """
    launch = ranks.launch
    device = resolve_device(config.device.name, launch.local, launch.beside)
    threads = resolve_threads(config.device.threads, launch.beside)
    prepare(device, threads)
    data = build.build_data(config, device)
    described = config if classes is None else build.unloaded(config)
    learner = build.build_learner(described, data.table, device, classes)
    trackers = construct_several("tracker", config.tracker)
    outside = data.table.kind == "classify" and bool(data.table.outside)
    for split in asked_splits(config, training=classes is None, outside=outside):
        data.sources[split].sampler(build.episode_shape(getattr(config.episode, split)))
    ranks.meet()
    _require_same(ranks, data)
    trains = classes is None and component("paradigm", config.paradigm.name).trains
    chunk = _chunk(config, "train" if trains else config.report.split, device, threads, ranks, data, learner)
    return Experiment(config, device, threads, ranks, chunk, data, learner, trackers)


def classes_of(trained: RunFolder) -> int:
    """Of its training: its learner may know how many they were, whatever data it is evaluated on."""
    classes: int = trained.manifest().get("task", {}).get("train_classes", 0)
    return classes


def _chunk(
    config: Config,
    split: str,
    device: torch.device,
    threads: int,
    ranks: Ranks,
    data: build.Data,
    learner: Learner,
) -> int:
    """What the config says, or auto stands for; then the first rank decides, by one task of `split`."""
    asked = config.trainer.chunk
    if isinstance(asked, int):
        return asked
    tasks = config.trainer.meta_batch if split == "train" else 1
    if split == "train" and component("paradigm", config.paradigm.name).whole_step:
        return tasks
    if component("paradigm", config.paradigm.name).whole or (split != "train" and computes_once(config)):
        return EVALUATION_BLOCK
    tunes = split != "train" and hasattr(
        config.paradigm, "finetune"
    )  # so long that nobody knows by what memory
    if not stays_still(config) and (tunes or component("backbone", config.backbone.name).plain):
        return 1
    found = 1
    if ranks.first:
        source = data.sources[split]
        sampler = source.sampler(build.episode_shape(getattr(config.episode, split)))
        episode = source.episode(sampler, seed=config.seed, step=0, tasks=1)
        with seeded(config.seed, "chunk"):
            learner.begin_step(0, config.trainer.steps, generator(config.seed, "begin_step"))
            kept = kept_by(lambda: learner.meta_loss(episode))
        found = automatic(
            tasks,
            threads=threads if device.type == "cpu" else 1,
            world=ranks.world,
            beside=ranks.launch.beside if device.type == "cpu" else 1,
            memory=memory(device),
            kept=kept,
            largest=LARGEST[device.type],
        )
    chunk: int = ranks.from_first({"chunk": found})["chunk"]
    return chunk


def _require_same(ranks: Ranks, data: build.Data) -> None:
    """Raises UserError where another machine's data or versions are not those of the first."""
    own = {"data": data.table.fingerprint, **provenance.versions()}
    theirs = ranks.from_first(own)
    for name in ("data", "metacli", "torch"):
        if theirs[name] != own[name]:
            raise UserError(
                f"{name}: {own[name]} on {platform.node()}, {theirs[name]} where the run began",
                "give every machine the same data and the same versions",
            )
