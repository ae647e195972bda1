"""metacli doctor: what works here, and a problem with its way out for each thing that is broken."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from metacli.commands import doctor, machine
from metacli.commands.findings import Problem
from metacli.letters import size


@pytest.fixture
def package(tmp_path):
    """Make an installed package of entry points, in a folder for PYTHONPATH."""

    def make(entries: str, module: str = "") -> str:
        folder = tmp_path / "site"
        about = folder / "addition-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: addition\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(entries)
        (folder / "addition.py").write_text(module)
        return str(folder)

    return make


def checked(check) -> tuple[list[str], list[Problem]]:
    found = list(check())
    return [x for x in found if isinstance(x, str)], [x for x in found if isinstance(x, Problem)]


def test_where_nothing_is_broken_it_says_so_and_exits_with_zero(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: None)  # an NVIDIA GPU here need not be one for torch
    monkeypatch.setattr(machine, "ENOUGH", 0)
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))
    assert doctor.run([]) == 0
    out = capsys.readouterr().out
    for text in (f"torch {version('torch')}", "cpu: ", "METACLI_DATA", "dev: ", "second-order gradients"):
        assert text in out
    assert out.endswith("\n\nno problem found\n")
    assert max(map(len, out.splitlines())) <= 80 or str(tmp_path) in max(out.splitlines(), key=len)
    assert list(tmp_path.iterdir()) == []


def test_every_problem_has_its_way_out_and_the_checks_after_it_go_on(runs, tmp_path):
    own = tmp_path / "own" / "trainer"
    own.mkdir(parents=True)
    (own / "cut.yaml").write_text("steps: [")
    (own / "mine.yaml").write_text("# @package _global_\ntrainer: {stepz: 3}\n")
    done = runs("doctor", METACLI_CONFIG_PATH=str(own.parent), METACLI_CASH="x", METACLI_DATA="nowhere")
    assert done.code == 1
    assert done.err == ""
    for problem, way_out in (
        ("METACLI_CASH is set, but nothing reads it", 'did you mean "METACLI_CACHE"?'),
        ("METACLI_DATA=nowhere: no such folder", "mend the variable, or unset it"),
        (f"{own}/mine.yaml: unknown key trainer.stepz=3", 'did you mean "steps"?'),
    ):
        assert f"\n{problem}\n    {way_out}\n" in done.out
    assert re.search(rf"\n{own}/cut\.yaml, line [12]: ", done.out)  # named once; parsers differ in the line
    assert "second-order gradients are right" in done.out


def test_a_folder_of_options_that_is_not_there_is_one_problem(runs):
    done = runs("doctor", METACLI_CONFIG_PATH="nowhere")
    assert done.code == 1
    assert done.out.count("METACLI_CONFIG_PATH: no such folder") == 2  # where it was found, and at the end


def test_additions_are_loaded_and_a_broken_one_is_named(package, monkeypatch):
    entries = (
        "[metacli]\nbackbone.good = addition:GOOD\nbackbone.late = addition:LATE\nparadigm.gone = missing:METHOD\n"
        "[metacli.configs]\nhere = addition:HERE\nnowhere = addition:NOWHERE\n[unrelated]\nx = missing\n"
    )
    module = (
        "from metacli.config.schema import backbone\nfrom metacli.config.registry import Component\nHERE = '/'\n"
        "NOWHERE = '/no/where'\nGOOD = Component('metacli.backbones.mlp:MLP', backbone.MLP)\n"
        "LATE = Component('addition:Absent', backbone.MLP)\n"
    )
    monkeypatch.syspath_prepend(package(entries, module))
    lines, problems = checked(doctor.CHECKS["extensions"])
    lines = [line for line in lines if " of addition: " in line]
    assert lines == ["backbone.good of addition: metacli.backbones.mlp:MLP", "here of addition: /"]
    assert [problem.what.partition(" of addition: ") for problem in problems] == [
        (
            "metacli backbone.late = addition:LATE",
            " of addition: ",
            "AttributeError: module 'addition' has no attribute 'Absent'",
        ),
        (
            "metacli paradigm.gone = missing:METHOD",
            " of addition: ",
            "ModuleNotFoundError: No module named 'missing'",
        ),
        ("metacli.configs nowhere = addition:NOWHERE", " of addition: ", "no such folder: /no/where"),
    ]
    assert all(problem.way_out.startswith("pip install --upgrade addition") for problem in problems)


def test_a_package_that_is_missing_or_too_old_is_named_with_its_command(monkeypatch):
    needs = [
        "torch>=99",
        "no-such-package>=1",
        "numpy>=1",
        "wandb; extra == 'trackers'",
        "rich; extra == 'pretty'",
    ]
    monkeypatch.setattr("metacli.commands.installation.requires", lambda name: needs)
    _, problems = checked(doctor.CHECKS["packages"])
    assert problems == [
        Problem(f"torch {version('torch')}: metacli needs torch>=99", 'pip install "torch>=99"'),
        Problem("no no-such-package: metacli needs no-such-package>=1", 'pip install "no-such-package>=1"'),
    ]


def test_an_extra_that_is_not_there_is_no_problem_but_told_with_its_command(monkeypatch):
    needs = [
        "absent; python_version > '3'",
        "no-such-package; extra == 'trackers'",
        "rich; extra == 'pretty'",
    ]
    monkeypatch.setattr("metacli.commands.installation.requires", lambda name: needs)
    extras = {"Provides-Extra": ["trackers", "pretty"]}
    monkeypatch.setattr("metacli.commands.installation.metadata", lambda name: Metadata(extras))
    assert checked(doctor.CHECKS["extras"]) == (
        ['trackers: no-such-package not installed: pip install "metacli[trackers]"', "pretty: installed"],
        [],
    )


class Metadata(dict):
    get_all = dict.get


def test_a_cache_that_cannot_be_written_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "file"))
    _, problems = checked(machine.cache)
    assert [problem.what for problem in problems] == [f"cannot write to {tmp_path}/file: Not a directory"]
    assert "METACLI_CACHE=DIR" in problems[0].way_out


def test_the_cache_is_measured_and_not_made(monkeypatch, tmp_path):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))
    assert checked(machine.cache)[0][0] == f"{tmp_path}/cache: 0 B in 0 files"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").write_bytes(bytes(1234))
    assert checked(machine.cache)[0][0] == f"{tmp_path}/cache: 1.2 kB in 1 files"


def test_a_disk_that_is_nearly_full_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "ENOUGH", sys.maxsize)
    _, problems = checked(machine.cache)
    assert problems[0].what.startswith("only ")


@pytest.mark.parametrize(("quota", "told"), [("50000", True), ("max", False), ("6400000000", False)])
def test_a_container_that_may_use_fewer_cores_than_it_sees_is_told_of(quota, told, monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    monkeypatch.setattr(machine, "CPU_QUOTA", tmp_path / "cpu.max")
    lines, problems = checked(machine.threads)
    assert any("only 0.5 of them: device.threads=1 is faster" in line for line in lines) == told
    assert not problems


def test_a_gpu_that_torch_cannot_use_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    _, problems = checked(machine.devices)
    assert problems[0].what.startswith("an NVIDIA GPU is here, but torch cannot use it: ")


def test_torch_that_does_not_load_is_one_problem_and_the_other_checks_go_on(tmp_path):
    folder = tmp_path / "torch"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise OSError('libcudart.so: no such file')\n")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "metacli.cli", "doctor"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    whole, _, problems = done.stdout.partition("\n\n")
    assert problems.splitlines()[0] == "OSError: libcudart.so: no such file"
    assert problems.count("libcudart.so") == 1
    assert whole.count("BROKEN: OSError: libcudart.so: no such file") == 3  # devices, threads, numbers
    assert "options in" in whole


def test_arguments_are_a_mistake(checks):
    assert checks("doctor", "now").message() == "metacli: doctor takes no arguments: now\nmetacli doctor\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (10**9, "1.0 GB"), (10**15, "1000.0 TB")],
)
def test_sizes_are_in_units_that_fit(count, text):
    assert size(count) == text
