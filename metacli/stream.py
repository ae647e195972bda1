"""Tasks that come one by one, from a distribution that changes: each is predicted, then learned from.

The protocol of Finn, Rajeswaran, Kakade & Levine, "Online Meta-Learning", ICML 2019, with one outer step a task in
place of their replay of earlier ones. The learning rate does not fall: a stream has no end to fall to.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from metacli import build, provenance
from metacli.config.schema import Config
from metacli.console import Console
from metacli.data.shift import shifted
from metacli.episode import Episode
from metacli.experiment import Experiment, assemble
from metacli.files import digest, write_atomic, write_json
from metacli.objectives import objective
from metacli.optim.domain import InDomain
from metacli.optim.schedule import set_learning_rate
from metacli.parts import Statistics, commit, moved, part_of, total
from metacli.report.stream import Stream
from metacli.rundir import open_run
from metacli.runtime import generator
from metacli.weights import start_from


def write_stream(
    config: Config,
    parent: Path,
    *,
    change: str,
    after: int,
    tasks: int,
    window: int,
    overrides: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Path:
    """A folder under `parent` with config.yaml and stream.json, .csv and .png; the rest as in `follow_stream`."""
    experiment = assemble(config)
    if config.run.init_from:
        start_from(experiment.learner, open_run(config.run.init_from))
    folder, console = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}", Console()
    for note in (*notes, *experiment.data.table.notes):
        console.say(note)
    with console.counting("tasks", tasks) as progress:
        found = follow_stream(
            experiment, change=change, after=after, tasks=tasks, window=window, progress=progress
        )
    about = {
        "paradigm": config.paradigm.name,
        "optimizer": config.optimizer.name,
        "backbone": config.backbone.name,
        "dataset": config.dataset.name,
        "seed": config.seed,
        "overrides": list(overrides),
        "data": experiment.data.table.fingerprint,
        "device": experiment.device_name,
        "threads": experiment.threads,
        "versions": provenance.versions(),
        "result_hash": digest(found.accuracy.data, found.loss.data),
    }
    write_atomic(folder / "config.yaml", yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True))
    write_atomic(folder / "stream.csv", found.csv())
    write_atomic(folder / "stream.png", found.picture())
    write_json(folder / "stream.json", found.summary() | about)
    for line in (*found.text(), f"stream {folder / 'stream.png'}"):
        console.say(line)
    return folder


def follow_stream(
    experiment: Experiment,
    *,
    change: str,
    after: int,
    tasks: int,
    window: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Stream:
    """change, after, window: see Stream · tasks: so many, of the meta-train classes · progress: called with how many
    are done. The learner has learned from all of them afterwards."""
    config, learner, source = experiment.config, experiment.learner, experiment.data.sources["train"]
    sampler = source.sampler(build.episode_shape(config.episode.train))
    optimizer = build.optimizer_for(config.optimizer, learner, tasks)
    versions, lr = build.versions(config), build.rate(config.optimizer)["lr"]

    def task(step: int) -> Episode:
        episode = source.episode(sampler, seed=config.seed, step=step, tasks=1)
        return shifted(episode, change) if step >= after else episode

    def gradient(step: int) -> Statistics:
        learner.train()
        learner.begin_step(step, tasks, generator(config.seed, "begin_step", step))
        optimizer.zero_grad(set_to_none=True)
        part = part_of(learner, task(step), tasks=1, versions=versions)
        _, statistics = total([part], moved(learner))
        if config.trainer.clip:
            torch.nn.utils.clip_grad_norm_(learner.parameters(), config.trainer.clip)
        return statistics

    if isinstance(optimizer, InDomain):
        optimizer.calibrate(lambda step: gradient(step % after))
    answers = []
    for step in range(tasks):
        answers.append(_answered(experiment, task(step)))
        statistics = gradient(step)
        if lr is not None:
            set_learning_rate(optimizer, lr, "constant", step, tasks)
        optimizer.step()
        commit(learner, statistics)
        progress(step + 1)
    accuracy, loss = np.ascontiguousarray(np.array(answers).T)
    return Stream(accuracy=accuracy, loss=loss, change=change, after=after, window=window)


@torch.no_grad()
def _answered(experiment: Experiment, episode: Episode) -> tuple[float, float]:
    """Accuracy and loss of the queries of one task, as at evaluation."""
    learner = experiment.learner.eval()
    outputs = learner.adapt(episode.support)(episode.query.inputs)
    correct = (outputs.argmax(-1) == episode.query.labels).double().mean()
    return correct.item(), objective("classify")(outputs, episode.query).double().item()
