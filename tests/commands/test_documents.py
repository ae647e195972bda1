"""Every command of README.md and docs/*.md works: in code blocks, one a line, and in the text, between backticks.

What acts on runs is carried out, on copies of one small run; what trains, or needs what is not here, is composed and
checked up to the computing. A command whose next lines begin with "metacli: " is a mistake, and is told just that.
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from metacli import api, cli
from metacli.config.compatibility import machine
from metacli.data.omniglot import Omniglot

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

HOME = "/home/you"  # where the documents' commands are run
RUN = "runs/maml-glyphs/20261124-101500-1a2b3c"  # what RUN stands for
STAMPED = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}$")
PLACEHOLDER = r"\.\.\.|\[[A-Z]|\b(?:DIR|KEY|VALUE)\b|\w\|\w"
ELSEWHERE = (
    "postcard|cosine_prototypes|neighbours|gratings"  # what pages make themselves, and test themselves
)
OTHERS = re.compile(f"{PLACEHOLDER}|{ELSEWHERE}")


@dataclass(frozen=True)
class Example:
    """told: what metacli answers, if it is a mistake."""

    text: str
    told: str = ""

    @property
    def arguments(self) -> list[str]:
        words = shlex.split(self.text, comments=True)[1:]
        words = words[: words.index("|")] if "|" in words else words
        return [re.sub(r"^RUN\b|(?<==)RUN\b", RUN, word) for word in words]

    @property
    def key(self) -> tuple[str, ...]:
        """The same for all that would be tested alike: launchers have tests of their own."""
        return tuple(word for word in self.arguments if not word.startswith("hydra"))

    @property
    def complete(self) -> bool:
        """More than a mention: `metacli show` says nothing of which run."""
        command, *rest = self.arguments
        usage, _ = cli.COMMANDS[command]
        return not usage or usage.startswith("[") or not all(word.startswith("-") for word in rest)

    @property
    def trains(self) -> bool:
        """Or evaluates on other data."""
        command, *rest = self.arguments
        return not self.told and (
            command in ("train", "stream")
            or (command == "sweep" and "--resume" not in rest)
            or (command == "rerun" and len(rest) > 1)
            or any(word.startswith("dataset=") for word in rest)
        )


def examples(page: Path) -> list[Example]:
    """In blocks and in the text, in order."""
    found: list[Example] = []
    fenced = False
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith("    "):
            found += map(Example, re.findall(r"`(metacli [a-z][^`]*)`", line))
        elif line.strip().startswith("metacli "):
            found.append(Example(re.split(r"\s{2,}|\s#\s", line.strip())[0], _answer(lines[number + 1 :])))
    return [example for example in found if not OTHERS.search(example.text) and example.complete]


def _answer(lines: Iterable[str]) -> str:
    said = takewhile(lambda line: line and not line.startswith("metacli "), map(str.strip, lines))
    told = "".join(f"{line}\n" for line in said)
    return told if told.startswith("metacli: ") else ""


EXAMPLES = list({example.key: example for page in PAGES for example in examples(page)}.values())


@pytest.fixture(scope="session")
def swept(forks, settings, tmp_path_factory) -> Path:
    """A sweep."""
    folder = tmp_path_factory.mktemp("swept")
    forks.start("sweep", *settings, "trainer.steps=2", "seed=3", folder=folder).wait().succeeded()
    (sweep,) = (folder / "runs" / "sweeps").iterdir()
    return sweep


@pytest.fixture(scope="session")
def data(photographs, tmp_path_factory) -> Path:
    """The folders of images that the documents speak of."""
    folder = tmp_path_factory.mktemp("data")
    photographs(folder / "photos", 30, each=20)
    images = [f"class_{label:02d}/{number:02d}.png" for label in range(30) for number in range(20)]
    (folder / "list.csv").write_text("path,label\n" + "".join(f"{image},{image[:8]}\n" for image in images))
    (folder / "unnamed.csv").write_text("".join(f"{image},{image[:8]}\n" for image in images))
    empty(folder / "broken", {f"class_{label:02d}": 20 for label in range(30)})
    empty(folder / "birds", {f"bird_{label:02d}": 20 for label in range(12)})
    empty(
        folder / "tools",
        {f"drill_{label:02d}": 20 for label in range(27)} | {"saw": 6, "tongs": 20, "vice": 20},
    )
    empty(folder / "shop", {"train/apple": 10, "test/apple": 10, "val/pear": 20})
    empty(folder / "scans", {"": 5})
    tagged(folder / "mine" / "train.txt", "abcd")
    for corpus in ("politics", "science", "music", "literature", "ai"):
        tagged(folder / "data" / "crossner" / corpus / "train.txt", [f"{corpus} {n}" for n in range(6)])
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        tagged(folder / "data" / "wnut17" / name, "abcdef")
    for name in ("val.conllu", "test.conllu"):
        tagged(folder / "data" / "wikineural_en" / name, "abcd", before="0\t")
    empty(folder / "data" / "grocery84", {f"train/{label:02d}": 20 for label in range(81)})
    intents = [[f"text {number}", f"intent {number % 150}"] for number in range(150 * 30)]
    clinc = dict.fromkeys(("train", "val", "test"), intents) | {
        f"oos_{p}": [] for p in ("train", "val", "test")
    }
    (folder / "data" / "clinc150").mkdir()
    (folder / "data" / "clinc150" / "data_full.json").write_text(json.dumps(clinc))
    (folder / "tickets.csv").write_text(
        "id,question,topic\n" + "".join(f"{n},{text},{topic}\n" for n, (text, topic) in enumerate(intents))
    )
    phrases = [f"phrase {n}@{('negative', 'neutral', 'positive')[n % 3]}" for n in range(300)]
    (folder / "data" / "financial_phrasebank").mkdir()
    (folder / "data" / "financial_phrasebank" / "Sentences_AllAgree.txt").write_text("\n".join(phrases))
    return folder


def tagged(file: Path, types: Iterable[str], before: str = "") -> None:
    """A column file of twenty sentences a type, each of one entity. before: the word's column."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{before}word\tB-{kind}\n\n" for kind in 20 * list(types)))


def empty(root: Path, classes: dict[str, int]) -> None:
    """Files that are called like images: many a mistake shows before one is opened."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:02d}.png").touch()


@pytest.fixture
def home(finished, swept, data, tmp_path):
    """The folder that the documents' commands are run in; call it to put there what a command names."""
    for entry in data.iterdir():
        (tmp_path / entry.name).symlink_to(entry)

    def furnish(arguments: list[str]) -> Path:
        for word in arguments:
            path = tmp_path / word.partition("=")[2] if "=" in word else tmp_path / word
            if "runs/" in word and not path.exists():
                saved = swept if "sweeps" in path.parts else finished
                shutil.copytree(saved, path if STAMPED.search(path.name) else path / finished.name)
        return tmp_path

    furnish([RUN])
    return furnish


@pytest.mark.parametrize("example", [e for e in EXAMPLES if not e.trains], ids=lambda example: example.text)
def test_a_command_that_acts_on_runs_works(example, home, runs):
    folder = home(example.arguments)
    done = runs(*example.arguments, folder=folder)
    if example.told:
        assert done.message() == example.told.replace(HOME, str(folder))
        return
    assert done.code in ((0, 1) if example.arguments[0] in ("compare", "doctor") else (0,)), done.err
    assert done.err == ""


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.trains], ids=lambda example: example.text)
def test_a_command_that_trains_is_good(example, home, as_far_as_computing, monkeypatch):
    monkeypatch.chdir(home(example.arguments))
    assert as_far_as_computing(list(example.key)) == []


@pytest.fixture
def as_far_as_computing(monkeypatch):
    """Run a command in this process, with data and packages taken to be there; returns the settings without effect."""
    noted = []

    def instead(*_, notes, **__):
        noted.extend(notes)

    monkeypatch.setattr(api, "train", instead)
    monkeypatch.setattr(api, "evaluate_run", instead)
    monkeypatch.setattr("metacli.stream.write_stream", instead)
    monkeypatch.setattr("metacli.commands.sweep._carry_out", lambda sweep: 0)
    monkeypatch.delenv("METACLI_DATA", raising=False)
    monkeypatch.setattr(Omniglot, "_folder", lambda self: None)
    monkeypatch.setattr(machine, "find_spec", lambda package: package)

    def run(arguments: list[str]) -> list[str]:
        noted.clear()
        with suppress(SystemExit):  # as --help does
            assert cli.run(arguments) == 0
        return noted

    return run


def test_examples_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`metacli show RUN`, not `metacli show` or `metacli runs [DIR]`\n\n"
        "    metacli train seed=1    # one\n"
        "    metacli eval RUN a=1    says more\n\n"
        "    metacli train seed=x\n"
        "    metacli: seed=x: no\n"
        "    a number\n\n"
    )
    shown, trained, evaluated, mistaken = examples(page)
    assert shown.arguments == ["show", RUN]
    assert trained.arguments == ["train", "seed=1"]
    assert evaluated.arguments == ["eval", RUN, "a=1"]
    assert (mistaken.text, mistaken.told) == ("metacli train seed=x", "metacli: seed=x: no\na number\n")
    assert [example.trains for example in (shown, trained, evaluated, mistaken)] == [
        False,
        True,
        False,
        False,
    ]
