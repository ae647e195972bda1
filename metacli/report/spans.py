"""Entities as spans of words, scored by seqeval (Nakayama 2018), which agrees with conlleval in its default mode.

Tags are O, B-TYPE and I-TYPE, or O and I-TYPE. Without "I-" seqeval takes person-other and art-other for the same
type. Sentences stay apart: entities on both sides of a border would become one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from metacli.metrics import AVERAGES, Scores

Tags = Sequence[Sequence[str]]  # a list of tags for each sentence


class Span(NamedTuple):
    """Words first to last, both of them in it."""

    kind: str
    first: int
    last: int


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of one sentence."""
    from seqeval.metrics.sequence_labeling import get_entities

    return [Span(*found) for found in get_entities(list(tags))]


def span_scores(truth: Tags, predicted: Tags) -> Scores:
    """Over all types together (micro). Without entities that are predicted, or true, a score is 0."""
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, average="micro", zero_division=0
    )
    return Scores(float(precision), float(recall), float(f1), int(support))


def span_table(truth: Tags, predicted: Tags) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Scores of each type, and their averages. Support counts true entities."""
    from seqeval.metrics import classification_report

    found = classification_report(truth, predicted, output_dict=True, zero_division=0)
    rows = {
        name: Scores(
            float(row["precision"]), float(row["recall"]), float(row["f1-score"]), int(row["support"])
        )
        for name, row in found.items()
    }
    averages = {name: rows.pop(f"{name} avg") for name in AVERAGES}
    return rows, averages
