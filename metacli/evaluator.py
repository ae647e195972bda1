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
from metacli.data.table import Labelled, Table
from metacli.data.tagged import TaggedTable
from metacli.distributed import ALONE, Ranks
from metacli.episode import Episode, Examples
from metacli.files import digest
from metacli.learner import Learner
from metacli.objectives import decode, objective
from metacli.report.classification import ClassificationResults, Sentences, SupportPicture
from metacli.report.regression import RegressionResults
from metacli.report.results import Results, robustness
from metacli.report.tagging import TaggingResults

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
    outside: Callable[[Tensor], Examples] | None = None,
) -> Evaluation:
    """table: what the data set built · progress: called with the number of episodes done · trial: what they are put to
    besides · outside: for the numbers of episodes [T], items that are of none of their classes.

    Ranks, and the crew of each, share `episodes`, which are `among` chunks.

    The learner's mode is as before afterwards.
    """
    _, asked, results = _KINDS[learner.spec.kind]
    was_training = learner.training
    learner.eval()
    parts: dict[int, dict[str, Tensor]] = {}
    done = 0
    ours = islice(episodes, ranks.rank, None, ranks.world)
    for part in crew.each(partial(_part, trial=trial, outside=outside), learner, ours, among):
        parts[ranks.rank + ranks.world * len(parts)] = part
        done += ranks.world * len(part["index"])
        progress(done)
    learner.train(was_training)
    parts = ranks.from_all(parts)
    whole = {
        name: torch.cat([parts[number][name] for number in sorted(parts)]).contiguous().numpy()
        for name in parts[0]
    }
    questions = [whole[name].data for name in asked]
    besides = [*(["withstood", "least_confidence"] if trial else []), *(["outside"] if outside else [])]
    return Evaluation(
        results=results(whole, table),
        robustness=robustness(trial.epsilons, whole["withstood"]) if trial else [],
        result_hash=digest(whole["outputs"].data, *questions, *(whole[name].data for name in besides)),
        episode_hash=digest(table.fingerprint.encode(), *questions),
    )


@torch.no_grad()
def _part(
    learner: Learner,
    episode: Episode,
    trial: Trial | None,
    outside: Callable[[Tensor], Examples] | None,
) -> dict[str, Tensor]:
    predictor = learner.adapt(episode.support)
    outcome, _, _ = _KINDS[learner.spec.kind]
    kept = outcome(predictor(episode.query.inputs), episode)
    if trial:
        kept |= trial.outcome(learner, predictor, episode)
    if outside:
        others = outside(episode.index)
        kept |= {"outside": decode(predictor(others.inputs))[1]}
    return {name: tensor.cpu() for name, tensor in kept.items()}


def _classified(outputs: Tensor, episode: Episode) -> dict[str, Tensor]:
    """What is kept of each task, [T, ...]."""
    support, query = episode.support, episode.query
    label, confidence = decode(outputs)
    return {
        "index": episode.index,
        "outputs": outputs.to(torch.float32),
        "loss": objective("classify")(outputs, query),
        "confidence": confidence,
        "predicted": query.classes.gather(1, label),
        "truth": query.classes.gather(1, query.labels),
        "rows": query.rows,
        "support_labels": support.classes.gather(1, support.labels),
        "support_rows": support.rows,
    }


def _classification(whole: Arrays, table: Any) -> ClassificationResults:
    return ClassificationResults(
        classes=table.classes,
        truth=whole["truth"],
        predicted=whole["predicted"],
        confidence=whole["confidence"],
        loss=whole["loss"].astype(np.float64),
        rows=whole["rows"],
        items=table.items,
        outside=whole.get("outside", np.empty((0, 0), np.float32)),
        given=bool(whole["support_rows"].size),
        **_EXAMPLES[table.form](whole, table),
    )


def _shown(whole: Arrays) -> np.ndarray:
    """Of the first episode some queries, spread over the classes."""
    queries = whole["rows"].shape[1] if whole["support_rows"].size else 0
    return np.linspace(0, queries - 1, min(PICTURED, queries)).astype(int)


def _picture(whole: Arrays, table: Table) -> dict[str, SupportPicture]:
    shown = _shown(whole)
    if not len(shown):  # one item each
        return {}

    def names(ids: np.ndarray) -> list[str]:
        return [table.classes[i] for i in ids]

    picture = SupportPicture(
        support=table.images[whole["support_rows"][0]],
        support_names=names(whole["support_labels"][0]),
        query=table.images[whole["rows"][0, shown]],
        true_names=names(whole["truth"][0, shown]),
        predicted_names=names(whole["predicted"][0, shown]),
    )
    return {"picture": picture}


def _sentences(whole: Arrays, table: Labelled) -> dict[str, Sentences]:
    """The first episode, and the surest mistakes of all, each once."""

    def answers(episodes: np.ndarray, places: np.ndarray) -> list[dict[str, Any]]:
        parts = (whole[name][episodes, places] for name in ("rows", "truth", "predicted", "confidence"))
        found = [
            {
                "text": table.items[row],
                "true": table.classes[truth],
                "predicted": table.classes[predicted],
                "confidence": round(confidence, 4),
            }
            for row, truth, predicted, confidence in zip(*(part.tolist() for part in parts), strict=True)
        ]
        return sorted(found, key=lambda one: (one["true"] == one["predicted"], -one["confidence"]))

    shown = _shown(whole)
    wrong = answers(*np.nonzero(whole["truth"] != whole["predicted"]))
    once = {(one["text"], one["predicted"]): one for one in reversed(wrong)}
    surest = sorted(once.values(), key=lambda one: -one["confidence"])[:PICTURED]
    support = [
        {"text": table.items[row], "class": table.classes[c]}
        for row, c in zip(whole["support_rows"][0].tolist(), whole["support_labels"][0].tolist(), strict=True)
    ]
    return {"sentences": Sentences(support, answers(np.zeros_like(shown), shown), surest)}


# what an item is -> examples of it to look at
_EXAMPLES: dict[str, Any] = {"image": _picture, "text": _sentences}


def _regressed(outputs: Tensor, episode: Episode) -> dict[str, Tensor]:
    support, query = episode.support, episode.query
    return {
        "index": episode.index,
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


def _tagged(outputs: Tensor, episode: Episode) -> dict[str, Tensor]:
    """Words of queries one after another, [M, ...]: of a sentence none is left out, and one without a state is O."""
    support, query = episode.support, episode.query
    there = query.labels >= 0  # [T, N, L]
    per_class = (outputs.shape[-1] - 1) // query.ways
    label, _ = decode(outputs)
    places = torch.arange(label.shape[2], device=label.device).expand_as(label)
    given = support.rows >= 0
    return {
        "index": episode.index,
        "outputs": outputs[there].to(torch.float32),
        "loss": objective("tag")(outputs, query),
        "predicted": _tags_of_table(label.where(query.mask, 0), query.classes, per_class)[there],
        "truth": _tags_of_table(query.labels.clamp(min=0), query.classes, per_class)[there],
        "episode": episode.index.to(label.device)[:, None, None].expand_as(label)[there],
        "rows": query.rows.unsqueeze(2).expand_as(label)[there],
        "places": places[there],
        "support_rows": support.rows[given],
        "support_classes": support.classes,
    }


def _tags_of_table(tags: Tensor, classes: Tensor, per_class: int) -> Tensor:
    """Those of an episode [T, N, L] as those of its data set: 0 for O, 1 + 2c for B and 2 + 2c for I of class c."""
    way = (tags - 1).clamp(min=0) // per_class
    own = classes.gather(1, way.flatten(1)).view_as(tags)
    inside = tags % 2 == 0 if per_class == 2 else torch.ones_like(tags, dtype=torch.bool)
    return (1 + 2 * own + inside).where(tags > 0, 0)


def _tagging(whole: Arrays, table: TaggedTable) -> TaggingResults:
    return TaggingResults(
        classes=table.classes,
        words=table.words,
        truth=whole["truth"],
        predicted=whole["predicted"],
        episode=whole["episode"],
        rows=whole["rows"],
        places=whole["places"],
        loss=whole["loss"].astype(np.float64),
        given=bool(whole["support_rows"].size),
    )


# kind -> (what to keep of a chunk of episodes, which of it says what was asked, all of it -> results)
_KINDS: dict[str, tuple[Any, tuple[str, ...], Any]] = {
    "classify": (_classified, ("support_rows", "support_labels", "rows", "truth"), _classification),
    "regress": (_regressed, ("support_x", "support_y", "x", "truth"), _regression),
    "tag": (_tagged, ("support_rows", "support_classes", "rows", "truth"), _tagging),
}
