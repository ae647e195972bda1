"""A network trained on a whole split by epochs, and a report on every item of another, each once, with all classes."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from metacli import api, experiment
from metacli.config.compatibility import check
from metacli.config.compose import composed, values_of
from metacli.config.construct import construct
from metacli.config.validate import validate
from metacli.console import Console
from metacli.errors import UserError
from metacli.weights import load_into


@pytest.fixture(autouse=True)
def switches(monkeypatch, tmp_path):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(experiment, "prepare", lambda device, threads: None)


def config_of(*overrides):
    learning = ["optimizer@pretrain.optimizer=adam", "pretrain.optimizer.lr=0.01", "pretrain.batch=16"]
    few = ["device={name: cpu, threads: 1}", "dataset.split_sizes=[0.5,0.25,0.25]", "dataset.split_by=item"]
    return validate(values_of(composed(["paradigm=classifier", *overrides, *few, *learning])[0]))


def images(photos, *overrides):
    small = ["dataset=imagefolder", f"dataset.root={photos}", "dataset.size=10", "dataset.mode=gray"]
    return config_of(*small, "backbone=mlp", "backbone.widths=[32]", "pretrain.epochs=8", *overrides)


def texts(sentences, encoder_folder):
    encoder = ["backbone=hf_text", f"backbone.model={encoder_folder}", "backbone.weights=none"]
    return config_of(
        "dataset=text", f"dataset.root={sentences}", *encoder, "backbone.max_length=30", "pretrain.epochs=5"
    )


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_every_item_of_the_test_split_is_asked_once_with_all_classes(
    kind, photos, sentences, encoder_folder, tmp_path
):
    config = (
        images(photos, "pretrain=supervised_cosine") if kind == "images" else texts(sentences, encoder_folder)
    )
    assert check(config, construct("dataset", config.dataset).describe()) == []
    run = api.train(config, tmp_path / "runs")
    report = json.loads((run.report / "report.json").read_text())
    rows = list(csv.DictReader((run.report / "predictions.csv").read_text().splitlines()))
    built = experiment.assemble(config)
    table = built.data.table
    assert sorted(int(row["row"]) for row in rows) == table.rows("test").tolist()
    assert all(row["true"] == table.classes[table.labels[int(row["row"])]] for row in rows)
    support = {entry["class"]: entry["support"] for entry in report["per_class"]}
    assert support == Counter(row["true"] for row in rows) == dict.fromkeys(table.classes, 2)
    right = np.array([row["correct"] == "1" for row in rows])
    accuracy = report["metrics"]["accuracy"]
    assert accuracy["n"] == 30
    assert accuracy["mean"] == pytest.approx(right.mean())
    assert accuracy["ci95"] == pytest.approx(1.96 * right.std() / 30**0.5)
    assert report["averages"]["micro"]["f1"] == pytest.approx(right.mean())
    assert accuracy["mean"] > 3 / 15  # of 1 in 15 by chance
    text = (run.report / "report.txt").read_text()
    assert f"30 {kind}" in text
    assert "class mean" not in text
    history = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [row["epoch"] for row in history] == list(range(1, config.pretrain.epochs + 1))
    load_into(built.learner, run.best)
    assert built.evaluate("test", Console()).result_hash == run.manifest()["result_hash"]


def test_the_best_epoch_is_that_of_the_accuracy_on_all_of_val(photos, tmp_path):
    config = images(photos)
    run = api.train(config, tmp_path / "runs")
    built = experiment.assemble(config)
    load_into(built.learner, run.best)
    found = built.evaluate("val", Console()).results.accuracy
    rows = [json.loads(line)["val_accuracy"] for line in run.metrics.read_text().splitlines()]
    assert len(found) == 30
    assert found.mean() == pytest.approx(max(rows))


def test_a_class_that_was_not_trained_on_cannot_be_asked(photos):
    with pytest.raises(
        UserError, match=r"has the class class_\d\d, which train lacks\n.*dataset.split_by=item"
    ):
        experiment.assemble(
            validate(
                images(photos).plain()
                | {"dataset": images(photos).plain()["dataset"] | {"split_by": "class"}}
            )
        )


def test_top_folders_may_share_classes_and_give_each_its_own_images(photographs, tmp_path):
    for place, each in (("train", 4), ("val", 2), ("test", 3)):
        photographs(tmp_path / "photos" / place, 3, each)
    data = construct("dataset", images(tmp_path / "photos", "dataset.split=folders").dataset)
    table, described = data.build(), data.describe()
    assert described.splits["test"] == {f"class_{c:02d}": 3 for c in range(3)}
    assert [len(table.rows(split)) for split in ("train", "val", "test")] == [12, 6, 9]
    assert all(table.items[row].startswith("val/") for row in table.rows("val"))
    listed = construct("dataset", images(tmp_path / "photos", f"dataset.split={tmp_path}").dataset)
    with pytest.raises(UserError, match="a list of classes cannot split the images of a class"):
        listed.describe()
