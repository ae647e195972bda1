"""The runs of a configuration, which differ in their seeds, as one mean with its interval."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from metacli.sweeps.job import JobFolder


@dataclass(frozen=True)
class Pooled:
    """mean: None where it is no number · ci95: None where nothing tells it · spread: None for one seed."""

    mean: float | None
    ci95: float | None
    spread: float | None


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


def pooled(means: Sequence[float | None], intervals: Sequence[float | None]) -> Pooled:
    """The mean over S seeds; how far it may lie from that over all seeds and all test episodes; the spread.

    variance = s²/S + mean over seeds of (ci95/1.96)², where s is the standard deviation of the S means. The second
    part is not divided by S, since all seeds answer the same test episodes. It counts the noise that is a seed's and
    an episode's together twice, so the interval is rather too wide than too narrow. Student's t with the degrees of
    freedom of Welch and Satterthwaite; infinitely many episodes are taken for enough.
    One seed says nothing of seeds: its interval is over episodes alone.
    """
    numbers = [mean for mean in means if mean is not None]
    if len(numbers) < len(means):
        return Pooled(None, None, None)
    known = [ci95 for ci95 in intervals if ci95 is not None]
    if len(numbers) == 1:
        return Pooled(numbers[0], intervals[0], None)
    of_seeds = statistics.variance(numbers) / len(numbers)
    of_episodes = statistics.fmean((ci95 / 1.96) ** 2 for ci95 in known) if known else 0.0
    both = of_seeds + of_episodes
    quantile = _student((len(numbers) - 1) * (both / of_seeds) ** 2) if of_seeds else 1.96
    return Pooled(statistics.fmean(numbers), quantile * math.sqrt(both), math.sqrt(of_seeds * len(numbers)))


def _student(freedom: float) -> float:
    """The 97.5 % quantile."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


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
