"""examples/ and what docs/extending.md says of them. That they run is tested in tests/commands/test_extending.py."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import metacli
from metacli.config.registry import Component
from metacli.learner import Learner

ROOT = Path(metacli.__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_page_shows_the_examples_as_they_are():
    assert len(BLOCKS) >= 6
    for path, text in BLOCKS:
        lines = text.splitlines()
        assert all(line in (ROOT / path).read_text(encoding="utf-8").splitlines() for line in lines), path


def test_the_method_is_shown_whole_and_takes_forty_lines():
    shown = dict(BLOCKS[:2])
    files = [
        path for path in (ROOT / "examples" / "single_file").rglob("*") if path.suffix in (".py", ".yaml")
    ]
    assert shown == {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
    assert sum(bool(line.strip()) for text in shown.values() for line in text.splitlines()) <= 40


def test_the_page_names_all_that_a_component_declares_and_a_learner_offers():
    offered = [name for name, value in vars(Learner).items() if callable(value) and not name.startswith("_")]
    for name in [*(field.name for field in fields(Component)), *offered]:
        assert re.search(rf"^\| `{name}[`(]", PAGE, re.M), name


def test_the_contract_can_be_asked_of_a_method_of_the_users_own():
    environment = os.environ | {"METACLI_CONFIG_PATH": str(ROOT / "examples" / "single_file")}
    chosen = "cosine_prototypes and (gets_better or conv4_stride)"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/test_contract.py",
        "-k",
        chosen,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout  # 5 where nothing was chosen
