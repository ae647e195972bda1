"""eval and rerun: the same again, or with one thing changed and all else as it was saved."""

import json
import re
import shutil

import pytest
import yaml

from metacli.rundir import RunFolder, create


@pytest.fixture
def copy(finished, tmp_path):
    """The finished run, to be changed or added to."""
    return shutil.copytree(finished, tmp_path / "saved")


@pytest.fixture(scope="session")
def protonet(forks, finished, tmp_path_factory):
    """The finished run again, with another paradigm; and what was printed."""
    folder = tmp_path_factory.mktemp("protonet")
    done = forks.start("rerun", str(finished), "paradigm=protonet", folder=folder).wait().succeeded()
    (run,) = (folder / "runs").glob("*/*")
    return run, done.out


def config(run) -> dict:
    return yaml.safe_load((run / "config.yaml").read_text())


def report(run) -> dict:
    return json.loads((run / "report" / "report.json").read_text())


def new_run(folder):
    (run,) = (folder / "runs").glob("*/*")
    return run


def evaluation(run):
    (found,) = (run / "evaluations").iterdir()
    return found


def contents(run) -> dict:
    return {
        path.relative_to(run): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and "evaluations" not in path.parts
    }


def test_a_rerun_is_identical_and_says_so(runs, finished, tmp_path):
    done = runs("rerun", str(finished)).succeeded()
    again = new_run(tmp_path)
    assert done.out.splitlines()[-1] == f"identical: result {report(finished)['result_hash']}"
    for name in (
        "metrics.jsonl",
        "checkpoints/best.safetensors",
        "report/predictions.csv",
        "report/report.csv",
    ):
        assert (again / name).read_bytes() == (finished / name).read_bytes(), name
    assert config(again) == config(finished) | {"device": config(finished)["device"] | {"name": "cpu"}}


def test_what_auto_chose_stays_chosen(forks, runs, finished, settings, tmp_path):
    """For one thread that is all of a meta-batch of four, as the finished run was told; for two it would be half."""
    folder = tmp_path / "auto"
    folder.mkdir()
    forks.start("train", *settings, "trainer.chunk=auto", folder=folder).wait().succeeded()
    run = new_run(folder)
    assert config(run)["trainer"]["chunk"] == "auto"
    assert RunFolder(run).manifest()["chunk"] == 4
    assert RunFolder(run).manifest()["result_hash"] == RunFolder(finished).manifest()["result_hash"]
    for command in ("rerun", "eval"):
        runs(command, str(run), "device.threads=2").succeeded()
    for again in (new_run(tmp_path), evaluation(run)):
        assert RunFolder(again).manifest()["threads"] == 2
        assert RunFolder(again).manifest()["chunk"] == 4
        assert config(again)["trainer"]["chunk"] == 4
    runs("eval", str(run), "trainer.chunk=3").succeeded()
    assert {RunFolder(path).manifest()["chunk"] for path in (run / "evaluations").iterdir()} == {3, 4}


def test_a_rerun_that_differs_exits_with_one_and_says_in_what(runs, copy):
    run = RunFolder(copy)
    older = run.manifest()["versions"] | {"torch": "1.0"}
    run.update_manifest(result_hash="0" * 32, versions=older, threads=1)
    done = runs("rerun", str(copy))
    assert (done.code, done.err) == (1, "")
    said = f"different: result {'0' * 32} -> {report(copy)['result_hash']}\n"
    assert re.search(rf"^{said}(  .*\n)*  versions\.torch: 1\.0 -> \S+$", done.out, re.M)


def test_a_rerun_of_an_unfinished_run_has_nothing_to_compare_with(runs, copy):
    shutil.rmtree(copy / "report")
    facts = RunFolder(copy).manifest()
    RunFolder(copy).update_manifest(**{key: None for key in ("result_hash", "episode_hash") if key in facts})
    assert "was never finished: nothing to compare with" in runs("rerun", str(copy)).succeeded().out


def test_a_rerun_with_another_value_keeps_all_the_others(runs, finished, tmp_path):
    runs("rerun", str(finished), "trainer.steps=4", "paradigm.inner.steps=2").succeeded()
    expected = config(finished)
    expected["trainer"]["steps"] = 4
    expected["paradigm"]["inner"] |= {"steps": 2, "eval_steps": 2}
    expected["device"]["name"] = "cpu"
    assert config(new_run(tmp_path)) == expected


def test_a_rerun_with_another_paradigm_keeps_all_the_others(finished, protonet):
    run, printed = protonet
    before, after = config(finished), config(run)
    for group in ("seed", "dataset", "episode", "backbone", "optimizer", "report"):
        assert after[group] == before[group], group
    assert after["trainer"] == before["trainer"]  # set on the command line, though protonet prefers another
    assert after["paradigm"] == {"name": "protonet", "family": "agnostic", "bn_mode": "running"}
    assert run.parent.name == "protonet-imagefolder"
    assert "identical" not in printed
    assert "different" not in printed
    assert report(run)["protocol"]["episode_hash"] == report(finished)["protocol"]["episode_hash"]


def test_a_rerun_on_other_data_keeps_all_the_others(runs, photographs, finished, tmp_path):
    photographs(tmp_path / "other", 9)
    overrides = ["dataset.root=other", "dataset.split_sizes=[3,3,3]"]
    overrides += [f"episode.{split}.ways=3" for split in ("train", "val", "test")]
    runs("rerun", str(finished), *overrides, "trainer.steps=1").succeeded()
    before, after = config(finished), config(new_run(tmp_path))
    assert after["dataset"] == before["dataset"] | {"root": str(tmp_path / "other"), "split_sizes": [3, 3, 3]}
    assert after["paradigm"] == before["paradigm"]


def test_a_rerun_of_a_rerun_goes_on_from_it(runs, protonet, tmp_path):
    runs("rerun", str(protonet[0]), "paradigm=nearest_centroid", "trainer.chunk=2").succeeded()
    after = config(new_run(tmp_path))
    assert after["backbone"] == {"name": "pixels"}
    assert after["trainer"] == config(protonet[0])["trainer"] | {"chunk": 2}


def test_an_evaluation_without_changes_has_the_result_of_the_run(runs, copy):
    before = contents(copy)
    runs("eval", str(copy)).succeeded()
    assert report(evaluation(copy))["result_hash"] == report(copy)["result_hash"]
    assert report(evaluation(copy))["metrics"] == report(copy)["metrics"]
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("overrides", "shots", "split"),
    [(["episode.test.shots=5"], 5, "test"), (["report.split=val"], 1, "val")],
    ids=["other shots", "other split"],
)
def test_an_evaluation_may_ask_for_other_episodes(overrides, shots, split, runs, copy):
    runs("eval", str(copy), *overrides).succeeded()
    found = report(evaluation(copy))
    assert found["protocol"]["split"] == split
    assert found["protocol"]["episode"][split]["shots"] == shots
    assert found["protocol"]["episode_hash"] != report(copy)["protocol"]["episode_hash"]


def test_an_evaluation_says_which_settings_do_nothing(runs, copy):
    done = runs("eval", str(copy), "trainer.steps=3", "seed=4", "episode.test.count=2").succeeded()
    said = [line for line in done.out.splitlines() if "no effect" in line]
    assert said == [f"{key} has no effect: nothing is trained here" for key in ("trainer.steps", "seed")]
    found = evaluation(copy)
    assert all(line in (found / "log.txt").read_text() for line in said)
    test = config(copy)["episode"]["test"] | {"count": 2}
    assert config(found) == config(copy) | {"episode": config(copy)["episode"] | {"test": test}}


def test_an_evaluation_says_whose_weights_it_used_and_how_to_repeat_it(runs, copy):
    runs("eval", str(copy), "episode.test.shots=2").succeeded()
    found = evaluation(copy)
    assert report(found)["run"]["weights"] == f"of {copy}, trained by maml on imagefolder"
    assert f"metacli eval {copy} episode.test.shots=2" in (found / "report" / "report.html").read_text()
    assert report(copy)["run"]["weights"] == "of this run"


def test_a_saved_run_can_be_used_from_any_folder(runs, photographs, settings, tmp_path):
    photographs(tmp_path / "photos", 15)
    runs("train", *settings, "dataset.root=photos", "trainer.steps=1").succeeded()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = runs("rerun", str(new_run(tmp_path)), folder=elsewhere).succeeded().out
    assert said.splitlines()[-1].startswith("identical: ")


def test_an_evaluation_on_the_validation_split_finds_the_accuracy_that_was_best_in_training(runs, copy):
    runs("eval", str(copy), "report.split=val").succeeded()
    history = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    best = max(row["val_accuracy"] for row in history if "val_accuracy" in row)
    assert report(evaluation(copy))["metrics"]["accuracy"]["mean"] == pytest.approx(best, abs=1e-12)


def test_an_evaluation_may_use_other_data(runs, photographs, copy, tmp_path):
    photographs(tmp_path / "other", 18)
    runs("eval", str(copy), "dataset.root=other", "dataset.split_sizes=[6,6,6]").succeeded()
    assert RunFolder(evaluation(copy)).manifest()["data"]["classes"]["test"] == 6


def test_an_evaluation_may_use_a_data_set_of_another_kind(runs, copy):
    overrides = ["dataset=glyphs", "dataset.size=10", "dataset.per_class=3", "episode.test.count=4"]
    runs("eval", str(copy), *overrides).succeeded()
    assert config(evaluation(copy)) == config(copy) | {
        "dataset": {"name": "glyphs", "size": 10, "per_class": 3, "seed": 0},
        "episode": config(copy)["episode"] | {"test": {"ways": 5, "shots": 1, "queries": 2, "count": 4}},
    }


def test_a_method_without_a_head_may_be_evaluated_with_other_ways(runs, protonet, tmp_path):
    copy = shutil.copytree(protonet[0], tmp_path / "saved")
    runs("eval", str(copy), "episode.test.ways=3").succeeded()
    assert report(evaluation(copy))["protocol"]["episode"]["test"]["ways"] == 3


def test_a_head_of_five_ways_refuses_ten_and_names_five(checks, finished):
    before = contents(finished)
    told = checks("eval", str(finished), "episode.test.ways=10").message()
    assert told.startswith("metacli: episode.test.ways=10: the head of maml is built for 5 ways\nuse 5 ways")
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("paradigm=protonet", "paradigm=protonet: the run was trained with paradigm maml\n"),
        ("backbone=mlp", "backbone=mlp: the run was trained with backbone conv4\n"),
        (
            "paradigm.bn_mode=running",
            "paradigm.bn_mode=running: the weights were trained with batch and have no",
        ),
        (
            "dataset=sinusoid",
            "dataset=sinusoid brings backbone mlp: the run was trained with backbone conv4\n",
        ),
        ("paradigm.name=os:system", "paradigm=os:system: the run was trained with paradigm maml\n"),
        ("paradigm.ordr=first", 'unknown key paradigm.ordr\ndid you mean "order"?'),
        ("+paradigm._target_=os.system", "unknown key paradigm._target_=os.system\n"),
        ("episode.test.shots=many", "episode.test.shots=many: input should be a valid integer"),
        ("trainer.steps=many", "trainer.steps=many: input should be a valid integer"),  # without effect here
        ("seed=0,1", "seed=0,1: several values\n"),
        ("dataset=imagefoldr", 'dataset=imagefoldr: no such option\ndid you mean "imagefolder"?'),
    ],
)
def test_an_evaluation_refuses_what_it_cannot_do(override, said, checks, finished):
    assert checks("eval", str(finished), override).message().startswith(f"metacli: {said}")
    assert not (finished / "evaluations").exists()


def test_a_key_that_came_after_a_run_was_saved_can_be_set(runs, finished, tmp_path):
    saved = RunFolder(finished)
    values, how = saved.config(), saved.sealed("overrides.yaml")
    del values["dataset"]["augment"]
    older = create(tmp_path / "older", values, how, saved.manifest())
    runs("rerun", str(older.path), "dataset.augment.flip=true", "trainer.steps=1").succeeded()
    assert config(new_run(tmp_path))["dataset"]["augment"]["flip"] is True


def test_features_without_running_averages_are_not_measured_by_them(checks, finished, settings, tmp_path):
    measure = ["train", *settings, "paradigm=nearest_centroid", "backbone=conv4_stride", "backbone.width=8"]
    told = checks(*measure, f"run.init_from={finished}").message()
    assert (
        "the weights were trained with batch and have no running averages\nchoose paradigm.bn_mode=sup"
        in told
    )
    assert not (tmp_path / "runs").exists()


def test_weights_of_another_network_are_refused(runs, copy):
    told = runs("eval", str(copy), "backbone.width=16").message()
    assert told.startswith(
        f"metacli: {copy}/checkpoints/best.safetensors: these weights do not fit the network\n"
    )
    assert not (copy / "evaluations").exists()


def test_a_saved_config_that_names_code_is_refused(checks, copy):
    """Even where whoever wrote it also mended the checksums."""
    from metacli.files import digest

    def write(**changes: str) -> None:
        text = yaml.safe_dump(config(copy) | {"paradigm": config(copy)["paradigm"] | changes})
        (copy / "config.yaml").write_text(text)
        run = RunFolder(copy)
        run.update_manifest(files=run.manifest()["files"] | {"config.yaml": digest(text.encode())})

    write(_target_="os.system")
    for command in ("rerun", "eval"):
        assert (
            checks(command, str(copy))
            .message()
            .startswith("metacli: unknown key paradigm._target_=os.system\n")
        )
    write(name="os:system")
    assert "paradigm.name=os:system: no such paradigm" in checks("rerun", str(copy)).message()
    assert not (copy.parent / "runs").exists()


def test_a_run_may_have_an_equals_sign_in_its_folder(checks, copy):
    named = copy.rename(copy.with_name("lr=1"))
    assert checks("resume", str(named)).succeeded().out.startswith(f"{named} is finished")


@pytest.mark.parametrize("command", ["resume", "rerun", "eval"])
def test_an_evaluation_is_no_run(command, checks, runs, copy):
    runs("eval", str(copy), "report.split=val").succeeded()
    found = evaluation(copy)
    assert "on these very episodes" in report(found)["protocol"]["selection"]
    told = checks(command, str(found)).message()
    assert told == f"metacli: {found}: an evaluation, not a run\nmetacli {command} {copy}\n"
