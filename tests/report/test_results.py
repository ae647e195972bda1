import dataclasses
import json

import numpy as np
import pytest

from metacli.report.classification import ClassificationResults
from metacli.report.results import summarise


def test_the_summary_has_exactly_the_keys_of_report_json(summary):
    assert list(summary) == [
        "task",
        "primary",
        "metrics",
        "per_class",
        "averages",
        "protocol",
        "run",
        "result_hash",
    ]
    assert (summary["task"], summary["primary"]) == ("classify", "accuracy")
    assert set(summary["metrics"]) == {"accuracy", "loss", "macro_f1", "calibration_error"}
    assert all(set(metric) == {"mean", "ci95", "n", "unit"} for metric in summary["metrics"].values())
    assert all(set(row) == {"class", "precision", "recall", "f1", "support"} for row in summary["per_class"])
    assert set(summary["averages"]) == {"micro", "macro", "weighted"}
    assert all(set(row) == {"precision", "recall", "f1", "support"} for row in summary["averages"].values())


def test_protocol_and_run_reach_the_summary_as_they_came(summary, protocol, run):
    assert summary["protocol"] == protocol
    assert summary["run"] == run


def test_the_numbers_of_two_small_episodes_are_those_computed_by_hand(protocol, run):
    results = ClassificationResults(
        classes=("unseen", "ant", "bee", "cow"),
        truth=np.array([[1, 1, 2, 2], [3, 3, 2, 2]]),
        predicted=np.array([[1, 1, 2, 1], [3, 3, 2, 2]]),
        confidence=np.ones((2, 4), dtype=np.float32),
        loss=np.array([0.5, 1.5]),
        rows=np.zeros((2, 4), dtype=np.int64),
        items=["0"],
    )
    assert results.accuracy.tolist() == [0.75, 1.0]
    summary = summarise(results, protocol, run, "")
    metrics = summary["metrics"]
    assert metrics["accuracy"] == {
        "mean": 0.875,
        "ci95": pytest.approx(1.96 * 0.125 / 2**0.5),
        "n": 2,
        "unit": "fraction",
    }
    assert metrics["loss"] == {
        "mean": 1.0,
        "ci95": pytest.approx(1.96 * 0.5 / 2**0.5),
        "n": 2,
        "unit": "nats",
    }
    assert metrics["macro_f1"]["mean"] == pytest.approx((0.8 + 6 / 7 + 1) / 3)
    assert metrics["calibration_error"] == {"mean": 0.125, "ci95": None, "n": 8, "unit": "fraction"}
    assert [(row["class"], row["support"]) for row in summary["per_class"]] == [
        ("ant", 2),
        ("bee", 4),
        ("cow", 2),
    ]


def test_the_micro_average_is_the_accuracy(summary):
    accuracy = summary["metrics"]["accuracy"]["mean"]
    assert summary["averages"]["micro"]["f1"] == pytest.approx(accuracy)
    assert summary["averages"]["micro"]["support"] == 40 * 5 * 4


def test_numbers_that_json_lacks_become_null_and_numpy_numbers_plain(results, protocol, run):
    diverged = dataclasses.replace(
        results, loss=np.full(40, np.nan), confidence=np.full_like(results.confidence, np.nan)
    )
    run |= {"seconds_train": float("inf"), "parameters": np.int64(7)}
    summary = json.loads(json.dumps(summarise(diverged, protocol, run, ""), allow_nan=False))
    assert summary["metrics"]["loss"]["mean"] is None
    assert summary["metrics"]["loss"]["ci95"] is None
    assert summary["metrics"]["calibration_error"]["mean"] is None
    assert summary["run"]["seconds_train"] is None
    assert summary["run"]["parameters"] == 7
