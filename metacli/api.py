"""Train, resume and evaluate: the whole of an experiment, as the commands run it."""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from metacli import build, provenance
from metacli.checkpoint import load_weights, save_weights
from metacli.config.compatibility import batch_norm_mode, derivative_order
from metacli.config.construct import construct_several
from metacli.config.registry import component
from metacli.config.schema import Config
from metacli.console import Console
from metacli.data.prefetch import prefetched
from metacli.data.table import SPLITS
from metacli.errors import UserError
from metacli.evaluator import Evaluation, evaluate
from metacli.learner import Learner
from metacli.metrics import HEADLINE, METRICS, shown
from metacli.report.read import read_report
from metacli.report.results import summarise
from metacli.report.write import write_report
from metacli.rundir import RunFolder, create, open_run
from metacli.runtime import prepare, resolve_device, resolve_threads
from metacli.trackers.tracker import TrackedRun, Tracker
from metacli.trackers.tracking import Tracking
from metacli.trainer import Interrupted, Plan, Progress, Trainer, saved_progress


@dataclass(frozen=True)
class Experiment:
    """Everything that a config names, built."""

    config: Config
    device: torch.device
    threads: int
    data: build.Data
    learner: Learner
    trackers: Mapping[str, Tracker]

    def evaluate(self, split: str, console: Console) -> Evaluation:
        """On the fixed episodes of a split."""
        shape = getattr(self.config.episode, split)
        source = self.data.sources[split]
        episodes = source.fixed_episodes(
            source.sampler(build.episode_shape(shape)), shape.count, self.config.trainer.chunk
        )
        with console.counting(f"{split} episodes", shape.count) as progress:
            return evaluate(self.learner, episodes, self.data.table, progress)


def assemble(config: Config, splits: Sequence[str] = SPLITS) -> Experiment:
    """`splits`: those that will be read.

    Raises UserError for what only the machine and the data can tell, before anything is written.
    """
    device, threads = resolve_device(config.device.name), resolve_threads(config.device.threads)
    prepare(device, threads)
    data = build.build_data(config, device)
    learner = build.build_learner(config, data.table, device)
    trackers = construct_several("tracker", config.tracker)
    experiment = Experiment(config, device, threads, data, learner, trackers)
    for split in splits if _trains(config) else (config.report.split,):
        data.sources[split].sampler(build.episode_shape(getattr(config.episode, split)))
    return experiment


def train(
    config: Config,
    parent: Path,
    *,
    overrides: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> RunFolder:
    """A new run under `parent`, from weights to report."""
    started = time.monotonic()
    experiment = assemble(config)
    if config.run.init_from:
        _start_from(experiment.learner, _origin(config.run.init_from))
    how = {"overrides": list(overrides), "choices": dict(choices or {})}
    run = create(parent, config.plain(), how, _manifest(experiment))
    with run.locked(), _failure_logged(run):
        console = Console(run.log)
        console.say(f"run {run.path}")
        for note in (*notes, *experiment.data.table.notes):
            console.say(note)
        _fit_and_report(experiment, run, console, started, resumed=False)
    return run


def resume(run: RunFolder, config: Config) -> None:
    """Go on from the last checkpoint; bit-equal to a run without a break."""
    started = time.monotonic()
    with run.locked():
        experiment = assemble(config)
        if _manifest(experiment)["data"] != run.manifest()["data"]:
            raise UserError(
                f"{run.path}: the data or its class split has changed since the run began",
                f"restore the data, or start anew: metacli rerun {run.path}",
            )
        if config.run.init_from and not run.last.exists():
            _start_from(experiment.learner, _origin(config.run.init_from))
        console = Console(run.log)
        for line in provenance.differences(run.manifest(), _manifest(experiment)):
            console.say(f"since the run began: {line}")
        resumed = run.last.exists()
        if not resumed:
            console.say("there was no checkpoint yet: from the start")
        with _failure_logged(run):
            _fit_and_report(experiment, run, console, started, resumed=resumed)


def evaluate_run(
    run: RunFolder,
    config: Config,
    *,
    overrides: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> RunFolder:
    """The best weights of `run` under `config`: a folder of its own below the run."""
    started = time.monotonic()
    with run.locked():  # its weights stay as they are meanwhile
        experiment = assemble(config, (config.report.split,))
        load_into(experiment.learner, run.best)
        how = {"overrides": list(overrides), "choices": dict(choices or {}), "of": str(run.path)}
        evaluation = create(run.path / "evaluations", config.plain(), how, _manifest(experiment))
        console = Console(evaluation.log)
        console.say(f"evaluation {evaluation.path}")
        for note in (*notes, *experiment.data.table.notes):
            console.say(note)
        _report(experiment, evaluation, console, Progress(), started)
    return evaluation


def report_again(run: RunFolder, config: Config) -> None:
    """The report of a finished run or evaluation, as it was. Raises UserError where another result comes out."""
    with run.locked():
        experiment = assemble(config, (config.report.split,))
        load_into(experiment.learner, open_run(run.evaluates).best if run.evaluates else run.best)
        _report(experiment, run, Console(run.log), saved_progress(run))


def load_into(learner: Learner, path: Path) -> None:
    """Raises UserError where the weights are those of another network."""
    try:
        learner.load_state_dict(load_weights(path))
    except RuntimeError:
        raise UserError(
            f"{path}: these weights do not fit the network",
            "keep the backbone, the ways of the head and the image size of the run",
        ) from None


@contextmanager
def _failure_logged(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except (Interrupted, BrokenPipeError):  # stopped from outside
        raise
    except Exception as error:
        run.log_failure(error)
        raise


def _fit_and_report(
    experiment: Experiment, run: RunFolder, console: Console, started: float, *, resumed: bool
) -> None:
    with Tracking(experiment.trackers, console.say) as tracking:
        progress = _fit(experiment, run, console, tracking, resumed=resumed)
        _report(experiment, run, console, progress, started)
        tracking.finish(run.report)


def _fit(
    experiment: Experiment, run: RunFolder, console: Console, tracking: Tracking, *, resumed: bool
) -> Progress:
    """The best weights are in the learner and in the run."""
    tracked = TrackedRun(run.path, experiment.config.plain())
    if not _trains(experiment.config):
        tracking.start(tracked, [])
        save_weights(run.best, experiment.learner.state_dict())
        return Progress()
    trainer = _trainer(experiment, run, console, tracking)
    if resumed:
        trainer.resume()
        console.say(f"resumed after step {trainer.progress.step}")
    tracking.start(tracked, trainer.progress.history)
    progress = trainer.fit()
    best = shown(trainer.plan.metric, progress.best, None)
    console.say(
        f"trained {progress.step} steps in {progress.seconds:.0f} s; best on validation: "
        f"{best} at step {progress.best_step}"
    )
    load_into(experiment.learner, run.best)
    return progress


def _trainer(experiment: Experiment, run: RunFolder, console: Console, tracking: Tracking) -> Trainer:
    config, source = experiment.config, experiment.data.sources["train"]
    sampler = source.sampler(build.episode_shape(config.episode.train))
    quiet = Console(live=False)
    plan = Plan(
        **config.trainer.model_dump(),
        lr=config.optimizer.lr,
        schedule=config.optimizer.schedule,
        seed=config.seed,
        metric=_headline(experiment),
    )
    return Trainer(
        learner=experiment.learner,
        optimizer=build.build_optimizer(config, experiment.learner),
        episodes=prefetched(
            lambda step: source.episode(sampler, seed=config.seed, step=step, tasks=plan.meta_batch),
            config.device.workers,
            plan.steps,
        ),
        validate=lambda: experiment.evaluate("val", quiet).results.values()[plan.metric],
        plan=plan,
        run=run,
        console=console,
        track=tracking.log,
    )


def _report(
    experiment: Experiment,
    run: RunFolder,
    console: Console,
    progress: Progress,
    started: float | None = None,
) -> None:
    """Read the asked split once and write what came out. started: None where the report is made anew."""
    config = experiment.config
    evaluation = experiment.evaluate(config.report.split, console)
    if started is None:
        _require_same(run, experiment, evaluation)
    facts = {
        "paradigm": config.paradigm.name,
        "family": config.paradigm.family,
        "dataset": config.dataset.name,
        "backbone": run.choices().get("backbone", config.backbone.name),
        "seed": config.seed,
        "device": str(experiment.device),
        "threads": experiment.threads,
        "seconds_train": round(progress.seconds, 1),
        "seconds_total": _seconds_total(run, started),
        "weights": _weights(run),
        "parameters": sum(parameter.numel() for parameter in experiment.learner.parameters()),
    }
    summary = summarise(
        evaluation.results, _protocol(experiment, evaluation.episode_hash), facts, evaluation.result_hash
    )
    primary = summary["primary"]
    headline = {"metric": primary, "split": config.report.split, **summary["metrics"][primary]}
    run.update_manifest(
        result_hash=evaluation.result_hash, episode_hash=evaluation.episode_hash, headline=headline
    )
    config_text = yaml.safe_dump(run.config(), sort_keys=False, allow_unicode=True)
    write_report(run.report, evaluation.results, summary, progress.history, config_text, _command(run))
    measured = shown(primary, headline["mean"], headline["ci95"])
    console.say(f"{config.report.split} {METRICS[primary].words} {measured} over {headline['n']} episodes")
    console.say(f"report {run.report / 'report.html'}")


def _require_same(run: RunFolder, experiment: Experiment, evaluation: Evaluation) -> None:
    manifest = run.manifest()
    if evaluation.result_hash != manifest["result_hash"]:
        changes = provenance.differences(manifest, _manifest(experiment))
        why = "; ".join(changes) or "the weights or the data have changed"
        raise UserError(
            f"{run.path}: its weights give another result now ({why}); the report stays as it was",
            f"a report of its own: metacli eval {run.evaluates or run.path}",
        )


def _seconds_total(run: RunFolder, started: float | None) -> float | None:
    if started is not None:
        return round(time.monotonic() - started, 1)
    try:
        seconds: float | None = read_report(run.report)["run"]["seconds_total"]
    except UserError:  # the report that is to be replaced is gone or damaged
        return None
    return seconds


def _weights(run: RunFolder) -> str:
    if not run.evaluates:
        return "of this run"
    trained = open_run(run.evaluates).config()
    return f"of {run.evaluates}, trained by {trained['paradigm']['name']} on {trained['dataset']['name']}"


def _command(run: RunFolder) -> str:
    """What repeats it."""
    again = ["eval", run.evaluates, *run.overrides()] if run.evaluates else ["rerun", str(run.path)]
    return shlex.join(["metacli", *again])


def _protocol(experiment: Experiment, episode_hash: str) -> dict[str, Any]:
    config, table = experiment.config, experiment.data.table
    unread = set() if table.kind == "classify" else {"ways"}
    return {
        "bn_mode": batch_norm_mode(config),
        "order": derivative_order(config),
        "episode": config.episode.model_dump(exclude=dict.fromkeys(("train", "val", "test"), unread)),
        "episode_hash": episode_hash,
        "selection": _selection(experiment),
        "class_overlap": table.class_overlap,
        "split": config.report.split,
    }


def _selection(experiment: Experiment) -> str:
    if not _trains(experiment.config):
        return "none: nothing is trained"
    on_these = ", on these very episodes: optimistic" if experiment.config.report.split == "val" else ""
    return f"best validation {METRICS[_headline(experiment)].words}{on_these}"


def _headline(experiment: Experiment) -> str:
    return HEADLINE[experiment.learner.spec.kind]


def _manifest(experiment: Experiment) -> dict[str, Any]:
    table = experiment.data.table
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "code": provenance.code(),
        "device": str(experiment.device),
        "threads": experiment.threads,
        "chunk": experiment.config.trainer.chunk,
        "data": {
            "fingerprint": table.fingerprint,
            "splits": table.split_fingerprint,
            **table.counts,
        },
    }


def _origin(path: str) -> RunFolder:
    return open_run(path, "run.init_from")


def _start_from(learner: Learner, run: RunFolder) -> None:
    """Copy the backbone of an earlier run, whatever paradigm trained it."""
    found = {
        name.rpartition("backbone.")[2]: tensor
        for name, tensor in load_weights(run.best).items()
        if "backbone." in name
    }
    own = {name: tensor for name, tensor in learner.state_dict().items() if "backbone." in name}
    shapes = {name.rpartition("backbone.")[2]: tensor.shape for name, tensor in own.items()}
    if not own or shapes != {name: tensor.shape for name, tensor in found.items()}:
        raise UserError(
            f"run.init_from={run.path}: its backbone is another one",
            "choose the same backbone, width, norm and image size as that run",
        )
    learner.load_state_dict({name: found[name.rpartition("backbone.")[2]] for name in own}, strict=False)


def _trains(config: Config) -> bool:
    return component("paradigm", config.paradigm.name).trains
