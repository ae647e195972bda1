"""The command itself, in fresh processes: what it prints, how soon, and what it imports for that."""

import os
import resource
import subprocess
import sys

import pytest

from metacli import __version__
from metacli.cli import COMMANDS
from metacli.config.compose import option_files

METACLI = [sys.executable, "-m", "metacli"]


def seconds(command: list[str], folder, times: int) -> float:
    """Of computing, in the fastest of some attempts: what else the machine does hardly counts."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(times))


def imports(arguments: list[str], folder) -> tuple[int, set[str]]:
    """Exit code, and the top-level packages that a fresh process imported."""
    command = [sys.executable, "-X", "importtime", "-m", "metacli.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.returncode, {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_comes_at_once(tmp_path):
    bare = seconds([sys.executable, "-c", "pass"], tmp_path, times=5)
    assert seconds([*METACLI, "--help"], tmp_path, times=5) < bare + 0.1


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"], ["trian"], ["eval", "--help"]], ids=str)
def test_what_needs_nothing_imports_nothing(arguments, tmp_path):
    _, packages = imports(arguments, tmp_path)
    assert "metacli" in packages
    assert not packages & {"hydra", "omegaconf", "pydantic", "yaml", "numpy", "torch"}


@pytest.mark.parametrize("mistake", ["trainer.stepz=3", "trainer.steps=many", "episode.test.ways=1000"])
def test_a_mistake_is_answered_without_torch(mistake, tmp_path):
    code, packages = imports(["train", "paradigm=protonet", mistake], tmp_path)
    assert code == 2
    assert not packages & {"torch", "torchvision", "matplotlib", "sklearn", "PIL"}
    counts_classes = mistake.startswith("episode")  # for which the module of the data set is imported
    assert counts_classes or "numpy" not in packages


@pytest.mark.parametrize("mistake", ["trainer.stepz=3", "episode.test.ways=1000"])
def test_a_mistake_is_answered_soon(mistake, tmp_path):
    """In imports of Hydra, by which machines differ: 0.6 s where one takes 0.12."""
    hydra = seconds([sys.executable, "-c", "import hydra"], tmp_path, times=5)
    assert seconds([*METACLI, "train", "paradigm=protonet", mistake], tmp_path, times=5) < 5 * hydra


def test_help_names_every_command_and_exits_with_zero(checks):
    for arguments in (["--help"], ["-h"], ["help"], []):
        done = checks(*arguments).succeeded()
        assert all(f"\n  {name} " in done.out for name in COMMANDS)
        assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_a_command_tells_its_arguments(name, checks):
    told = checks(name, "--help").succeeded().out
    assert told.startswith(f"metacli {name}")
    assert max(map(len, told.splitlines())) <= 80


def test_the_help_of_a_command_names_its_flags(checks):
    told = checks("compare", "--help").succeeded().out
    assert all(flag in told for flag in ("--over-seeds", "--across-bn", "--evaluations", "--out DIR"))


def test_help_of_train_shows_every_key_and_option(checks):
    done = checks("train", "--help").succeeded()
    assert max(map(len, done.out.splitlines())) <= 80
    for text in (
        f"paradigm: {', '.join(sorted(option_files()['paradigm']))}",
        "eval_steps: ",
        "meta_batch: ",
    ):
        assert text in " ".join(done.out.split())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_behind_the_output_is_told(light, tmp_path):
    told = light.start("list", folder=tmp_path, terminal="/dev/full").wait().message()
    assert (
        told
        == "metacli: No space left on device\ncheck the name, the permissions and the free space of the disk\n"
    )


def test_flags_of_hydra_show_what_was_composed(checks):
    assert "Defaults" in checks("train", "--info").succeeded().out
    assert checks("train", "-c", "job", "seed=3").succeeded().out.startswith("seed: 3\n")


def test_the_version_is_printed(checks):
    assert checks("--version").succeeded().out == f"metacli {__version__}\n"


@pytest.mark.parametrize(("word", "hint"), [("trian", 'did you mean "train"?'), ("banana", "known: ")])
def test_an_unknown_command_is_answered_with_the_known_ones(word, hint, checks):
    assert checks(word).message().startswith(f"metacli: unknown command {word}\n{hint}")


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["train", "--help"]], ids=str)
def test_a_reader_that_goes_away_is_no_error(arguments, tmp_path):
    with subprocess.Popen(
        [*METACLI, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_traceback_is_there_for_those_who_ask_for_it(checks):
    done = checks("train", "seed=abc", METACLI_TRACEBACK="1")
    assert done.err.startswith("Traceback")
    assert done.err.splitlines()[-2:] == [
        "metacli.errors.UserError: seed=abc: input should be a valid integer, unable to parse string as an integer",
        "metacli train --help shows every key",
    ]


def test_list_shows_every_group_and_what_its_options_are(checks):
    listed = checks("list").succeeded().out
    _, _, paradigms = listed.partition("\nparadigm\n")
    assert "  anil " in paradigms
    assert "omniglot/maml_5w1s" in listed
    assert max(map(len, listed.splitlines())) <= 80


def test_list_shows_one_group_by_either_number_and_a_paradigm_with_its_family(checks):
    one, many = checks("list", "paradigm").succeeded().out, checks("list", "paradigms").succeeded().out
    assert one == many
    assert one.startswith("paradigm\n")
    assert "protonet                [agnostic] Prototypical networks" in one
    assert "backbone" not in one.splitlines()


def test_list_of_an_unknown_group_brings_the_right_one_to_mind(checks):
    assert 'no config group paradgm\ndid you mean "paradigm"?' in checks("list", "paradgm").message()
    assert "no config group status\n" in checks("list", "runs", "status").message()
