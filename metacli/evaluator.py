"""Run a learner over fixed episodes and keep every prediction."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacli.data.table import Table
from metacli.episode import Episode
from metacli.files import digest
from metacli.learner import Learner
from metacli.objectives import decode, objective
from metacli.report.results import Results, SupportPicture


@dataclass(frozen=True)
class Evaluation:
    """`result_hash` covers every output, `episode_hash` which items were asked.

    support_rows, support_labels [E, S]: rows of the table, class ids of the data set.
    """

    results: Results
    support_rows: np.ndarray
    support_labels: np.ndarray
    result_hash: str
    episode_hash: str

    def picture(self, table: Table, queries: int = 30) -> SupportPicture:
        """The first episode, with at most `queries` of its queries, spread over the classes."""
        results = self.results
        asked = np.linspace(0, results.rows.shape[1] - 1, min(queries, results.rows.shape[1])).astype(int)

        def names(ids: np.ndarray) -> list[str]:
            return [table.classes[i] for i in ids]

        return SupportPicture(
            support=table.images[self.support_rows[0]],
            support_names=names(self.support_labels[0]),
            query=table.images[results.rows[0, asked]],
            true_names=names(results.truth[0, asked]),
            predicted_names=names(results.predicted[0, asked]),
        )


def evaluate(
    learner: Learner,
    episodes: Iterable[Episode],
    table: Table,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """`progress` is called with the number of episodes done. The learner's mode is as before afterwards."""
    was_training = learner.training
    learner.eval()
    parts: list[dict[str, Tensor]] = []
    done = 0
    with torch.no_grad():
        for episode in episodes:
            parts.append({name: tensor.cpu() for name, tensor in _outcome(learner, episode).items()})
            done += len(episode)
            progress(done)
    learner.train(was_training)
    whole = {name: torch.cat([part[name] for part in parts]).contiguous().numpy() for name in parts[0]}
    asked = [whole[name].data for name in ("support_rows", "support_labels", "rows", "truth")]
    results = Results(
        classes=table.classes,
        truth=whole["truth"],
        predicted=whole["predicted"],
        confidence=whole["confidence"],
        loss=whole["loss"].astype(np.float64),
        rows=whole["rows"],
        items=table.items,
    )
    return Evaluation(
        results=results,
        support_rows=whole["support_rows"],
        support_labels=whole["support_labels"],
        result_hash=digest(whole["outputs"].data, *asked),
        episode_hash=digest(table.fingerprint.encode(), *asked),
    )


def _outcome(learner: Learner, episode: Episode) -> dict[str, Tensor]:
    """What is kept of each task, [T, ...]."""
    support, query = episode.support, episode.query
    predictor = learner.adapt(support)
    outputs = predictor(query.inputs)
    label, confidence = decode(outputs)
    return {
        "outputs": outputs.to(torch.float32),
        "loss": objective(learner.spec.kind)(outputs, query),
        "confidence": confidence,
        "predicted": query.classes.gather(1, label),
        "truth": query.classes.gather(1, query.labels),
        "rows": query.rows,
        "support_labels": support.classes.gather(1, support.labels),
        "support_rows": support.rows,
    }
