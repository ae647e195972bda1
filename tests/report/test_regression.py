"""Reports on tasks whose answers are numbers."""

import csv
import io
import re

import numpy as np
import pytest

from metacli.report.figures import figures
from metacli.report.html import html_page
from metacli.report.regression import RegressionResults
from metacli.report.results import summarise
from metacli.report.tables import csv_report, episodes_csv, predictions_csv, text_report


def test_the_numbers_of_two_small_episodes_are_those_computed_by_hand(protocol, run):
    truth = np.array([[[1.0], [2.0]], [[3.0], [6.0]]], np.float32)
    predicted = np.array([[[1.0], [4.0]], [[2.0], [5.0]]], np.float32)
    results = RegressionResults(
        truth=truth, predicted=predicted, x=truth, support_x=truth[:, :1], support_y=truth[:, :1]
    )
    metrics = summarise(results, protocol, run, "")["metrics"]
    assert metrics["mse"] == {
        "mean": 1.5,
        "ci95": pytest.approx(1.96 * 0.5 / 2**0.5),
        "n": 2,
        "unit": "squared units",
    }
    assert metrics["mae"]["mean"] == 1.0
    assert metrics["rmse"] == {"mean": pytest.approx(1.5**0.5), "ci95": None, "n": 4, "unit": "units"}
    assert metrics["r2"]["mean"] == pytest.approx(1 - 6 / 14)


def test_the_text_has_no_table_of_classes_and_tells_the_error(summary_of_numbers):
    text = text_report(summary_of_numbers)
    mse = summary_of_numbers["metrics"]["mse"]
    assert text.startswith(
        f"squared error      {mse['mean']:.4f} +- {mse['ci95']:.4f} (95 % CI over 40 episodes)"
    )
    assert "precision" not in text
    assert "3-shot, 10 queries, 40 episodes" in text


def test_the_page_speaks_of_errors_and_of_no_classes(summary_of_numbers):
    page = html_page(summary_of_numbers, {}, "seed: 0\n", "metacli rerun runs/a")
    words = " ".join(re.sub(r"<style>.*</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    assert f"{summary_of_numbers['metrics']['mse']['mean']:.4f} ±" in words
    assert "Mean squared error (squared units) of maml on sinusoid , 3-shot , over 40 test episodes" in words
    for word in ("class", "guessing", "accuracy", "None", "way"):
        assert word not in words.lower().replace("class overlap", "").replace("no class stands", ""), word


def test_the_pictures_are_curves_and_errors(numbers, history):
    drawn = figures(numbers, history)
    assert set(drawn) == {"learning_curve", "episodes", "errors", "curves"}
    assert all(png.startswith(b"\x89PNG") and len(png) > 5000 for png in drawn.values())


def test_functions_of_several_numbers_have_no_curves(numbers, history):
    wide = RegressionResults(
        truth=numbers.truth,
        predicted=numbers.predicted,
        x=np.repeat(numbers.x, 2, axis=2),
        support_x=np.repeat(numbers.support_x, 2, axis=2),
        support_y=numbers.support_y,
    )
    assert set(figures(wide, history)) == {"learning_curve", "episodes", "errors"}
    assert predictions_csv(wide).startswith("episode,x_0,x_1,true,predicted\n")


def test_every_answer_and_every_episode_is_kept(numbers):
    rows = list(csv.DictReader(io.StringIO(predictions_csv(numbers))))
    assert len(rows) == 400
    assert float(rows[399]["predicted"]) == pytest.approx(float(numbers.predicted[39, 9, 0]), rel=1e-5)
    episodes = list(csv.DictReader(io.StringIO(episodes_csv(numbers))))
    assert [float(row["mse"]) for row in episodes] == numbers.values()["mse"].tolist()


def test_the_csv_holds_the_metrics_in_full(summary_of_numbers):
    rows = list(csv.DictReader(io.StringIO(csv_report(summary_of_numbers))))
    assert [row["metric"] for row in rows] == ["mse", "mae", "rmse", "r2"]
    assert float(rows[0]["ci95"]) == summary_of_numbers["metrics"]["mse"]["ci95"]
