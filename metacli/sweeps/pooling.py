"""The runs of a configuration, which differ in their seeds, as one mean with its interval."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from metacli.report.pooling import Pooled, pooled
from metacli.sweeps.job import JobFolder


@dataclass(frozen=True)
class Row:
    """A configuration: jobs that differ in nothing but the seed. seeds: of those that finished · missing: the rest."""

    configuration: str
    metric: str
    unit: str
    pooled: Pooled
    seeds: Sequence[int]
    missing: int
    episodes: int
    episode_hash: str
    bn_mode: str


def rows(jobs: Sequence[JobFolder]) -> list[Row]:
    """In the order of the jobs. Runs that saw other test episodes (their data had changed) have a row of their own."""
    groups: dict[str, list[JobFolder]] = {}
    for job in jobs:
        groups.setdefault(_without_seed(job), []).append(job)
    return [row for group in groups.values() for row in _rows(group)]


def _rows(jobs: Sequence[JobFolder]) -> Iterable[Row]:
    """Of jobs that differ in the seed alone."""
    name = (
        " ".join(text for text in jobs[0].own if not text.startswith("seed="))
        or jobs[0].config["run"]["name"]
    )
    finished: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for job in jobs:
        report = job.report()
        if report is not None:
            answered = finished.setdefault(report["protocol"]["episode_hash"], [])
            answered.append((job.config["seed"], report))
    missing = len(jobs) - sum(map(len, finished.values()))
    if not finished:
        yield Row(name, "", "", Pooled(None, None, None), (), missing, 0, "", "")
    for episode_hash, reports in finished.items():
        metrics = [report["metrics"][report["primary"]] for _, report in reports]
        yield Row(
            configuration=name,
            metric=reports[0][1]["primary"],
            unit=metrics[0]["unit"],
            pooled=pooled([metric["mean"] for metric in metrics], [metric["ci95"] for metric in metrics]),
            seeds=[seed for seed, _ in reports],
            missing=missing,
            episodes=metrics[0]["n"],
            episode_hash=episode_hash,
            bn_mode=reports[0][1]["protocol"]["bn_mode"],
        )


def _without_seed(job: JobFolder) -> str:
    """What two jobs have in common that differ in the seed alone. Where a run is written is no matter."""
    rest = {key: value for key, value in job.config.items() if key not in ("seed", "run")}
    return json.dumps([rest, job.config["run"]["init_from"]], sort_keys=True)
