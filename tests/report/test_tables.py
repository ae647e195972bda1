import csv
import io
import unicodedata

import numpy as np
import pytest
from sklearn.metrics import classification_report

from metacli.report import wording
from metacli.report.classification import ClassificationResults
from metacli.report.names import columns, shorten
from metacli.report.results import summarise
from metacli.report.tables import csv_report, episodes_csv, predictions_csv, text_report


def test_the_class_rows_are_those_that_scikit_learn_prints(make_results, protocol, run):
    results = make_results(tuple("abcdefgh"))
    ours = [line.split() for line in text_report(summarise(results, protocol, run, "")).splitlines()]
    theirs = classification_report(
        results.truth.ravel(), results.predicted.ravel(), target_names=results.classes, digits=3
    )
    for line in theirs.splitlines():
        if line and "accuracy" not in line:
            assert line.split() in ours


def test_no_line_exceeds_80_columns_whatever_the_names(results, protocol, run):
    protocol["selection"] = "the checkpoint with the best validation accuracy " * 4
    run["dataset"] = "a/very/long/folder/" * 10
    for line in text_report(summarise(results, protocol, run, "0" * 100)).splitlines():
        wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
        assert len(line) + wide <= 80
        assert line.isprintable()


def test_the_numbers_stand_in_one_column_beside_wide_letters(summary):
    lines = text_report(summary).splitlines()
    rows = lines[2 : 2 + len(summary["per_class"])]
    assert len({columns(row) for row in rows}) == 1


def test_a_long_name_keeps_both_its_ends():
    assert shorten("Gurmukhi/character42/rot090", 20) == "Gurmukhi/...2/rot090"
    assert shorten("short", 5) == "short"
    assert columns(shorten("猫" * 50, 20)) <= 20


def test_the_text_says_what_was_measured_and_how(summary):
    text = " ".join(text_report(summary).split())
    accuracy = summary["metrics"]["accuracy"]
    assert (
        f"{100 * accuracy['mean']:.2f} +- {100 * accuracy['ci95']:.2f} % (95 % CI over 40 episodes)" in text
    )
    assert "5-way 1-shot, 4 queries per class" in text
    assert "batch (transductive" in text
    for words in (
        "order second",
        "inner steps 1 in training, 5 in evaluation",
        "inner loss sum over the support set / shots",
        "best validation accuracy",
        "maml on omniglot",
    ):
        assert words in text
    assert summary["result_hash"] in text
    assert summary["protocol"]["episode_hash"] in text


def test_a_loss_that_diverged_is_said_to_be_no_number(summary):
    summary["metrics"]["loss"] |= {"mean": None, "ci95": None}
    assert "loss               not a number" in text_report(summary)


def test_the_csv_holds_every_class_and_average_in_full(summary):
    rows = list(csv.DictReader(io.StringIO(csv_report(summary))))
    assert [row["name"] for row in rows if row["kind"] == "class"] == [
        row["class"] for row in summary["per_class"]
    ]
    assert [row["name"] for row in rows if row["kind"] == "average"] == ["micro", "macro", "weighted"]
    assert float(rows[0]["f1"]) == summary["per_class"][0]["f1"]
    assert int(rows[-1]["support"]) == 800


def test_the_predictions_name_item_truth_and_answer_of_each_query():
    results = ClassificationResults(
        classes=("ant", "bee, queen"),
        truth=np.array([[0, 1], [1, 0]]),
        predicted=np.array([[0, 0], [1, 0]]),
        confidence=np.array([[0.5, 0.25], [1, 0.75]], dtype=np.float32),
        loss=np.zeros(2),
        rows=np.array([[2, 0], [1, 2]]),
        items=["a.png", "b.png", "c.png"],
    )
    assert predictions_csv(results).splitlines() == [
        "episode,row,item,true,predicted,confidence,correct",
        "0,2,c.png,ant,ant,0.5,1",
        '0,0,a.png,"bee, queen",ant,0.25,0',
        '1,1,b.png,"bee, queen","bee, queen",1,1',
        "1,2,c.png,ant,ant,0.75,1",
    ]


def test_the_episodes_hold_the_values_that_the_means_are_of(results, summary):
    rows = list(csv.DictReader(io.StringIO(episodes_csv(results))))
    assert [int(row["episode"]) for row in rows] == list(range(40))
    for metric in ("accuracy", "loss"):
        assert np.mean([float(row[metric]) for row in rows]) == summary["metrics"][metric]["mean"]


@pytest.mark.parametrize("mode", ["support", "running", "with_support_single", "none"])
def test_the_other_batch_norm_modes_are_called_inductive(summary, mode):
    summary["protocol"]["bn_mode"] = mode
    assert f"{mode} (inductive" in text_report(summary)


def test_a_method_may_be_transductive_by_itself(summary):
    summary["protocol"] |= {"bn_mode": "running", "transductive_method": True}
    assert "running (transductive: the method" in text_report(summary)


def test_the_text_says_what_came_before_meta_training(results, protocol, run):
    measured = {"explained_variance": 0.847}
    protocol["features"] = {"name": "pca", "fitted": True, "moved_by": ["outer"]}
    protocol["stages"] = {"features": {"images": 900, "classes": 50, "measured": measured, "seconds": 1.0}}
    text = " ".join(text_report(summarise(results, protocol, run, "")).split())
    assert (
        "features pca, trained by the outer loop features stage 900 images of 50 meta-train classes: " in text
    )
    assert "explained variance 84.70 %" in text


@pytest.mark.parametrize(
    ("loops", "said"),
    [
        ([], "pca, not fitted, frozen"),
        (["outer"], "pca, not fitted, trained by the outer loop"),
        (["outer", "inner"], "pca, not fitted, trained by the outer loop, adapted by the inner loop"),
        (["inner"], "pca, not fitted, adapted by the inner loop alone"),
    ],
)
def test_features_are_said_with_what_moves_them(loops, said):
    assert wording.features({"name": "pca", "fitted": False, "moved_by": loops}) == said
