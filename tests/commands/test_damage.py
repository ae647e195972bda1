"""A run folder that is not as it was written: said clearly, exit code 2, and nothing else is touched."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from metacli.cli import run as metacli
from metacli.rundir import FORMAT

DAMAGE = {
    "cut short": lambda content: content[: len(content) * 2 // 3],
    "empty": lambda content: b"",
    "one bit flipped": lambda content: (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    ),
}


@pytest.fixture
def copy(finished, tmp_path):
    """The run, as if it had been stopped before its report."""
    copy = shutil.copytree(finished, tmp_path / "saved")
    shutil.rmtree(copy / "report")
    return copy


def contents(run) -> dict:
    return {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def damage(copy, name, how) -> dict:
    path = copy / name
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    return contents(copy)


TEXTS = ["config.yaml", "overrides.yaml", "manifest.json"]
CASES = [(command, name, "one bit flipped") for command in ("eval", "resume", "rerun") for name in TEXTS]
CASES += [("resume", name, how) for name in TEXTS for how in ("cut short", "empty")]


@pytest.mark.parametrize(("command", "name", "how"), CASES)
def test_a_damaged_text_is_named_before_torch_is_needed(command, name, how, checks, copy, tmp_path):
    before = damage(copy, name, how)
    assert checks(command, str(copy)).message().startswith(f"metacli: {copy}/{name}: ")
    assert contents(copy) == before
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_best_weights_are_not_evaluated(how, runs, copy):
    before = damage(copy, "checkpoints/best.safetensors", how)
    told = runs("eval", str(copy)).message()
    assert told.startswith(f"metacli: {copy}/checkpoints/best.safetensors: truncated or altered\n")
    assert contents(copy) == before


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_state_is_not_resumed(how, runs, copy):
    damage(copy, "checkpoints/last.pt", how)
    before = contents(copy)
    told = runs("resume", str(copy)).message()
    assert told.startswith(f"metacli: {copy}/checkpoints/last.pt: truncated or altered\n")
    after = contents(copy)
    assert {path for path in after if after[path] != before.get(path)} <= {copy.relative_to(copy) / "log.txt"}


def test_damaged_best_weights_do_not_end_in_a_report(runs, copy):
    damage(copy, "checkpoints/best.safetensors", "one bit flipped")
    told = runs("resume", str(copy)).message()
    assert told.startswith(f"metacli: {copy}/checkpoints/best.safetensors: truncated or altered\n")
    assert not (copy / "report").exists()


def test_missing_best_weights_are_named(runs, copy):
    (copy / "checkpoints" / "best.safetensors").unlink()
    told = runs("eval", str(copy)).message()
    assert told.startswith(f"metacli: {copy}/checkpoints/best.safetensors: no such file\n")


@pytest.mark.parametrize("command", ["eval", "resume", "rerun"])
def test_a_run_of_another_format_is_refused_with_both_numbers(command, checks, copy):
    path = copy / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1}))
    told = checks(command, str(copy)).message()
    assert f"{copy}: written as run format {FORMAT + 1}, this metacli reads format {FORMAT}\n" in told


def test_a_config_that_was_edited_by_hand_is_refused_with_the_way_out(checks, copy):
    path = copy / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 1", 1))
    told = checks("resume", str(copy)).message()
    assert "config.yaml: it was changed after the run was made; for other settings: metacli rerun" in told


def test_weights_to_start_from_that_are_damaged_or_of_another_network_are_refused(
    runs, settings, copy, tmp_path
):
    start = f"run.init_from={copy}"
    told = runs("train", *settings, "backbone.width=4", start).message()
    assert told.startswith(f"metacli: run.init_from={copy}: its backbone is another one\n")
    damage(copy, "checkpoints/best.safetensors", "cut short")
    told = runs("train", *settings, start).message()
    assert told.startswith(f"metacli: {copy}/checkpoints/best.safetensors: truncated or altered\n")
    assert "not a run" in runs("train", *settings, "run.init_from=nowhere").message()
    assert not (tmp_path / "runs").exists()


READING = (("show",), ("show", "--report"), ("runs",), ("compare",), ("resume",))


def test_no_bit_of_a_finished_run_changes_what_is_said_of_it(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(finished, "run"))
    random = Random(0)

    def say(command: str, *flags: str) -> str:
        metacli([command, str(run), *flags])
        out, err = capsys.readouterr()
        return re.sub(r"\d+ (s|min)( ago)?\b| +", " ", err or out)  # ages change, and the widths of columns

    said = {command: say(*command) for command in READING}
    assert all("accuracy" in said[command] for command in READING[:-1])
    for path in sorted(path.relative_to(run) for path in run.rglob("*") if path.is_file()):
        content = (run / path).read_bytes()
        for damaged in damages(content, random):
            (run / path).write_bytes(damaged)
            for command in READING:
                told = say(*command)
                if path.name == "metrics.jsonl":  # of which only the last step is told
                    told = re.sub(r"\d+/40", "40/40", told)
                assert told == said[command] or f"{path.name}:" in told
        (run / path).write_bytes(content)


def test_a_rerun_and_an_evaluation_need_no_file_that_they_do_not_read(runs, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "saved")
    for path in copy.rglob("*"):
        if path.is_file() and path.name not in (*TEXTS, "best.safetensors"):
            path.write_bytes(path.read_bytes()[1::2])
    (copy / "checkpoints" / "last.pt").unlink()
    result = f"result {json.loads((copy / 'manifest.json').read_text())['result_hash']}"
    runs("eval", str(copy)).succeeded()
    (evaluation,) = (copy / "evaluations").glob("*/manifest.json")
    assert f"result {json.loads(evaluation.read_text())['result_hash']}" == result
    (copy / "checkpoints" / "best.safetensors").unlink()
    assert runs("rerun", str(copy)).succeeded().out.splitlines()[-1] == f"identical: {result}"


def damages(content: bytes, random: Random) -> Iterator[bytes]:
    """Cut short and with one bit flipped, at several places each."""
    yield b""
    for _ in range(2):
        yield content[: random.randrange(len(content) or 1)]
    for _ in range(4 if content else 0):
        altered = bytearray(content)
        altered[random.randrange(len(content))] ^= 1 << random.randrange(8)
        yield bytes(altered)
