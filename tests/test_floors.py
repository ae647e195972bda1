"""Imports go down only. The floors are those of docs/architecture.md; a new module has to be given one here."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import metacli

PACKAGE = Path(metacli.__file__).parent

FLOORS = {
    "letters": 0,
    "errors": 0,
    "files": 0,
    "episode": 0,
    "runtime": 0,
    "chunk": 0,
    "launched": 0,
    "objectives": 1,
    "metrics": 1,
    "learner": 1,
    "select": 1,
    "kernels": 2,
    "layers": 2,
    "data": 2,
    "backbones": 2,
    "heads": 2,
    "features": 2,
    "pretrained": 2,
    "attacks": 2,
    "optim": 2,
    "paradigms": 3,
    "pretrain": 3,
    "console": 4,
    "rundir": 4,
    "provenance": 4,
    "checkpoint": 4,
    "trackers": 4,
    "parts": 4,
    "crew": 4,
    "distributed": 4,
    "trainer": 5,
    "evaluator": 5,
    "runlist": 5,
    "weights": 5,
    "feature_cache": 5,
    "report": 5,
    "config": 6,
    "sweeps": 6,
    "build": 7,
    "experiment": 7,
    "stages": 7,
    "outcome": 7,
    "stream": 7,
    "api": 8,
    "commands": 8,
    "cli": 8,
    "library": 8,
    "__main__": 8,
}

# Who may import from beside: package, and the packages of its floor that it stands on.
BESIDE = {
    "errors": {"letters"},
    "files": {"errors"},
    "runtime": {"errors"},
    "learner": {"objectives"},
    "layers": {"kernels"},
    "attacks": {"layers"},
    "backbones": {"layers", "data", "pretrained"},
    "pretrained": {"layers"},
    "heads": {"layers"},
    "features": {"layers", "data"},
    "distributed": {"parts"},
    "evaluator": {"report"},  # it fills what a report is made of
    "experiment": {"build"},
    "stages": {"build", "experiment"},
    "outcome": {"experiment", "stages"},
    "stream": {"build", "experiment"},
    "commands": {"api", "cli"},  # completion reads the table of commands
    "cli": {"commands"},
    "library": {"commands"},
    "__main__": {"cli"},
}

HEAVY = {"torch", "torchvision", "transformers", "matplotlib", "sklearn", "scipy", "pandas", "PIL", "rich"}
HEAVY |= {"tensorboard", "wandb", "mlflow", "timm", "huggingface_hub"}

MODULES = sorted(PACKAGE.rglob("*.py"))
LIGHT = [
    "metacli.cli",
    *(
        ".".join(("metacli", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] in ("commands", "config")
    ),
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_from_lower_floors_or_its_own_package(path):
    own = part_of(path)
    if own == "__init__":
        assert set(imported(path)) == {"errors", "library"}  # for type checkers: see tests/library
        return
    for other in set(imported(path)) - {own, "__version__"}:
        assert FLOORS[other] < FLOORS[own] or other in BESIDE.get(own, ()), f"{own} imports {other}"


def test_imports_are_found_wherever_they_stand(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import os\nimport metacli.api\nfrom metacli import build, __version__\n"
        "def late():\n    from metacli.report.html import html_page\n"
    )
    assert sorted(imported(file)) == ["__version__", "api", "build", "report"]


def test_every_module_has_a_floor_and_every_floor_that_is_built_is_one_of_the_documents():
    built = {part_of(path) for path in MODULES} - {"__init__"}
    assert built <= FLOORS.keys()
    for line in (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[1].isdigit():
            for name in re.findall(r"`([a-z_]+)(?:\.py|/)`", cells[2]):
                assert FLOORS[name] == int(cells[1]), name


def test_only_layers_know_the_kernels():
    assert {part_of(path) for path in MODULES if "kernels" in imported(path)} <= {"kernels", "layers"}


def test_a_checked_config_is_known_from_the_sixth_floor_up():
    knowing = {part_of(path) for path in MODULES if "config" in imported(path)}
    assert all(FLOORS[name] >= FLOORS["config"] for name in knowing)


@pytest.mark.parametrize("module", [name for name in LIGHT if "._" not in name])
def test_nothing_heavy_is_imported_before_a_config_is_known_to_be_good(module, loaded):
    assert not loaded[module] & HEAVY


@pytest.fixture(scope="session")
def loaded() -> dict[str, set[str]]:
    """Module -> what had been imported once it was, all in one fresh process."""
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    print(name, *{module.partition('.')[0] for module in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *LIGHT], capture_output=True, text=True, check=True
    )
    lines = (line.split() for line in done.stdout.splitlines())
    return {name: set(modules) for name, *modules in lines}


def part_of(path: Path) -> str:
    """The module or package directly below metacli that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """Parts of metacli that a file imports, at its head or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "metacli" and rest:
                yield rest.partition(".")[0]
