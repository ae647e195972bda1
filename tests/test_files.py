"""Files are whole or absent, and what a killed process had begun is no file."""

import errno
import os
import subprocess
import sys
from random import Random

import numpy as np
import pytest

from metacli.data.table import cached
from metacli.errors import UserError
from metacli.files import cache_folder, last_lines, remove_partial, user_path, write_atomic


@pytest.fixture
def full(monkeypatch):
    """A disk that has no room for the last byte of any file."""

    def no_room(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("metacli.files.os.fsync", no_room)


def test_where_there_is_no_room_the_old_file_stays_and_no_other(tmp_path, full):
    (tmp_path / "last.pt").write_bytes(b"old")
    with pytest.raises(UserError, match=r"cannot write .*last\.pt: No space left on device"):
        write_atomic(tmp_path / "last.pt", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"last.pt": b"old"}


def test_what_a_killed_process_had_begun_is_removed_and_nothing_else(tmp_path):
    program = (
        "import os, sys, pathlib; from metacli.files import write_atomic\n"
        "os.replace = lambda *paths: os._exit(9)\n"
        "write_atomic(pathlib.Path(sys.argv[1]), b'new')"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "checkpoints" / "last.pt")], check=False)
    (tmp_path / ".lock").touch()
    assert len(list(tmp_path.rglob(".last.pt.*"))) == 1
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


def test_a_table_from_a_damaged_cache_is_built_anew(table, tmp_path):
    built = []

    def build():
        built.append(table)
        return table

    cached("numbers", "key", build, tmp_path)
    (file,) = tmp_path.iterdir()
    content, random = file.read_bytes(), Random(0)
    for number in range(100):
        damaged = bytearray(content)
        damaged[random.randrange(len(content))] ^= 1 << random.randrange(8)
        file.write_bytes(damaged if number % 2 else content[: random.randrange(len(content))])
        assert cached("numbers", "key", build, tmp_path).fingerprint == table.fingerprint
    assert len(built) == 101
    found = cached("numbers", "key", build, tmp_path)
    assert np.array_equal(found.images, table.images)
    assert len(built) == 101


def test_a_home_of_nobody_is_a_plain_name():
    assert str(user_path("~nobody-of-this-name/x")) == "~nobody-of-this-name/x"
    assert str(user_path("~/x")) == f"{os.path.expanduser('~')}/x"


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"METACLI_CACHE": "built"}, "built"),
        ({"METACLI_CACHE": "~/built"}, "/home/me/built"),
        ({"METACLI_CACHE": "", "XDG_CACHE_HOME": "/caches"}, "/caches/metacli"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/metacli"),
        ({"XDG_CACHE_HOME": "no/absolute/path"}, "/home/me/.cache/metacli"),
    ],
)
def test_an_empty_variable_names_no_cache(variables, folder, monkeypatch):
    for name in ("METACLI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == folder


def test_who_has_no_home_is_asked_for_a_cache(monkeypatch):
    for name in ("METACLI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("metacli.files.os.path.expanduser", lambda path: path)
    with pytest.raises(UserError, match="no home folder") as refused:
        cache_folder()
    assert refused.value.hint == "name one: METACLI_CACHE=DIR"


def test_only_the_end_of_a_long_text_is_read(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"\xff" * 100_000 + b"\nlast but one\nlast\n")
    assert last_lines(path, 2) == ["last but one", "last"]
    assert last_lines(tmp_path / "none", 2) == []
