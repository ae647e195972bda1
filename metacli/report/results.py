"""What a report is made from, whatever the kind of task, and the summary that all its files are printed from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from metacli.metrics import METRICS, mean_ci95


class Results(Protocol):
    """The outcome of E episodes. kind: of their tasks · primary: the headline metric, a key of METRICS."""

    @property
    def kind(self) -> str: ...
    @property
    def primary(self) -> str: ...

    @property
    def truth(self) -> np.ndarray:
        """[E, Q, ...]"""

    def values(self) -> Mapping[str, np.ndarray]:
        """The metrics that every episode has: name -> [E]."""

    def pooled(self) -> Mapping[str, tuple[float, int]]:
        """The metrics of all items at once: name -> (value, items)."""

    def tables(self) -> dict[str, Any]:
        """per_class: a row a class · averages: name -> row. Empty where there are no classes. spans: the same two of
        entities, where words are tagged."""

    def predictions(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Headings, and a row for each answer of each episode."""

    def examples(self) -> Sequence[Mapping[str, Any]]:
        """Tagged sentences to look at: see TaggingResults. None of another kind."""


def robustness(epsilons: Sequence[float], withstood: np.ndarray) -> list[dict[str, Any]]:
    """Accuracy at each epsilon. withstood [E, Q, len(epsilons)]: which answers stay right, the first column at 0."""
    return [
        {"epsilon": epsilon, **_over_episodes("accuracy", right.mean(axis=1))}
        for epsilon, right in zip(epsilons, np.moveaxis(withstood, 2, 0), strict=True)
    ]


def summarise(
    results: Results,
    protocol: dict[str, Any],
    run: dict[str, Any],
    result_hash: str,
    robust: Sequence[Mapping[str, Any]] = (),
    out_of_scope: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What report.json holds: plain Python values, and None for a number that is not finite.

    protocol: bn_mode, bn_statistics (in training: of a task, or of a step), transductive_method (whether the
    method answers queries together, whatever bn_mode), order, inner_steps {train, test}, inner_loss (mean, sum_over_k),
    episode {train, val, test: {ways, shots, queries (a class), count}}, episode_hash, selection, class_overlap (how
    many classes stand in more than one split), split, stages {name: see wording.stage}, features: see wording.features.
    robust: an entry {epsilon, mean, ci95, n, unit} of accuracy under attack for each epsilon, 0 the first; where there
    are any, protocol's `attack` has the settings.
    out_of_scope: threshold, precision, recall, auroc, and the numbers of answers, inside and outside; None where no
    item of no class was asked.
    run: paradigm, family, dataset, target (of the test split, where that is another's), backbone, seed, device,
    threads, precision (fp32, bf16), seconds_train, seconds_total, parameters, weights (whose: "of this run", or of
    which).
    """
    summary = {
        "task": results.kind,
        "primary": results.primary,
        "metrics": {name: _over_episodes(name, values) for name, values in results.values().items()}
        | {name: _entry(name, value, None, items) for name, (value, items) in results.pooled().items()},
        **results.tables(),
        **({"robust": [dict(entry) for entry in robust]} if robust else {}),
        **({"out_of_scope": dict(out_of_scope)} if out_of_scope else {}),
        "protocol": protocol,
        "run": run,
        "result_hash": result_hash,
    }
    return _plain(summary)


def _over_episodes(name: str, values: np.ndarray) -> dict[str, Any]:
    mean, ci95 = mean_ci95(values)
    return _entry(name, mean, ci95, len(values))


def _entry(name: str, mean: float, ci95: float | None, count: int) -> dict[str, Any]:
    """ci95: None for a figure over all items of all episodes at once, which has no mean over episodes."""
    return {"mean": mean, "ci95": ci95, "n": count, "unit": METRICS[name].unit}


def _plain(value: Any) -> Any:
    """JSON has neither numpy numbers nor nan."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
