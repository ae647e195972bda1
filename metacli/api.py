"""Train, resume, evaluate and report again: the whole of an experiment, as the commands run it."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from metacli import build, provenance, stages
from metacli.checkpoint import save_weights
from metacli.config.schema import Config
from metacli.config.validate import validate
from metacli.console import Console
from metacli.data.prefetch import prefetched
from metacli.distributed import RankLost, Ranks, joined
from metacli.errors import Interrupted, UserError
from metacli.experiment import Experiment, assemble, classes_of
from metacli.launched import company
from metacli.metrics import shown
from metacli.outcome import report
from metacli.rundir import RunFolder, create, open_run
from metacli.runtime import resolve_threads
from metacli.trackers.tracker import TrackedRun
from metacli.trackers.tracking import Tracking
from metacli.trainer import Plan, Progress, Trainer, saved_progress
from metacli.weights import load_into, start_from

_FOLLOWER = [sys.executable, "-P", "-m", "metacli.commands.follower"]  # -P: no module of the working folder's


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
    with _joined(config) as ranks:
        experiment = assemble(config, ranks)
        if config.run.init_from:
            start_from(experiment.learner, _origin(config.run.init_from))
        plans = stages.plans(experiment)
        if experiment.trains:
            plans += build.optimizer_notes(config.optimizer, experiment.learner, config.trainer.steps)
        how = {"overrides": list(overrides), "choices": dict(choices or {})}
        run = create(parent, config.plain(), how, experiment.manifest())
        with run.locked(), _end_logged(run):
            console = Console(run.log)
            console.say(f"run {run.path}")
            for note in (*notes, *experiment.data.table.notes, *build.path_notes(config), *plans):
                console.say(note)
            _fit_and_report(experiment, run, console, started)
    return run


def resume(run: RunFolder, config: Config) -> None:
    """Go on from the last checkpoint; bit-equal to a run without a break."""
    started = time.monotonic()
    with run.locked(), _joined(config) as ranks:
        experiment = assemble(config, ranks)
        if experiment.manifest()["data"] != run.manifest()["data"]:
            raise UserError(
                f"{run.path}: the data or its class split has changed since the run began",
                f"restore the data, or start anew: metacli rerun {run.path}",
            )
        if config.run.init_from and not run.last.exists():
            start_from(experiment.learner, _origin(config.run.init_from))
        console = Console(run.log)
        for line in provenance.differences(run.manifest(), experiment.manifest()):
            console.say(f"since the run began: {line}")
        if not (run.last.exists() or stages.begun(run)):
            console.say("there was no checkpoint yet: from the start")
        with _end_logged(run):
            _fit_and_report(experiment, run, console, started)


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
    classes = classes_of(run)
    with run.locked(), _joined(config, classes) as ranks:  # its weights stay as they are meanwhile
        experiment = assemble(config, ranks, classes)
        load_into(experiment.learner, run.best)
        how = {"overrides": list(overrides), "choices": dict(choices or {}), "of": str(run.path)}
        evaluation = create(run.path / "evaluations", config.plain(), how, experiment.manifest())
        console = Console(evaluation.log)
        console.say(f"evaluation {evaluation.path}")
        for note in (*notes, *experiment.data.table.notes):
            console.say(note)
        report(experiment, evaluation, console, Progress(), started)
    return evaluation


def report_again(run: RunFolder, config: Config) -> None:
    """The report of a finished run or evaluation, as it was. Raises UserError where another result comes out."""
    trained = open_run(run.evaluates) if run.evaluates else run
    classes = classes_of(trained)
    with run.locked(), _joined(config, classes) as ranks:
        experiment = assemble(config, ranks, classes)
        load_into(experiment.learner, trained.best)
        report(experiment, run, Console(run.log), saved_progress(run))


def follow(ranks: Ranks, job: Mapping[str, Any]) -> None:
    """What every process but the first does, while that does one of the above. It writes nothing."""
    config, classes, quiet = validate(job["config"]), job["classes"], Console(live=False)
    experiment = assemble(config, ranks, classes)
    if classes is None and experiment.trains:
        _trainer(experiment, RunFolder(Path(os.devnull)), quiet, lambda row: None).fit()
    experiment.evaluate(config.report.split, quiet)


def _joined(config: Config, classes: int | None = None) -> AbstractContextManager[Ranks]:
    """All processes, of which this is the first. classes: as for `assemble`."""
    values, processes = config.plain(), config.device.processes
    values["device"]["threads"] = resolve_threads(config.device.threads, company(processes).beside)
    return joined({"config": values, "classes": classes}, processes, _FOLLOWER)


@contextmanager
def _end_logged(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except RankLost as lost:
        run.log(str(lost))
        raise Interrupted(f"{lost}\ngo on with: metacli resume {run.path}", lost.code) from None
    except (Interrupted, BrokenPipeError):  # stopped from outside
        raise
    except KeyboardInterrupt as stop:  # at once: what was saved last stands
        stop.add_note(f"go on with: metacli resume {run.path}")
        raise
    except Exception as error:
        run.log_failure(error)
        raise


def _fit_and_report(experiment: Experiment, run: RunFolder, console: Console, started: float) -> None:
    with Tracking(experiment.trackers, console.say) as tracking:
        progress = _fit(experiment, run, console, tracking)
        report(experiment, run, console, progress, started)
        tracking.finish(run.report)


def _fit(experiment: Experiment, run: RunFolder, console: Console, tracking: Tracking) -> Progress:
    """The best weights are in the learner and in the run."""
    history = [*stages.history(run), *saved_progress(run).history]
    tracking.start(TrackedRun(run.path, experiment.config.plain()), history)
    if not run.last.exists():
        stages.Stages(experiment, run, console, tracking.log).finish()
    if not experiment.trains:
        save_weights(run.best, experiment.learner.state_dict())
        return Progress()
    trainer = _trainer(experiment, run, console, tracking.log)
    if run.last.exists():
        trainer.resume()
        console.say(f"resumed after step {trainer.progress.step}")
    progress = trainer.fit()
    best = shown(trainer.plan.metric, progress.best, None)
    console.say(
        f"trained {progress.step} steps in {progress.seconds:.0f} s; best on validation: "
        f"{best} at step {progress.best_step}"
    )
    load_into(experiment.learner, run.best)
    return progress


def _trainer(
    experiment: Experiment, run: RunFolder, console: Console, track: Callable[[Mapping[str, Any]], None]
) -> Trainer:
    config, source = experiment.config, experiment.data.sources["train"]
    sampler = source.sampler(build.episode_shape(config.episode.train))
    quiet = Console(live=False)
    plan = Plan(
        **config.trainer.model_dump() | {"chunk": experiment.chunk},
        **build.rate(config.optimizer),
        seed=config.seed,
        metric=experiment.headline,
    )
    return Trainer(
        learner=experiment.learner,
        optimizer=build.optimizer_for(config.optimizer, experiment.learner, plan.steps),
        episodes=prefetched(
            lambda step: source.episode(sampler, seed=config.seed, step=step, tasks=plan.meta_batch),
            config.device.workers,
            plan.steps,
        ),
        validate=lambda: experiment.evaluate("val", quiet).results.values()[plan.metric],
        plan=plan,
        run=run,
        console=console,
        earlier=stages.history(run),
        track=track,
        crew=experiment.crew,
        ranks=experiment.ranks,
        versions=build.versions(config),
    )


def _origin(path: str) -> RunFolder:
    return open_run(path, "run.init_from")
