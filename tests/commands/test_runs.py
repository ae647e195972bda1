"""metacli runs: a line a run, with where it stands; filters by what its saved config says."""

import fcntl
import os
import pty
import shutil
import signal
import struct
import termios
import time

import pytest

from metacli.rundir import create

CREATED = "2026-11-24T00:00:0{}+0000"


@pytest.fixture
def folder(tmp_path):
    """Three runs that were never begun: maml twice, protonet once."""

    def make(second: int, paradigm: str, seed: int, lr: float) -> None:
        config = {
            "seed": seed,
            "dataset": {"name": "imagefolder", "root": str(tmp_path / "photos"), "csv": None},
            "backbone": {"name": "conv4"},
            "optimizer": {"name": "adam", "lr": lr},
            "trainer": {"steps": 600},
            "tracker": {"jsonl": {"file": None}, "wandb": {"mode": "offline"}},
            "paradigm": {"name": paradigm, "moves": {"inner": ["backbone", "head"]}, "tracks": True},
        }
        how = {
            "overrides": [],
            "choices": {
                "backbone": "conv4_stride",
                "paradigm": paradigm,
                "trainer": "short",
                "tracker": "[jsonl,wandb]",
            },
        }
        create(tmp_path / "runs" / paradigm, config, how, {"created": CREATED.format(second)})

    make(1, "maml", 0, 0.001)
    make(2, "protonet", 0, 0.003)
    make(3, "maml", 10, 0.003)
    return tmp_path


def rows(text: str) -> list[list[str]]:
    """Cells of the table, without its headings."""
    heading, *lines = text.splitlines()
    assert " ".join(heading.split()) == "status run paradigm dataset backbone seed steps age result"
    return [line.split() for line in lines]


def seeds_of(text: str) -> list[tuple[str, str]]:
    return [(row[2], row[5]) for row in rows(text)]


def test_each_run_has_a_line_with_its_folder_and_the_newest_is_last(folder, checks):
    listed = rows(checks("runs").succeeded().out)
    assert [row[0] for row in listed] == ["interrupted"] * 3
    assert [row[1].rpartition("/")[0] for row in listed] == ["runs/maml", "runs/protonet", "runs/maml"]
    assert [row[2:6] for row in listed][1] == ["protonet", "imagefolder", "conv4_stride", "0"]
    assert all((folder / row[1] / "manifest.json").exists() for row in listed)


def test_a_folder_below_can_be_named_and_a_run_itself(folder, checks):
    listed = rows(checks("runs", "runs/protonet/").succeeded().out)
    assert [row[2] for row in listed] == ["protonet"]
    assert rows(checks("runs", listed[0][1]).succeeded().out) == listed


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["paradigm=protonet"], [("protonet", "0")]),
        (["paradigm=maml", "seed=0"], [("maml", "0")]),
        (["seed=1,10"], [("maml", "10")]),
        (["optimizer.lr=3e-3"], [("protonet", "0"), ("maml", "10")]),
        (["backbone=conv4_stride", "seed=10"], [("maml", "10")]),
        (["backbone=conv4", "seed=10"], [("maml", "10")]),
        (["trainer=short", "tracker=wandb", "seed=10"], [("maml", "10")]),
        (["paradigm.moves.inner=[backbone, head]", "seed=10"], [("maml", "10")]),
        (["paradigm.tracks=true", "dataset.csv=null", "seed=10"], [("maml", "10")]),
        (["dataset.root=photos", "seed=10"], [("maml", "10")]),
        (["status=interrupted", "seed=10"], [("maml", "10")]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_filters_mean_what_the_same_words_mean_to_train(filters, found, folder, checks):
    assert seeds_of(checks("runs", *filters).succeeded().out) == found


@pytest.mark.parametrize(
    "filters", [["status=finished"], ["seed=2"], ["trainer=long"], ["paradigm.tracks=1"]]
)
def test_that_no_run_is_so_is_said(filters, folder, checks):
    told = checks("runs", *filters).succeeded().out
    assert told == f"runs: none of its 3 runs has {filters[0]}\n"


def test_that_there_are_no_runs_yet_is_no_mistake(tmp_path, checks):
    assert checks("runs").succeeded().out == "no runs in runs\n"
    assert checks("runs", str(tmp_path), "seed=0").succeeded().out == f"no runs in {tmp_path}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["status=done"],
            "status=done: no such status\nknown: finished, running, interrupted, failed, damaged\n",
        ),
        (["trainer.stepz=3"], 'trainer.stepz: no run has such a key\ndid you mean "steps"?\n'),
        (["paradgm=maml"], 'paradgm: no run has such a key\ndid you mean "paradigm"?\n'),
        (["seed.x=maml"], "seed.x: no run has such a key\nknown: none\n"),
        (["ruins"], "ruins: no such folder\n"),
        (["runs", "seed=0", "runs"], "runs: one folder at a time\n"),
        (["--status", "failed"], "--status: no such flag\n"),
    ],
)
def test_a_mistake_is_told(arguments, told, folder, checks):
    assert checks("runs", *arguments).message().startswith(f"metacli: {told}")


def test_a_folder_may_have_an_equals_sign_in_its_name(folder, checks):
    (folder / "runs").rename(folder / "lr=1")
    assert len(rows(checks("runs", "lr=1", "seed=0").succeeded().out)) == 2


@pytest.mark.parametrize(("width", "table"), [(80, False), (200, True)])
def test_on_a_terminal_no_line_is_wider_and_a_run_takes_one_if_it_can(width, table, folder, light):
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    assert light.start("runs", folder=folder, terminal=os.ttyname(other)).wait().code == 0
    lines = os.read(main, 100_000).decode().splitlines()
    os.close(main)
    os.close(other)
    assert max(map(len, lines)) <= width
    if table:
        assert len(rows("\n".join(lines))) == 3
    else:
        assert len(lines) == 3 * 2
        assert lines[-2].startswith("interrupted  runs/maml/")
        assert lines[-1].strip() == "maml on imagefolder, conv4_stride, seed 10"


def test_what_failed_was_killed_runs_and_is_finished_is_told_apart(
    forks, settings, finished, checks, tmp_path
):
    shutil.copytree(finished, tmp_path / "runs" / "done")
    named = [*settings, "run.name=diverged", "paradigm.inner.lr=1e30"]
    assert forks.start("train", *named, folder=tmp_path).wait().code == 2
    process = forks.start("train", *settings, "run.name=long", "trainer.steps=100000", folder=tmp_path)
    try:
        wait_until(lambda: list(tmp_path.glob("runs/long/*/metrics.jsonl")))
        before = {row[1].split("/")[1]: row for row in rows(checks("runs").succeeded().out)}
    finally:
        process.signal(signal.SIGKILL)
        process.wait()
    after = {row[1].split("/")[1]: row for row in rows(checks("runs").succeeded().out)}
    assert {name: row[0] for name, row in before.items()} == {
        "done": "finished",
        "diverged": "failed",
        "long": "running",
    }
    assert after["long"][0] == "interrupted"
    assert before["done"][6] == "40/40"
    assert " ".join(before["done"][9:]).startswith("accuracy ")
    assert " ".join(before["diverged"][9:]) == "the loss became nan at step 1"
    assert int(after["long"][6].partition("/")[0]) >= 7


def test_a_run_that_a_signal_stopped_is_interrupted(forks, settings, checks, tmp_path):
    process = forks.start("train", *settings, "trainer.steps=100000", folder=tmp_path)
    wait_until(lambda: list(tmp_path.glob("runs/*/*/metrics.jsonl")))
    process.signal(signal.SIGINT)
    assert process.wait().code == 130
    assert [row[0] for row in rows(checks("runs").succeeded().out)] == ["interrupted"]


def test_a_run_that_nobody_listened_to_any_more_is_interrupted(forks, settings, checks, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    named = [*settings, "trainer.steps=100000"]
    process = forks.start("train", *named, folder=tmp_path, terminal=str(tmp_path / "pipe"))
    wait_until(lambda: list(tmp_path.glob("runs/*/*/metrics.jsonl")))
    os.close(reader)
    assert process.wait().code == 141
    assert [row[0] for row in rows(checks("runs").succeeded().out)] == ["interrupted"]


def wait_until(happened) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)
