"""What came out of episodes whose items are sentences of tagged words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from metacli.data.tagged import tag_name
from metacli.metrics import HEADLINE, classification_scores
from metacli.report.spans import Tags, span_scores, span_table, spans

SHOWN = 40  # sentences on the page, those with most errors first
SHOWN_RIGHT = 8  # of them without an error, where there are so many


@dataclass(frozen=True)
class TaggingResults:
    """The outcome of E test episodes with M query words in all, sentence by sentence.

    classes: class id -> name, all types of the data set · words: row -> the words of a sentence · truth, predicted [M]
    int64 tags: see `tag_name` · episode, rows, places [M] int64: which episode, which sentence, and which of its words
    (the first is 0) · loss [E] float64, mean over query words · given: a support set; else an episode is a
    sentence of a split that is asked as a whole.
    """

    classes: tuple[str, ...]
    words: Sequence[Sequence[str]]
    truth: np.ndarray
    predicted: np.ndarray
    episode: np.ndarray
    rows: np.ndarray
    places: np.ndarray
    loss: np.ndarray
    given: bool = True
    kind: ClassVar = "tag"
    primary: ClassVar = HEADLINE["tag"]

    @cached_property
    def _sentences(self) -> tuple[list[list[str]], list[list[str]], np.ndarray]:
        """True and predicted tags of each sentence, and its episode."""
        firsts = np.flatnonzero(self.places == 0)
        names = np.array([tag_name(tag, self.classes) for tag in range(1 + 2 * len(self.classes))], object)
        truth, predicted = (
            [part.tolist() for part in np.split(names[tags], firsts[1:])] if len(firsts) else []
            for tags in (self.truth, self.predicted)
        )
        return truth, predicted, self.episode[firsts]

    def values(self) -> Mapping[str, np.ndarray]:
        """Of each episode its own span scores. Where these are sentences of one whole: what each adds to the scores of
        the whole, so that the mean is exactly those and the interval that of the delta method."""
        if not self.given:
            return {**_shares(*self._sentences[:2]), "loss": self.loss}
        truth, predicted, episode = self._sentences
        ends = np.searchsorted(episode, np.arange(episode[0], episode[0] + len(self.loss) + 1))
        scores = [span_scores(truth[start:end], predicted[start:end]) for start, end in pairwise(ends)]
        columns = {
            f"span_{name}": np.array([getattr(entry, name) for entry in scores])
            for name in ("f1", "precision", "recall")
        }
        return columns | {"loss": self.loss}

    def pooled(self) -> Mapping[str, tuple[float, int]]:
        truth, predicted, _ = self._sentences
        every = span_scores(truth, predicted)
        return {
            "pooled_span_f1": (every.f1, every.support),
            "pooled_span_precision": (every.precision, every.support),
            "pooled_span_recall": (every.recall, every.support),
            "entity_token_f1": (_f1_without_o(self.truth, self.predicted), int((self.truth > 0).sum())),
            "token_accuracy": (float((self.truth == self.predicted).mean()), self.truth.size),
        }

    def tables(self) -> dict[str, Any]:
        """per_class, averages: of words, with a row O, which is the last · spans: the same two of entities."""
        tokens, token_averages = classification_scores(self.truth, self.predicted)
        ordered = [tag for tag in tokens if tag > 0] + [0] * (0 in tokens)
        truth, predicted, _ = self._sentences
        entities, entity_averages = span_table(truth, predicted)
        return {
            "per_class": [{"class": tag_name(tag, self.classes), **tokens[tag]._asdict()} for tag in ordered],
            "averages": {name: scores._asdict() for name, scores in token_averages.items()},
            "spans": {
                "per_class": [{"class": name, **scores._asdict()} for name, scores in entities.items()],
                "averages": {name: scores._asdict() for name, scores in entity_averages.items()},
            },
        }

    def predictions(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        tags = [tag_name(tag, self.classes) for tag in range(1 + 2 * len(self.classes))]
        parts = (self.episode, self.rows, self.places, self.truth, self.predicted)
        lines = [
            (episode, row, place, self.words[row][place], tags[truth], tags[answer], int(truth == answer))
            for episode, row, place, truth, answer in zip(*(part.tolist() for part in parts), strict=True)
        ]
        return ("episode", "row", "place", "word", "true", "predicted", "correct"), lines

    def examples(self) -> list[dict[str, Any]]:
        """Sentences to look at: `true` and `predicted` are pieces {text, kind}, kind "" outside of entities; `errors`
        counts entities that only one of them has. Those with most errors come first, each sentence once."""
        truth, predicted, episode = self._sentences
        firsts = np.flatnonzero(self.places == 0)
        found: dict[int, dict[str, Any]] = {}
        for number, (true, answer) in enumerate(zip(truth, predicted, strict=True)):
            row = int(self.rows[firsts[number]])
            errors = len(set(spans(true)) ^ set(spans(answer)))
            if row in found and found[row]["errors"] >= errors:
                continue
            found[row] = {
                "errors": errors,
                "episode": int(episode[number]),
                "true": true,
                "predicted": answer,
                "words": self.words[row],
            }
        ranked = sorted(found.values(), key=lambda entry: -entry["errors"])
        wrong = [entry for entry in ranked if entry["errors"]]
        right = [entry for entry in ranked if not entry["errors"]][:SHOWN_RIGHT]
        return [
            entry | {side: _pieces(entry["words"], entry[side]) for side in ("true", "predicted")}
            for entry in wrong[: SHOWN - len(right)] + right
        ]


def _pieces(words: Sequence[str], tags: Sequence[str]) -> list[dict[str, str]]:
    """Entities, and what stands between them."""
    pieces, place = [], 0
    for span in spans(tags):
        if span.first > place:
            pieces.append({"text": " ".join(words[place : span.first]), "kind": ""})
        pieces.append({"text": " ".join(words[span.first : span.last + 1]), "kind": span.kind})
        place = span.last + 1
    if place < len(words):
        pieces.append({"text": " ".join(words[place:]), "kind": ""})
    return pieces


def _shares(truth: Tags, predicted: Tags) -> dict[str, np.ndarray]:
    """A score is a ratio a/b of sums over n sentences, and a/b + n·(a_i − a/b·b_i)/b that of sentence i."""
    both = [(set(spans(true)), set(spans(answer))) for true, answer in zip(truth, predicted, strict=True)]
    right, asked, found = np.array(
        [(len(true & answer), len(true), len(answer)) for true, answer in both], np.float64
    ).T
    ratios = {"f1": (2 * right, asked + found), "precision": (right, found), "recall": (right, asked)}
    shares = {}
    for name, (above, below) in ratios.items():
        total = max(below.sum(), 1.0)
        score = above.sum() / total
        shares[f"span_{name}"] = score + len(both) * (above - score * below) / total
    return shares


def _f1_without_o(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Micro F1 of the words' tags, where O counts neither as asked for nor as an answer."""
    right = int(((truth == predicted) & (truth > 0)).sum())
    both = int((truth > 0).sum() + (predicted > 0).sum())
    return 2 * right / both if both else 0.0
