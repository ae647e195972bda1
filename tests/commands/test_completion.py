"""metacli completion: the words themselves, and what bash and zsh make of them."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metacli.cli import COMMANDS

BIN = Path(sys.executable).parent  # where metacli is
SHELLS = [
    pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not here"))
    for shell in ("bash", "zsh")
]


@pytest.fixture
def answer(checks):
    """What is offered after a line, with the word begun there."""
    return lambda line: checks("completion", "answer", line).succeeded().out.splitlines()


@pytest.fixture
def runs_folder(finished, tmp_path):
    """runs/one/finished and runs/one/begun."""
    shutil.copytree(finished, tmp_path / "runs" / "one" / "finished")
    shutil.copytree(finished, tmp_path / "runs" / "one" / "begun", ignore=shutil.ignore_patterns("report"))
    return tmp_path


def test_commands_are_completed(answer):
    assert answer("metacli ") == sorted(f"{name} " for name in COMMANDS)
    assert answer("metacli re") == sorted(f"{name} " for name in COMMANDS if name.startswith("re"))
    assert answer("metacli nothing ") == answer("metacli doctor ") == []


def test_overrides_are_completed(answer):
    assert answer("metacli train paradigm=proton") == ["paradigm=protonet "]
    assert answer("metacli train seed=1  paradigm=protonet trainer.log") == ["trainer.log_every="]
    assert answer("metacli list trai") == ["trainer "]
    assert answer("metacli completion ") == ["bash ", "zsh "]


def test_runs_are_completed_folder_by_folder(answer, runs_folder):
    assert answer("metacli show ") == ["runs/"]
    assert answer("metacli show runs/") == ["runs/one/"]
    assert answer("metacli show runs/one/") == ["runs/one/begun ", "runs/one/finished "]
    assert answer("metacli show runs/one/f") == ["runs/one/finished "]
    assert answer(f"metacli show {runs_folder}/runs/one/f") == [f"{runs_folder}/runs/one/finished "]
    assert answer("metacli show runs/one/finished ") == ["--report "]
    assert answer("metacli sweep --resume runs/") == ["runs/one/"]
    assert answer("metacli resume runs/one/") == ["runs/one/begun "]


def test_after_a_run_its_own_keys_are_completed(answer, runs_folder):
    assert answer("metacli eval runs/one/finished dataset.mo") == ["dataset.mode="]
    assert answer("metacli train dataset.mo") == []


def test_filters_of_runs_are_completed(answer, runs_folder):
    assert answer("metacli runs st") == ["status="]
    assert answer("metacli runs runs status=f") == ["status=failed ", "status=finished "]
    assert "runs/" in answer("metacli runs ru")


def test_it_answers_soon(tmp_path):
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "metacli.cli", "completion", "answer", "metacli train paradigm."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert b"paradigm.order=" in done.stdout
    assert after.ru_utime - before.ru_utime < 1


@pytest.mark.parametrize("arguments", [[], ["fish"], ["bash", "zsh"]])
def test_another_shell_is_a_mistake(arguments, checks):
    assert (
        checks("completion", *arguments).message().startswith("metacli: completion: which shell? bash, zsh\n")
    )


@pytest.mark.parametrize(
    ("line", "word", "reply"),
    [
        ("metacli tr", "tr", ["train "]),
        ("metacli train paradigm=proton", "proton", ["protonet "]),  # bash begins a word at "="
        ("metacli train 'paradigm=proton", "paradigm=proton", []),
        ("metacli train paradigm=maml,proton", "maml,proton", ["maml,protonet "]),
        ("metacli train paradigm.inn", "paradigm.inn", ["paradigm.inner."]),
        (
            "metacli train experiment=omniglot/protonet_5w1",
            "omniglot/protonet_5w1",
            ["omniglot/protonet_5w1s "],
        ),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_is_given_the_rest_of_its_own_word(line, word, reply, tmp_path):
    script = (
        'eval "$(metacli completion bash)"; COMP_LINE="$1"; COMP_POINT=${#1}; _metacli metacli "$2" ""; '
        '((${#COMPREPLY[@]})) && printf "%s|" "${COMPREPLY[@]}"; true'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", line, word],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.split("|")[:-1] == reply


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_at_tab(shell, tmp_path):
    quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"]}[shell]
    main, other = pty.openpty()
    with subprocess.Popen(
        [shell, *quiet, "-i"],
        stdin=other,
        stdout=other,
        stderr=other,
        cwd=tmp_path,
        env=environment() | {"TERM": "dumb", "PS1": "$ ", "HOME": str(tmp_path)},
        start_new_session=True,
    ) as process:
        os.close(other)
        try:
            os.write(main, f'eval "$(metacli completion {shell})"; echo rea""dy\n'.encode())
            shown(main, "ready")
            os.write(main, b"echo metacli; metacli compl\tba\t >there\n")
            shown(main, "ba")
            until = time.monotonic() + 30
            while not (tmp_path / "there").exists() or not (tmp_path / "there").read_text():
                assert time.monotonic() < until
                time.sleep(0.02)
        finally:
            process.kill()
            os.close(main)
    assert "complete -o nospace" in (tmp_path / "there").read_text()


def shown(terminal: int, text: str) -> None:
    """Wait for it."""
    seen = b""
    until = time.monotonic() + 30
    while text.encode() not in seen:
        assert time.monotonic() < until, seen
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 10_000)


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
