"""The pictures of a report, by what kind of results there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from metacli.report.classification import ClassificationResults
from metacli.report.confusion import confusion
from metacli.report.curves import curves, predicted_against_true
from metacli.report.picture import support_picture
from metacli.report.plots import episode_histogram, learning_curve
from metacli.report.regression import RegressionResults
from metacli.report.results import Results
from metacli.report.tagging import TaggingResults


def figures(results: Results, history: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Name -> PNG. history: see `learning_curve`; rows of a stage before meta-training say which, and their epoch."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for row in history:
        stages.setdefault(row.get("stage", ""), []).append(row)
    trained = stages.pop("", [])
    curves = {
        f"{stage}_curve": learning_curve([{**row, "step": row["epoch"]} for row in rows], "epoch")
        for stage, rows in stages.items()
    }
    if trained or not curves:
        curves["learning_curve"] = learning_curve(trained)
    return curves | _KINDS[results.kind](results)


def _classification(results: ClassificationResults) -> dict[str, bytes]:
    """Items of a whole have no scores of their own to be spread."""
    picture = {"support": support_picture(results.picture)} if results.picture else {}
    spread = {"episodes": episode_histogram(results)} if results.given else {}
    return {**spread, "confusion": confusion(results), **picture}


def _regression(results: RegressionResults) -> dict[str, bytes]:
    of_one_number = results.x.shape[2] == results.truth.shape[2] == 1
    return {
        "episodes": episode_histogram(results),
        "errors": predicted_against_true(results),
        **({"curves": curves(results)} if of_one_number else {}),
    }


def _tagging(results: TaggingResults) -> dict[str, bytes]:
    """Sentences of a whole have no scores of their own to be spread."""
    return {"episodes": episode_histogram(results)} if results.given else {}


_KINDS: dict[str, Any] = {"classify": _classification, "regress": _regression, "tag": _tagging}
