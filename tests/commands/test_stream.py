"""metacli stream: what it leaves, and what it refuses."""

import csv
import json

import pytest

FEW = ["--tasks", "8", "--window", "2", "--change", "rotate"]


def test_a_stream_leaves_its_numbers_a_table_and_a_picture(runs, settings, tmp_path):
    done = runs("stream", *settings, "trainer.steps=3", *FEW, folder=tmp_path).succeeded()
    assert "trainer.steps has no effect: a stream is trained on task by task" in done.out
    assert "cumulative loss" in done.out
    (folder,) = (tmp_path / "runs" / "streams" / "maml-imagefolder").iterdir()
    written = ["config.yaml", "stream.csv", "stream.json", "stream.png"]
    assert sorted(path.name for path in folder.iterdir()) == written
    found = json.loads((folder / "stream.json").read_text())
    assert (found["tasks"], found["after"], found["change"], found["paradigm"]) == (8, 4, "rotate", "maml")
    with (folder / "stream.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8
    assert runs("runs", folder=tmp_path).out == "no runs in runs\n"  # it is none, and in nobody's way


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--change", "inverted"], '--change inverted: no such change\ndid you mean "invert"?'),
        (
            ["--tasks", "many"],
            "stream: argument --tasks: invalid int value: 'many'\nmetacli stream [OVERRIDE",
        ),
        (["--after", "8", "--tasks", "8"], "--after 8: the change comes after one of 8 tasks (--tasks)"),
        (["--tasks", "80"], "--window 50: there are 40 tasks before the change and 40 after it\n"),
        (["--steps", "8"], "--steps: no such flag\n"),
        (["paradigm=nearest_centroid"], "paradigm=nearest_centroid: learns nothing from a stream"),
        (["paradigm=protonet", "pretrain=supervised"], "pretrain=supervised: comes before meta-training"),
        (["dataset=sinusoid"], "dataset=sinusoid: has no images to change\n"),
        (
            ["paradigm=reptile", "episode.train.queries=0"],
            "episode.train.queries=0: each task of a stream asks",
        ),
        (["seed=1,2"], "seed=1,2: "),
    ],
)
def test_what_cannot_be_is_told(arguments, said, checks):
    assert checks("stream", *arguments).message().startswith(f"metacli: {said}")
