"""metacli compare on runs that were really trained and evaluated."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trained(forks, finished, tmp_path_factory):
    """runs/: maml (transductive) and its evaluation on validation, protonet with two seeds, pixels."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "runs" / "maml-glyphs").mkdir(parents=True)
    shutil.copytree(finished, folder / "runs" / "maml-glyphs" / finished.name)
    for overrides in (
        ["paradigm=protonet", "run.name=protonet-glyphs", "trainer.steps=4"],
        ["paradigm=protonet", "run.name=protonet-glyphs", "trainer.steps=4", "seed=1"],
        ["paradigm=nearest_centroid", "run.name=pixels"],
    ):
        forks.start("rerun", str(finished), *overrides, folder=folder).wait().succeeded()
    run = f"runs/maml-glyphs/{finished.name}"
    forks.start("eval", run, "report.split=val", folder=folder).wait().succeeded()
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return tmp_path


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def split_of(run: Path) -> str:
    return json.loads((run / "report" / "report.json").read_text())["protocol"]["split"]


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "compare.csv").read_text("utf-8").splitlines()))


def test_the_runs_below_a_folder_are_ranked_without_torch(checks, trained, tmp_path):
    done = checks("compare", "runs", "--out", str(tmp_path / "out"), folder=trained).succeeded()
    rows = table(tmp_path / "out")
    assert [row["paradigm"] for row in rows if row["standing"] == "transductive"] == ["maml"]
    inductive = [float(row["mean"]) for row in rows if row["standing"] == "inductive"]
    assert inductive == sorted(inductive, reverse=True)
    assert len(inductive) == 3
    for row in rows:
        report = json.loads((trained / row["folders"] / "report" / "report.json").read_text())
        accuracy = report["metrics"]["accuracy"]
        assert (float(row["mean"]), float(row["ci95"])) == (accuracy["mean"], accuracy["ci95"])
        assert f"{100 * accuracy['mean']:.2f} ± {100 * accuracy['ci95']:.2f} %" in done.out
    assert "NOT RANKED with the others: row 4, transductive" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines() if "/" not in line)
    assert done.out.endswith(f"written: {tmp_path}/out/compare.html\n")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"compare.html", "compare.md", "compare.csv", "pairs.csv"}


def test_seeds_become_one_row(checks, trained, tmp_path):
    checks("compare", "runs", "--over-seeds", "--out", str(tmp_path), folder=trained).succeeded()
    (row,) = [row for row in table(tmp_path) if row["paradigm"] == "protonet"]
    assert row["seeds"] in ("0 1", "1 0")
    assert len(shlex.split(row["folders"])) == 2


def test_evaluations_are_taken_where_they_are_asked_for_or_named(checks, trained, finished):
    run = f"runs/maml-glyphs/{finished.name}"
    assert "val split" not in checks("compare", run, folder=trained).succeeded().out
    assert "val split" in checks("compare", "runs", "--evaluations", folder=trained).succeeded().out
    found = only(trained / run / "evaluations")
    for named in (found.relative_to(trained), found.parent, found):
        said = checks("compare", str(named), folder=trained).succeeded().out
        assert "OPTIMISTIC" in said
        assert "test split:" not in said


def test_the_command_that_is_given_makes_runs_comparable(checks, runs, folder, finished):
    run = f"runs/maml-glyphs/{finished.name}"
    runs("eval", run, "episode.test.shots=2", folder=folder).succeeded()
    (evaluation,) = [path for path in (folder / run / "evaluations").iterdir() if split_of(path) == "test"]
    shutil.move(evaluation.parent.parent, folder / "elsewhere")
    asked = folder / "elsewhere" / "evaluations" / evaluation.name
    others = "runs/protonet-glyphs"
    apart = checks("compare", others, str(asked), folder=folder).succeeded().out
    assert "NOT COMPARABLE with set 1: episode.shots 2, not 1." in apart
    (command,) = re.findall(r"^  metacli (eval .*shots.*)$", apart, re.M)
    assert command == f"eval {folder}/elsewhere episode.test.shots=1"
    runs(*shlex.split(command), folder=folder).succeeded()
    joined = checks("compare", others, "elsewhere", "--evaluations", folder=folder).succeeded().out
    assert re.search(r"set 1 of 3: .* 1-shot", joined)


def test_where_no_two_runs_can_be_ranked_the_exit_code_says_so(checks, trained):
    done = checks("compare", "runs/maml-glyphs", "runs/pixels", folder=trained)
    assert (done.code, done.err) == (1, "")
    assert checks("compare", "runs/maml-glyphs", "runs/pixels", "--across-bn", folder=trained).code == 0
    assert checks("compare", "runs/maml-glyphs", folder=trained).code == 0


def test_unfinished_and_damaged_runs_are_left_out_by_name(checks, folder, finished):
    run = folder / "runs" / "maml-glyphs" / finished.name
    (run / "report" / "episodes.csv").write_text("episode,accuracy\n0,1.0\n")
    unfinished = only(folder / "runs" / "pixels")
    shutil.rmtree(unfinished / "report")
    (folder / "runs" / "no run").mkdir()
    done = checks("compare", "runs", folder=folder).succeeded()
    path = f"runs/maml-glyphs/{finished.name}"
    assert (
        f"left out: {path}/report/episodes.csv: truncated or altered: its checksum does not match\n"
        f"  restore the file, or have a new report: metacli eval {path}\n"
        f"left out: runs/pixels/{unfinished.name}: not finished\n"
        f"  it has no report yet: metacli resume runs/pixels/{unfinished.name}\n"
    ) in done.out


def test_such_a_run_named_itself_is_an_error(checks, folder, finished):
    path = f"runs/maml-glyphs/{finished.name}"
    report = folder / path / "report" / "report.json"
    report.write_bytes(report.read_bytes()[:100])
    told = checks("compare", path, "runs/pixels", folder=folder).message()
    assert told.startswith(f"metacli: {path}/report/report.json: truncated or altered: it is no JSON\n")
    assert (
        "no finished run in runs/maml-glyphs: "
        in checks("compare", "runs/maml-glyphs", folder=folder).message()
    )


def test_a_run_is_compared_once_however_often_it_is_named(checks, trained, finished, tmp_path):
    path = trained / "runs" / "maml-glyphs" / finished.name
    named = ["runs/maml-glyphs", str(path), str(path.relative_to(trained))]
    checks("compare", *named, "--out", str(tmp_path), folder=trained).succeeded()
    assert len(table(tmp_path)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "compare: the following arguments are required: RUN|DIR"),
        (["nowhere"], "nowhere: no such folder"),
        (["."], ".: no runs in it"),
        ([".", "--frob"], "compare: unrecognized arguments: --frob"),
        ([".", "--out"], "compare: argument --out: expected one argument"),
    ],
)
def test_mistakes_are_told_plainly(checks, arguments, said):
    assert checks("compare", *arguments).message().startswith(f"metacli: {said}\n")


def test_an_output_that_cannot_be_written_is_told(checks, trained, tmp_path):
    (tmp_path / "taken").write_text("a file")
    told = checks("compare", "runs", "--out", str(tmp_path / "taken"), folder=trained).message()
    assert told.startswith(f"metacli: cannot write {tmp_path}/taken/compare.csv")
