"""Command lines that nobody thought of: a config that means itself, or a few plain lines; never a traceback.

FUZZ_EXAMPLES=5000 python -m pytest tests/commands/test_fuzz.py         other examples, and more of them
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from metacli.commands.checked import checked
from metacli.commands.guard import verdict
from metacli.commands.job import Job
from metacli.commands.planned import planned
from metacli.config.compose import option_files
from metacli.config.recompose import recompose

MORE = int(os.environ.get("FUZZ_EXAMPLES", "0"))
LINE = 400  # characters of a message's line

EDGES = """
0 1 -1 5 1.5 1e4 -0.0 1e400 -1e400 nan inf .5 5. 1_000 0x10 007 1e-400 true false null None yes ~ - . .. ??? * & ! @
maml protonet seed glyphs 2024 a:b a=b a-b a/b a//b //a é 字 \u202eabc \udcff 😀 µ² ǅ ﷽ \x1b[31m '' "" '"' "'" '\\' \\
[] {} [1] [1,2] [a,b] {a:1} {a:{b:[1]}} [[]] [{}] {1:2} {null:1} {true:1} [1 1,2 a,b 1,2,3 [1],[2] {a:1},{b:2} [,] {,}
'it"s' 'a\\'b' "\\"" '${seed}' '\\${seed}' \\${seed} "a\\tb" '\\n' 'a,b' '[1' '~/photos' '~nobody/x' ~/photos 'null' '1'
${seed} ${nowhere} ${seed ${} ${.} ${..seed} ${.seed} $seed $${seed} ${seed}${seed} x${run.name}x ${paradigm} ${run} ,
${oc.env:HOME} ${oc.env:NOTHING} ${oc.env:NOTHING,3} ${oc.nothing:1} ${oc.decode:"[1"} ${hydra:job.name} 'ends\\\\' #
${hydra:nothing} ${oc.select:seed,1} ${oc.create:{a:1}} ${trainer.steps} ${now:%Y} ${oc.dict.keys:run} ${hydra.job.num}
choice(1,2) choice() choice(a) range(1,3) range(3) range(1,1) range(1,9,0) interval(0,1) interval(1,0) glob(*) glob(m*)
sort(3,1) sort(choice(2,1)) shuffle(1,2) tag(a,choice(1,2)) int(3.7) int(a) float(1) str(1) bool(1) bool(maybe)
extend_list(1) json_str([1]) choice([1,2],[3]) int(choice(1,2)) range(1,3,shuffle=true) choice(1, choice( nothing(1)
"""
FLAGS = """
-m --multirun -h --help --hydra-help --resolve --info --cfg -c job hydra all -p --package paradigm _global_ -cn nothing
--config-name config --config-name=config --config-dir . --config-dir=nowhere --run -r -sc --shell-completion install
--experimental-rerun --version -- --- -x --cfg=job --info=all --info=config searchpath plugins defaults-tree defaults
"""
OF_HYDRA = """
hydra.mode=MULTIRUN hydra.mode=x hydra.verbose=true hydra.output_subdir=.hydra hydra/job_logging=default
hydra.searchpath=[file://nowhere] hydra.searchpath=nowhere hydra.sweep.dir=x hydra.run.dir=x hydra.launcher.n_jobs=x
hydra/launcher=joblib hydra/launcher=basic hydra/launcher=nothing hydra/sweeper=nothing hydra.sweeper.max_batch_size=1
+hydra.sweeper.params.seed=1,2 hydra/help=default hydra=x hydra.job.chdir=true hydra/output=default hydra.job.num=3
hydra/hydra_logging=default +hydra.nothing=1 ~hydra +hydra.callbacks.x._target_=nowhere.X hydra.job.env_set.A=1
hydra/env=default hydra.job.name=x hydra.runtime.cwd=x hydra.job_logging.version=2
hydra/launcher=[basic,joblib] hydra.sweep.subdir=x
"""


@cache
def keys() -> list[str]:
    """Every key that stands in some YAML, and groups."""
    found = {"seed", *option_files()}
    for group, options in option_files().items():
        for path in options.values():
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            found |= {key for key in dotted(values) if key.partition(".")[0] in option_files()}
            found |= {f"{group}.{key}" for key in dotted(values)}
    return sorted(found)


def dotted(values: Any, above: str = "") -> Iterator[str]:
    for key, value in values.items() if isinstance(values, dict) else ():
        yield f"{above}{key}"
        yield from dotted(value, f"{above}{key}.")


def misspelt(word: str, place: int, letter: str) -> str:
    """A letter too many, or, where that is none, too few."""
    place %= len(word)
    return word[:place] + letter + word[place if letter else place + 1 :]


def choices() -> list[str]:
    return sorted(f"{group}={option}" for group, options in option_files().items() for option in options)


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.builds("{}:{}".format, words("a ways shots queries count lr name steps 1"), inner)
    lists, mappings = (st.lists(each, max_size=4).map(",".join) for each in (inner, pairs))
    return lists.map("[{}]".format) | mappings.map("{{{}}}".format)


def words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


SIGNS = st.sampled_from(["+", "++", "~", "+~", ""])
LETTERS = st.characters(max_codepoint=0x2FFF, exclude_characters="\0/") | st.sampled_from(
    "'\"\\$[]{}(),:=@~+ "
)
TEXTS = st.text(LETTERS, max_size=12)
NUMBERS = st.integers().map(str) | st.floats().map(str) | st.sampled_from([20, 400, 5000]).map("9".__mul__)
VALUES = TEXTS | words(EDGES) | st.recursive(words(EDGES) | NUMBERS, containers, max_leaves=5)
RIGHT = st.deferred(lambda: st.sampled_from(keys()))
KEYS = RIGHT | st.builds(misspelt, RIGHT, st.integers(0, 30), st.sampled_from(["", "x", ".", "é", "-"]))
OVERRIDES = st.one_of(
    st.deferred(lambda: st.sampled_from(choices())),
    st.builds("{}={}".format, KEYS, VALUES),
    st.builds("{}{}={}".format, SIGNS, KEYS, VALUES),
    st.builds("{}{}".format, SIGNS, KEYS),
    st.builds("{}{}@{}={}".format, SIGNS, KEYS, KEYS | TEXTS, VALUES),
    words(OF_HYDRA),
    TEXTS,
)
LINES = st.lists(OVERRIDES, min_size=1, max_size=4) | st.lists(OVERRIDES | words(FLAGS), max_size=4)


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch) -> Path:
    """Where the command is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("METACLI_CONFIG_PATH", raising=False)
    return tmp_path


@settings(
    max_examples=MORE or 50,
    derandomize=not MORE,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(line=LINES)
def test_a_command_line_gives_a_config_that_means_itself_or_plain_lines(line, empty, capsys):
    jobs: Sequence[Job] = ()
    try:
        jobs = planned(line).jobs
    except SystemExit as stop:  # --help and the like
        if stop.code:
            raise
    except Exception as error:
        told = verdict(error)
        if told is None:
            raise
        assert_plain(*told, line)
    for job in jobs:
        assert_means_itself(job)
    assert list(empty.iterdir()) == []


def assert_plain(code: int, told: str, line: list[str]) -> None:
    note(told)
    lines = told.splitlines()
    assert code == 2
    assert 2 <= len(lines) <= 4
    assert all(line.isprintable() and len(line) <= LINE for line in lines)
    said = [word for text in line for word in (text, *re.split(r"[=.,:@~+\[\]{}()/ ]", text)) if word]
    spelt_out = not "".join(line).isprintable() or "" in line  # "U+001B", "an empty word"
    assert any(word in told for word in said) or spelt_out or "experiment=" in " ".join(line)


def assert_means_itself(job: Job) -> None:
    """As it is saved, and as a rerun composes it with something that changes nothing."""
    saved = yaml.safe_load(yaml.safe_dump(job.config.plain(), sort_keys=False, allow_unicode=True))
    assert checked(saved, job.overrides) == (job.config, job.notes)
    again = recompose(saved, job.overrides, job.choices, [f"seed={job.config.seed}"])
    assert checked(again.values, again.command)[0] == job.config
