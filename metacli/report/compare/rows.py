"""The rows of a comparison: a run each, or the runs that differ in nothing but their seed."""

import json
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from metacli.report.compare.measured import Measured
from metacli.report.pooling import pooled

BN_MODE = "paradigm.bn_mode"  # the one setting that every table has a column for
Item = TypeVar("Item")


@dataclass(frozen=True)
class Row:
    """settings: what tells it from others of its method · number: of the row, through all tables."""

    runs: tuple[Measured, ...]
    settings: tuple[str, ...]
    number: int = 0

    @property
    def first(self) -> Measured:
        return self.runs[0]

    @property
    def values(self) -> np.ndarray:
        """[K, E] the headline metric of K runs on E episodes."""
        return np.stack([run.values for run in self.runs])

    @property
    def headline(self) -> tuple[float, float]:
        """Mean and half-width of its 95 % interval."""
        entries = [run.report["metrics"][run.primary] for run in self.runs]
        found = pooled([entry["mean"] for entry in entries], [entry["ci95"] for entry in entries])
        assert found.mean is not None  # others are not measured
        assert found.ci95 is not None
        return found.mean, found.ci95

    @property
    def name(self) -> str:
        return ", ".join(self.first.method)

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def seconds(self) -> float | None:
        """Of training, in the mean."""
        return _mean([run.seconds for run in self.runs])

    def metric(self, name: str) -> float | None:
        """The mean over its runs of another metric; None where one of them has no such number."""
        return _mean([run.report["metrics"].get(name, {}).get("mean") for run in self.runs])


def make_rows(runs: Sequence[Measured], *, over_seeds: bool) -> tuple[list[Row], list[Measured]]:
    """And the runs that are in none, as another one of the same settings and the same seed is."""
    groups = grouped(runs, but_for_seed) if over_seeds else [[run] for run in runs]
    chosen = [{run.seed: run for run in group} for group in groups]
    ordered = [tuple(by_seed[seed] for seed in sorted(by_seed)) for by_seed in chosen]
    told = {
        method[0].method: _telling([run.settings for run in method])
        for method in grouped((group[0] for group in ordered), lambda run: run.method)
    }
    rows = [Row(group, _settings(group[0], told[group[0].method])) for group in ordered]
    kept = {id(run) for group in ordered for run in group}
    return rows, [run for run in runs if id(run) not in kept]


def grouped(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Items with one key together, in the order in which the keys come."""
    found: dict[Hashable, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def but_for_seed(run: Measured) -> Hashable:
    """What comparable runs have in common that differ in nothing but their seed."""
    return json.dumps([run.settings, run.origins], sort_keys=True)


def _telling(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that do not have one value in all."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)]


def _settings(run: Measured, keys: Sequence[str]) -> tuple[str, ...]:
    own = run.settings
    return tuple(f"{key}={own[key]}" for key in keys if key in own and key != BN_MODE)


def _mean(values: Sequence[Any]) -> float | None:
    return None if None in values else statistics.fmean(values)
