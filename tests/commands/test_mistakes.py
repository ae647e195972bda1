"""What users get wrong: two or three plain lines, exit code 2, no torch needed to find out, nothing left behind."""

import os
import re
import shutil
from pathlib import Path

import pytest

CASES = {
    "a misspelt key": (["trainer.stepz=3"], 'unknown key trainer.stepz\ndid you mean "steps"?'),
    "a misspelt group": (["paradgm=maml"], 'unknown key paradgm\ndid you mean "paradigm"?'),
    "a misspelt option": (["paradigm=mamll"], 'paradigm=mamll: no such option\ndid you mean "maml"?'),
    "an option far from all": (
        ["backbone=xyz"],
        "backbone=xyz: no such option\nknown: bert, cnn, cnn64, conv4, conv4_gnn, conv4_relation, conv4_stride, "
        "hf_text, huggingface, minilm, mlp, mlp128, mlp40, pixels, resnet12, resnet18, resnet50, rnn, rnn64, timm, "
        "torchvision",
    ),
    "a misspelt experiment": (
        ["experiment=omniglot/mamll_5w1s"],
        'experiment=omniglot/mamll_5w1s: no such option\ndid you mean "omniglot/maml_5w1s"?',
    ),
    "a folder of experiments": (["experiment=omniglot"], "experiment=omniglot: no such option\n"),
    "an experiment as a group": (["experiment/omniglot=maml_5w1s"], "no config group experiment/omniglot\n"),
    "a key of nowhere": (["+new=1"], "unknown key new=1\n"),
    "a key of another paradigm": (
        ["paradigm=protonet", "paradigm.inner.lr=1"],
        "unknown key paradigm.inner: paradigm protonet has none\nit is one of maml, ",
    ),
    "a rate of what has none": (
        ["optimizer=metagrad", "optimizer.lr=1"],
        "unknown key optimizer.lr: metagrad has none, by design\n"
        "it plays many rates side by side; what there is to tune is optimizer.radius",
    ),
    "a schedule of what has none, in pretraining": (
        [
            "pretrain=supervised",
            "optimizer@pretrain.optimizer=metagrad",
            "pretrain.optimizer.schedule=linear",
        ],
        "unknown key pretrain.optimizer.schedule: metagrad has none, by design\n"
        "it plays many rates side by side; what there is to tune is pretrain.optimizer.radius",
    ),
    "a backbone for texts": (
        ["backbone=minilm"],
        "backbone=minilm: takes no image, which is what dataset glyphs",
    ),
    "an empty list": (
        ["backbone=cnn", "backbone.widths=[]"],
        "backbone.widths=[]: list should have at least 1 item, and has 0\n",
    ),
    "a word for a number": (["trainer.steps=many"], "trainer.steps=many: input should be a valid integer"),
    "a number out of range": (
        ["trainer.steps=0"],
        "trainer.steps=0: input should be greater than or equal to 1",
    ),
    "a word that is no choice": (
        ["paradigm.order=third"],
        "paradigm.order=third: input should be 'second' or 'first'",
    ),
    "a number for a group": (
        ["trainer=3"],
        "trainer=3: a config group was given a number or null\nit takes the name of an option",
    ),
    "nothing for a group": (
        ["seed=1", "backbone=null"],
        "backbone=null: a config group was given a number or null\n",
    ),
    "an option added twice": (["+trainer=long"], "+trainer: an option is chosen already\nleave the + out"),
    "a key taken away": (["~trainer.steps"], "trainer.steps is missing\n"),
    "no equals sign": (["paradigm"], "cannot read paradigm\nan override is group=option"),
    "an open bracket": (["seed=[1"], "cannot read seed=[1\n"),
    "a home folder without quotes": (["run.root=~/runs"], "cannot read run.root=~/runs\n"),
    "a reference to nowhere": (["seed=${seeds}"], "Interpolation key 'seeds' not found\n"),
    "several values without -m": (
        ["seed=1,2"],
        "seed=1,2: several values\na sweep: metacli sweep seed=1,2;",
    ),
    "dashes": (
        ["--paradigm=maml"],
        "--paradigm=maml: no such flag\nan override has no dashes: paradigm=maml",
    ),
    "dashes and a space": (
        ["--paradigm", "maml"],
        "--paradigm: no such flag\nan override has no dashes: paradigm=maml",
    ),
    "a flag without its value": (["--cfg"], "--cfg: a value must follow\n"),
    "code for a name": (
        ["paradigm.name=os:system"],
        "paradigm.name=os:system: a name goes with its values\n",
    ),
    "a name for an option": (
        ["paradigm.name=protonet"],
        "paradigm.name=protonet: a name goes with its values\nchoose the option: paradigm=protonet",
    ),
    "two options for a group": (["trainer=[short,long]"], "trainer=[short,long]: one option, not several\n"),
    "a group taken away": (["~paradigm"], "~paradigm: no run is without\nchoose another: paradigm=OPTION"),
    "images that no screen shows": (
        ["dataset.size=100000"],
        "dataset.size=100000: input should be less than or equal to 4096\n",
    ),
    "images that no machine holds": (
        ["dataset.size=4096", "dataset.per_class=100000"],
        "dataset=glyphs: takes 1228092 GB, and this machine has ",
    ),
    "no run root": (["run.root="], "run.root=: string should have at least 1 character\n"),
    "folders as Hydra names them": (
        ["hydra.run.dir=x"],
        "hydra.run.dir=x: Hydra makes no folders here\nruns go to run.root=DIR run.name=NAME",
    ),
    "a run to start from that is none": (
        ["run.init_from=nowhere"],
        "run.init_from=HERE/nowhere: not a run\n",
    ),
    "more threads than any machine has": (
        ["device.threads=100000"],
        "device.threads=100000: input should be less than or equal to 1024\n",
    ),
    "a target": (["+paradigm._target_=os.system"], "unknown key paradigm._target_=os.system\n"),
    "a target at the top": (["+_target_=os.system"], "unknown key _target_=os.system\n"),
    "a root that must be given": (["dataset=imagefolder"], "dataset.root must be given\ndataset.root=VALUE"),
    "a root that is not there": (
        ["dataset=imagefolder", "dataset.root=photoz"],
        "dataset.root=HERE/photoz: no such folder\n",
    ),
    "data that may not be downloaded": (
        ["dataset=omniglot", "dataset.root=empty"],
        "dataset.root=HERE/empty: images_background and images_evaluation are not both there\n",
    ),
    "more ways than classes": (
        ["paradigm=protonet", "episode.test.ways=1000"],
        "episode.test.ways=1000: the test split has ",
    ),
    "other ways than the head's": (
        ["paradigm=maml", "episode.test.ways=10"],
        "episode.test.ways=10: the head of maml is built for 5 ways\n",
    ),
    "other ways than the head's in validation": (
        ["paradigm=anil", "episode.val.ways=3"],
        "episode.val.ways=3: the head of anil is built for 5 ways\n",
    ),
    "more items than a class has": (
        ["episode.test.queries=30"],
        "episode.test: 1 shots + 30 queries need 31 items",
    ),
    "a device that does not exist": (
        ["device.name=gpu"],
        "device.name=gpu: should be auto, cpu, mps, cuda or cuda:N",
    ),
    "a name that leads elsewhere": (["run.name=../x"], "run.name=../x: should be a folder name"),
    "an empty word": ([""], "cannot read an empty word\n"),
    "a flag's value that there is not": (
        ["--cfg", "jobs"],
        '--cfg jobs: no such choice\ndid you mean "job"?',
    ),
    "a flag for another's value": (["--cfg", "-m"], "--cfg: a value must follow\n"),
    "more digits than Python reads": ([f"seed={5000 * '9'}"], "cannot compose seed=9999"),
    "a number that no tensor holds": (
        [f"seed={2**63}"],
        "seed=9223372036854775808: input should be less than or equal to",
    ),
    "a reference that is taken for a text": (
        ["run.root='\\${HOME}/runs'"],
        "run.root=${HOME}/runs: holds ${ as a text; without a backslash before it, ",
    ),
    "a home of nobody's, and what Hydra would write": (
        ["run.root='~nobody/runs'", "hydra.output_subdir=.hydra", "hydra/job_logging=default", "seed=-1"],
        "seed=-1: input should be greater than or equal to 0\n",
    ),
    "a backbone that pools more than there is": (
        ["dataset=digits", "backbone=conv4"],
        "backbone=conv4: nothing is left of an image of 8 pixels after all its pooling\n"
        "use a backbone of fewer blocks\n",
    ),
    "a config folder that is not there": (
        ["--config-dir", "/nowhere"],
        "--config-dir: no such folder: /nowhere\n",
    ),
}


def test_a_name_that_no_file_can_have_is_told(checks, tmp_path):
    told = checks("train", f"run.init_from={3000 * 'x'}").message()
    assert told.startswith(f"metacli: {tmp_path}"[:60])
    assert "xxx/manifest.json: File name too long\n" in told


def test_no_value_of_many_lines_or_signs_makes_the_message_so(checks):
    told = checks("train", f"seed='{1000 * 'long '}'").message()
    assert max(map(len, told.splitlines())) < 300
    assert "\x1b" not in checks("train", "seed=\x1b[31m").message()


@pytest.mark.parametrize(("overrides", "said"), CASES.values(), ids=CASES.keys())
def test_train_answers_and_leaves_nothing_behind(overrides, said, checks, tmp_path):
    said = said.replace("HERE", str(tmp_path))
    assert checks("train", *overrides).message().startswith(f"metacli: {said}")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_of_extensions_is_named(checks):
    for command in (["train"], ["list"]):
        told = checks(*command, METACLI_CONFIG_PATH="/nowhere").message()
        assert told.startswith("metacli: METACLI_CONFIG_PATH: no such folder: /nowhere\n")


def test_broken_yaml_of_the_users_own_is_named_with_its_line(checks, tmp_path):
    (tmp_path / "mine" / "paradigm").mkdir(parents=True)
    broken = tmp_path / "mine" / "paradigm" / "broken.yaml"
    broken.write_text("name: maml\norder: [first\n")
    for command in (["train", "paradigm=broken"], ["list"]):
        told = checks(*command, METACLI_CONFIG_PATH=str(tmp_path / "mine")).message()
        assert re.match(rf"metacli: {broken}, line 3: .*expected ',' or ']'", told)
    broken.write_bytes(b"name: \xff\n")
    for command in (["train", "paradigm=broken"], ["list"]):
        told = checks(*command, METACLI_CONFIG_PATH=str(tmp_path / "mine")).message()
        assert told.startswith(f"metacli: {broken}: 'utf-8' codec can't decode")
    broken.write_text("- maml\n")
    told = checks("train", "paradigm=broken", METACLI_CONFIG_PATH=str(tmp_path / "mine")).message()
    assert told.startswith("metacli: paradigm: its option holds no keys and values\nmend the file")


@pytest.mark.parametrize(
    "content",
    [
        b"3",
        b"- maml",
        b"\xff",
        b"when: 2024-13-45",
        b"name: {",
        b"defaults: [mine]",
        b"defaults: 3",
        b"name: [a]",
    ],
)
def test_an_option_file_that_is_none_never_ends_in_a_traceback(content, checks, tmp_path):
    (tmp_path / "mine" / "paradigm").mkdir(parents=True)
    (tmp_path / "mine" / "paradigm" / "mine.yaml").write_bytes(content)
    checks("train", "paradigm=mine", METACLI_CONFIG_PATH=str(tmp_path / "mine")).message()
    listed = checks("list", "paradigm", METACLI_CONFIG_PATH=str(tmp_path / "mine"))
    assert "\n  mine" in listed.out or str(tmp_path / "mine" / "paradigm" / "mine.yaml") in listed.message()


@pytest.fixture
def small(photographs, tmp_path) -> list[str]:
    """Overrides for six classes of five images."""
    photographs(tmp_path / "photos", 6, each=5)
    return ["dataset=imagefolder", "dataset.root=photos", "paradigm=protonet", "dataset.split_sizes=[2,2,2]"]


def test_twenty_ways_from_six_classes_are_refused(small, checks, tmp_path):
    told = checks("train", *small, "episode=20w1s").message()
    assert told.startswith(
        "metacli: episode.train.ways=20: the train split has 2 classes\nask for at most 2 ways"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_class_with_too_few_images_is_named(small, checks, tmp_path):
    for image in sorted((tmp_path / "photos" / "class_03").iterdir())[2:]:
        image.unlink()
    shape = "{ways: 2, shots: 1, queries: 3}"
    told = checks(
        "train", *small, f"episode.train={shape}", "episode.val.ways=2", "episode.test.ways=2"
    ).message()
    assert 'class "class_0' in told
    shapes = [
        f"episode.{split}.{key}" for split in ("train", "val", "test") for key in ("ways=2", "queries=4")
    ]
    told = checks("train", *small, *shapes).message()
    assert 'class "class_03" has too few (2)' in told


def test_classes_that_cannot_be_split_so_are_refused(small, checks):
    told = checks("train", *small, "dataset.split_sizes=[5,5,5]").message()
    assert told.startswith("metacli: dataset.split_sizes=[5.0, 5.0, 5.0]: cannot split 6 classes so\n")
    told = checks("train", *small, "dataset.split_sizes=[2.5,2,1]").message()
    assert told.startswith("metacli: dataset.split_sizes=[2.5, 2.0, 1.0]: cannot split 6 classes so\n")


def test_a_folder_without_images_is_named(checks, tmp_path):
    (tmp_path / "empty").mkdir()
    told = checks("train", "dataset=imagefolder", "dataset.root=empty").message()
    assert told.startswith(f"metacli: dataset.root={tmp_path}/empty: no images in class folders\n")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_run_root_that_is_a_file_is_named_before_anything_is_built(checks, tmp_path):
    (tmp_path / "runs").write_text("mine")
    told = checks("train").message()
    assert told.startswith("metacli: run.root: cannot create runs/")
    assert f"{tmp_path}/runs is a file\nchoose another folder: run.root=DIR" in told
    assert (tmp_path / "runs").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_root_without_permission_is_named(checks, tmp_path):
    tmp_path.chmod(0o500)
    assert "no permission to write" in checks("train").message()
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "mistake", ["seed=0,abc", "episode.test.ways=5,10", "paradigm=maml,protonett", "trainer.stepz=1,2"]
)
def test_a_mistake_in_any_job_of_a_sweep_stops_it_before_the_first(mistake, checks, tmp_path):
    done = checks("train", "paradigm=maml", "-m", mistake)
    done.message()
    assert done.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["eval", "resume", "rerun"])
def test_what_is_no_run_is_said_to_be_none(command, checks, tmp_path):
    assert checks(command).message() == f"metacli: {command}: which run?\nmetacli {command} runs/NAME/ID\n"
    assert checks(command, "paradigm=maml").message().startswith(f"metacli: {command}: which run?")
    assert checks(command, "nowhere").message().startswith("metacli: nowhere: not a run\n")
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_image_is_named_and_nothing_is_written(runs, settings, photos, tmp_path):
    broken = _with_a_broken_image(photos, tmp_path)
    told = runs("train", *settings, f"dataset.root={broken}").message()
    assert told.startswith("metacli: cannot read the image class_04/03.png: ")
    assert "dataset.on_error=skip" in told
    assert not (tmp_path / "runs").exists()


def test_unreadable_images_are_skipped_and_counted_where_that_is_asked_for(runs, settings, photos, tmp_path):
    broken = _with_a_broken_image(photos, tmp_path)
    done = runs(
        "train", *settings, f"dataset.root={broken}", "dataset.on_error=skip", "trainer.steps=1"
    ).succeeded()
    assert "1 of 120 images cannot be read and are left out: class_04/03.png" in done.out


def test_more_memory_than_there_is_ends_in_plain_lines(runs, settings):
    told = runs("train", *settings, "backbone.width=1000000000000").message()
    assert told.startswith("metacli: out of memory: ")
    assert "backbone.width" in told.splitlines()[1]


def test_a_split_that_is_empty_is_no_hindrance_where_it_is_not_read(runs, photographs, finished, tmp_path):
    photographs(tmp_path / "photos" / "test", 5)
    copy = shutil.copytree(finished, tmp_path / "saved")
    runs("eval", str(copy), "dataset.root=photos", "dataset.split=folders").succeeded()
    told = runs("rerun", str(copy), "dataset.root=photos", "dataset.split=folders").message()
    assert told.startswith("metacli: episode.train.ways=5: the train split has 0 classes\ndataset.split and ")


def test_cuda_asked_for_without_one_is_refused(runs, settings, tmp_path):
    told = runs("train", *settings, "device=cuda", CUDA_VISIBLE_DEVICES="").message()
    assert told.startswith("metacli: device.name=cuda: not available here\nuse one of: ")
    assert not (tmp_path / "runs").exists()


def _with_a_broken_image(photos: Path, folder: Path) -> Path:
    """The photographs by links, but one of them cut short."""
    copy = folder / "photos"
    for image in photos.rglob("*.png"):
        place = copy / image.relative_to(photos)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(image)
    broken = copy / "class_04" / "03.png"
    content = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(content[: len(content) // 2])
    return copy
