"""The end of a run: evaluate the asked split once, and write down what came out."""

import shlex
import time
from typing import Any

import yaml

from metacli import provenance, stages
from metacli.config.compatibility import (
    batch_norm_mode,
    batch_norm_statistics,
    derivative_order,
    features_kept,
    inner_loss,
    inner_steps,
    transductive_method,
)
from metacli.config.registry import component
from metacli.console import Console
from metacli.errors import UserError
from metacli.evaluator import Evaluation
from metacli.experiment import Experiment
from metacli.metrics import METRICS, scope_scores, scope_threshold, shown
from metacli.report import wording
from metacli.report.read import read_report
from metacli.report.results import summarise
from metacli.report.write import write_report
from metacli.rundir import RunFolder, open_run
from metacli.trainer import Progress


def report(
    experiment: Experiment,
    run: RunFolder,
    console: Console,
    progress: Progress,
    started: float | None = None,
) -> None:
    """Read the asked split once and write what came out. started: None where the report is made anew."""
    config = experiment.config
    before = (open_run(run.evaluates) if run.evaluates else run).stages()
    evaluation = experiment.evaluate(
        config.report.split, console, attacked=True, outside=experiment.has_outside(config.report.split)
    )
    if started is None:
        _require_same(run, experiment, evaluation)
    facts = {
        "paradigm": config.paradigm.name,
        "family": config.paradigm.family,
        "dataset": run.choices().get("dataset", config.dataset.name),
        **({"target": run.choices().get("dataset@target", config.target.name)} if config.target else {}),
        "backbone": run.choices().get("backbone", config.backbone.name),
        "seed": config.seed,
        "device": experiment.device_name,
        "threads": experiment.threads,
        "precision": config.device.precision,
        "seconds_train": round(progress.seconds + sum(done["seconds"] for done in before.values()), 1),
        "seconds_total": _seconds_total(run, started),
        "weights": _weights(run, experiment),
        "parameters": sum(parameter.numel() for parameter in experiment.learner.parameters()),
    }
    summary = summarise(
        evaluation.results,
        _protocol(experiment, evaluation.episode_hash)
        | {"features": features_kept(config), "stages": before},
        facts,
        evaluation.result_hash,
        evaluation.robustness,
        _out_of_scope(experiment, evaluation, console),
    )
    primary = summary["primary"]
    headline = {"metric": primary, "split": config.report.split, **summary["metrics"][primary]}
    run.update_manifest(
        result_hash=evaluation.result_hash, episode_hash=evaluation.episode_hash, headline=headline
    )
    config_text = yaml.safe_dump(run.config(), sort_keys=False, allow_unicode=True)
    history = [*stages.history(run), *progress.history]
    write_report(run.report, evaluation.results, summary, history, config_text, _command(run))
    measured = shown(primary, headline["mean"], headline["ci95"])
    over = f"{headline['n']} {wording.over(summary['protocol'])}"
    console.say(f"{config.report.split} {METRICS[primary].words} {measured} over {over}")
    for entry in evaluation.robustness[1:]:
        said = shown("accuracy", entry["mean"], entry["ci95"])
        console.say(f"under {config.attack.name} of {entry['epsilon']:g} {said} over {entry['n']} episodes")
    console.say(f"report {run.report / 'report.html'}")


def _out_of_scope(experiment: Experiment, evaluation: Evaluation, console: Console) -> dict[str, Any] | None:
    """How well items of no class are told by a low confidence; the threshold is chosen on validation episodes."""
    if not (experiment.has_outside("val") and experiment.has_outside(experiment.config.report.split)):
        return None
    chosen, found = experiment.evaluate("val", console, outside=True).results, evaluation.results
    threshold = scope_threshold(chosen.confidence, chosen.outside)  # type: ignore[attr-defined]
    inside, outside = found.confidence, found.outside  # type: ignore[attr-defined]
    counts = {"inside": inside.size, "outside": outside.size}
    return {"threshold": threshold, **scope_scores(inside, outside, threshold), **counts}


def _require_same(run: RunFolder, experiment: Experiment, evaluation: Evaluation) -> None:
    manifest = run.manifest()
    if evaluation.result_hash != manifest["result_hash"]:
        changes = provenance.differences(manifest, experiment.manifest())
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


def _weights(run: RunFolder, experiment: Experiment) -> str:
    if not run.evaluates:
        moved = experiment.trains or experiment.pretrains or experiment.fits
        return "of this run" if moved else _untrained(experiment)
    trained = open_run(run.evaluates).config()
    return f"of {run.evaluates}, trained by {trained['paradigm']['name']} on {trained['dataset']['name']}"


def _untrained(experiment: Experiment) -> str:
    config, backbone = experiment.config, experiment.config.backbone
    if config.run.init_from:
        return f"of {config.run.init_from}; nothing was trained here"
    if not component("backbone", backbone.name).weights:
        return "none"
    given = getattr(backbone, "weights", "none")
    whose = f"those of {getattr(backbone, 'model', backbone.name)}" if given == "default" else given
    return "random; nothing was trained here" if given == "none" else f"{whose}; nothing was trained here"


def _command(run: RunFolder) -> str:
    """What repeats it."""
    again = ["eval", run.evaluates, *run.overrides()] if run.evaluates else ["rerun", str(run.path)]
    return shlex.join(["metacli", *again])


def _protocol(experiment: Experiment, episode_hash: str) -> dict[str, Any]:
    config, table = experiment.config, experiment.data.table
    unread = {"ways"} if table.kind == "regress" else set()
    episode = config.episode.model_dump(exclude=dict.fromkeys(("train", "val", "test"), unread))
    if table.kind == "tag":  # see data/greedy.py
        for block in episode.values():
            block |= {key: f"{block[key]}~{2 * block[key]}" for key in ("shots", "queries")}
    if component("paradigm", config.paradigm.name).whole:
        source = experiment.data.sources
        episode = {split: {"whole": len(source[split].rows), "of": source[split].what} for split in source}
    return {
        "bn_mode": batch_norm_mode(config),
        "bn_statistics": batch_norm_statistics(config),
        "transductive_method": transductive_method(config),
        "order": derivative_order(config),
        "inner_steps": inner_steps(config),
        "inner_loss": inner_loss(config, table.kind),
        "episode": episode,
        "episode_hash": episode_hash,
        "selection": _selection(experiment),
        "class_overlap": table.class_overlap,
        "split": config.report.split,
        **({} if config.attack.name == "none" else {"attack": config.attack.model_dump()}),
    }


def _selection(experiment: Experiment) -> str:
    if not (experiment.trains or experiment.pretrains):
        return "none: nothing is trained"
    on_these = ", on these very episodes: optimistic" if experiment.config.report.split == "val" else ""
    if experiment.whole:
        return f"of pretraining, best validation {METRICS[experiment.headline].words}{on_these}"
    if not experiment.trains:
        by = {"classify": "class mean", "tag": "word"}[experiment.learner.spec.kind]
        metric = METRICS[experiment.headline].words
        return f"of pretraining, best validation {metric} of the nearest {by}{on_these}"
    return f"best validation {METRICS[experiment.headline].words}{on_these}"
