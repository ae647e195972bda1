"""A few-shot classifier of texts, from a CSV to its report and to the answers from Python."""

import csv
import json
from pathlib import Path

import pytest

import metacli
from metacli import metrics
from metacli.errors import UserError


@pytest.fixture(scope="module")
def run(sentences, encoder_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METACLI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield metacli.train(
            "dataset=text",
            f"dataset.root={sentences}",
            "dataset.split_sizes=[5,5,5]",
            "backbone=hf_text",
            f"backbone.model={encoder_folder}",
            "backbone.weights=none",
            "backbone.max_length=30",
            "paradigm=protonet",
            "episode.train.queries=2",
            "episode.val={ways: 5, shots: 1, queries: 2, count: 6}",
            "episode.test={ways: 5, shots: 1, queries: 2, count: 12}",
            "trainer={steps: 6, meta_batch: 2, chunk: 2, val_every: 3, log_every: 3}",
            "device.threads=1",
            "device.name=cpu",
            f"run.root={tmp_path_factory.mktemp('runs')}",
        )


def predictions(run) -> list[dict[str, str]]:
    with open(Path(run) / "report" / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_report_shows_the_texts_of_an_episode_with_their_answers(run):
    shown = run.report["sentences"]
    first = [row for row in predictions(run) if row["episode"] == "0"]
    assert {row["text"] for row in shown["queries"]} == {row["item"] for row in first}
    assert len(shown["support"]) == 5
    right = [row["true"] == row["predicted"] for row in shown["queries"]]
    assert right == sorted(right)  # wrong ones first
    wrong = {
        (row["item"], row["true"], row["predicted"]) for row in predictions(run) if row["correct"] == "0"
    }
    assert {(row["text"], row["true"], row["predicted"]) for row in shown["mistakes"]} <= wrong
    page = (Path(run) / "report" / "report.html").read_text(encoding="utf-8")
    assert all(row["text"] in page for row in shown["support"] + shown["queries"])
    assert not (Path(run) / "report" / "support.png").exists()


def test_a_trained_run_answers_single_texts_as_its_report_does(run):
    learner = metacli.load(run)
    shown = run.report["sentences"]
    texts, classes = zip(*((row["text"], row["class"]) for row in shown["support"]), strict=True)
    predictor = learner.adapt(texts, classes)
    for row in shown["queries"]:
        found = predictor(row["text"])
        assert found.labels == [row["predicted"]]
        assert found.confidence[0] == pytest.approx(row["confidence"], abs=2e-4)
    for mistake in ([], ["word1", " "], [1]):
        with pytest.raises(UserError):
            predictor(mistake)
    with pytest.raises(UserError, match="texts: 5 is no text"):
        predictor(5)


def test_items_of_no_class_are_told_apart_by_a_threshold_from_validation(
    tmp_path, encoder_folder, monkeypatch
):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))
    asked = []

    def scope_threshold(inside, outside):
        asked.append((inside.size, outside.size))
        return metrics.scope_threshold(inside, outside)

    monkeypatch.setattr("metacli.outcome.scope_threshold", scope_threshold)
    texts = {c: [f"word{4 * c + n % 4} word{n}" for n in range(8)] for c in range(9)}
    rows = [[text, f"intent {c}"] for c, found in texts.items() for text in found]
    others = [[f"unknown word{n}", "oos"] for n in range(20)]
    content = {"train": rows, "val": [], "test": []} | {f"oos_{p}": others for p in ("train", "val", "test")}
    (tmp_path / "data_full.json").write_text(json.dumps(content))
    found = metacli.train(
        "dataset=clinc150",
        f"dataset.root={tmp_path}",
        "dataset.split_sizes=[3,3,3]",
        "backbone=hf_text",
        f"backbone.model={encoder_folder}",
        "backbone.weights=none",
        "backbone.max_length=30",
        "paradigm=nearest_centroid",
        "episode.val={ways: 3, shots: 1, queries: 4, count: 6}",
        "episode.test={ways: 3, shots: 1, queries: 4, count: 5}",
        "device.name=cpu",
        f"run.root={tmp_path / 'runs'}",
    )
    scope = found.report["out_of_scope"]
    assert (scope["inside"], scope["outside"]) == (60, 60)
    assert asked == [(72, 72)]  # of validation's 6 episodes; the test has 5
    assert 0 <= scope["threshold"] <= 1
    assert "out of scope" in found.text
