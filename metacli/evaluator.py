"""Run a learner over fixed episodes and keep every prediction."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metacli.attacks.adversary import Trial
from metacli.crew import SINGLE, Crew
from metacli.data.table import Table
from metacli.distributed import ALONE, Ranks
from metacli.episode import Episode
from metacli.files import digest
from metacli.learner import Learner
from metacli.objectives import decode, objective
from metacli.report.classification import ClassificationResults, SupportPicture
from metacli.report.regression import RegressionResults
from metacli.report.results import Results, robustness

PICTURED = 30  # queries of the episode that a report shows
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """`result_hash` covers every output, `episode_hash` which items were asked.

    robustness: see `summarise`; empty where nothing was attacked.
    """

    results: Results
    robustness: list[dict[str, Any]]
    result_hash: str
    episode_hash: str


def evaluate(
    learner: Learner,
    episodes: Iterable[Episode],
    table: Any,
    progress: Callable[[int], None] = lambda done: None,
    crew: Crew = SINGLE,
    among: int = 1,
    ranks: Ranks = ALONE,
    trial: Trial | None = None,
) -> Evaluation:
    """table: what the data set built · progress: called with the number of episodes done · trial: what they are put to
    besides.

    Ranks, and the crew of each, share `episodes`, which are `among` chunks.

    The learner's mode is as before afterwards.
    """
    _, asked, results = _KINDS[learner.spec.kind]
    was_training = learner.training
    learner.eval()
    parts: dict[int, dict[str, Tensor]] = {}
    done = 0
    ours = islice(episodes, ranks.rank, None, ranks.world)
    for part in crew.each(partial(_part, trial=trial), learner, ours, among):
        parts[ranks.rank + ranks.world * len(parts)] = part
        done += ranks.world * len(part["outputs"])
        progress(done)
    learner.train(was_training)
    parts = ranks.from_all(parts)
    whole = {
        name: torch.cat([parts[number][name] for number in sorted(parts)]).contiguous().numpy()
        for name in parts[0]
    }
    questions = [whole[name].data for name in asked]
    attacked = [whole[name].data for name in ("withstood", "least_confidence")] if trial else []
    return Evaluation(
        results=results(whole, table),
        robustness=robustness(trial.epsilons, whole["withstood"]) if trial else [],
        result_hash=digest(whole["outputs"].data, *questions, *attacked),
        episode_hash=digest(table.fingerprint.encode(), *questions),
    )


@torch.no_grad()
def _part(learner: Learner, episode: Episode, trial: Trial | None) -> dict[str, Tensor]:
    predictor = learner.adapt(episode.support)
    outcome, _, _ = _KINDS[learner.spec.kind]
    kept = outcome(predictor(episode.query.inputs), episode)
    if trial:
        kept |= trial.outcome(learner, predictor, episode)
    return {name: tensor.cpu() for name, tensor in kept.items()}


def _classified(outputs: Tensor, episode: Episode) -> dict[str, Tensor]:
    """What is kept of each task, [T, ...]."""
    support, query = episode.support, episode.query
    label, confidence = decode(outputs)
    return {
        "outputs": outputs.to(torch.float32),
        "loss": objective("classify")(outputs, query),
        "confidence": confidence,
        "predicted": query.classes.gather(1, label),
        "truth": query.classes.gather(1, query.labels),
        "rows": query.rows,
        "support_labels": support.classes.gather(1, support.labels),
        "support_rows": support.rows,
    }


def _classification(whole: Arrays, table: Table) -> ClassificationResults:
    return ClassificationResults(
        classes=table.classes,
        truth=whole["truth"],
        predicted=whole["predicted"],
        confidence=whole["confidence"],
        loss=whole["loss"].astype(np.float64),
        rows=whole["rows"],
        items=table.items,
        picture=_picture(whole, table),
    )


def _picture(whole: Arrays, table: Table) -> SupportPicture:
    """The first episode, with some of its queries, spread over the classes."""
    queries = whole["rows"].shape[1]
    shown = np.linspace(0, queries - 1, min(PICTURED, queries)).astype(int)

    def names(ids: np.ndarray) -> list[str]:
        return [table.classes[i] for i in ids]

    return SupportPicture(
        support=table.images[whole["support_rows"][0]],
        support_names=names(whole["support_labels"][0]),
        query=table.images[whole["rows"][0, shown]],
        true_names=names(whole["truth"][0, shown]),
        predicted_names=names(whole["predicted"][0, shown]),
    )


def _regressed(outputs: Tensor, episode: Episode) -> dict[str, Tensor]:
    support, query = episode.support, episode.query
    return {
        "outputs": outputs.to(torch.float32),
        "truth": query.labels,
        "x": query.inputs["x"].flatten(2),
        "support_x": support.inputs["x"].flatten(2),
        "support_y": support.labels,
    }


def _regression(whole: Arrays, table: Any) -> RegressionResults:
    return RegressionResults(
        truth=whole["truth"],
        predicted=whole["outputs"],
        x=whole["x"],
        support_x=whole["support_x"],
        support_y=whole["support_y"],
    )


# kind -> (what to keep of a chunk of episodes, which of it says what was asked, all of it -> results)
_KINDS: dict[str, tuple[Any, tuple[str, ...], Any]] = {
    "classify": (_classified, ("support_rows", "support_labels", "rows", "truth"), _classification),
    "regress": (_regressed, ("support_x", "support_y", "x", "truth"), _regression),
}
