"""`import metacli` costs nothing; what it offers is found when it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import metacli


def python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_brings_nothing_with_it():
    told = python(
        "import sys; before = set(sys.modules); import metacli; print(*sorted(set(sys.modules) - before))"
    )
    assert told.split() == ["metacli"]


def test_a_mistake_is_told_without_torch():
    program = (
        "import sys, metacli\n"
        "try:\n    metacli.train('trainer.stepz=3')\n"
        "except metacli.UserError as error:\n    print(error, 'torch' in sys.modules)"
    )
    assert python(program) == 'unknown key trainer.stepz\ndid you mean "steps"? False\n'


def test_every_name_is_there_and_listed():
    for name in metacli.__all__:
        assert getattr(metacli, name).__name__ == name
        assert getattr(metacli, name).__doc__
    assert set(metacli.__all__) <= set(dir(metacli))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(metacli.__file__).read_text(encoding="utf-8"))
    (seen,) = (
        node.body for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    assert sorted(alias.name for line in seen for alias in line.names) == sorted(metacli.__all__)
    assert (Path(metacli.__file__).parent / "py.typed").exists()


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="'metacli' has no attribute 'trian'"):
        metacli.trian  # noqa: B018
