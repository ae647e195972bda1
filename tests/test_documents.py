"""README.md and docs/*.md: links lead somewhere, every page is reached, and what stands between backticks exists."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from metacli.cli import COMMANDS
from metacli.commands.machine import VARIABLES
from metacli.config.compose import option_files
from metacli.config.registry import ELSEWHERE, INSIDE, SEVERAL, components, groups
from metacli.config.schema import Config

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

FILE = re.compile(r"\.(json|jsonl|csv|txt|html|png|md|py|pt|yaml|safetensors|db)$")
PLACEHOLDER = re.compile(r"^$|\b[A-Z]+\b|\.\.\.|\$")  # a value that stands for others
OF_RUNS = ("status",)  # what `metacli runs` can be asked beside keys

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if not target.startswith("http"):
            name, _, anchor = target.partition("#")
            there = page.parent / name if name else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


def test_every_page_is_linked_from_the_readme():
    linked = re.findall(r"\]\((docs/\w[\w-]*\.md)\)", text(README))
    assert {f"docs/{page.name}" for page in PAGES[1:]} == set(linked)


@every_page
def test_settings_exist_and_take_the_value(page):
    for word in words(page):
        key, equals, value = word.lstrip("+~").partition("=")
        if not re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)*", key) or FILE.search(word):
            continue
        if equals and key in option_files():
            for option in re.sub(r"[][]", "", value).split(","):
                assert PLACEHOLDER.search(option) or option in option_files()[key], word
        elif equals and "." not in key:
            assert (
                key in OF_RUNS or any(known.endswith(f".{key}") for known in settings()) or key in settings()
            )
        elif key.partition(".")[0] in Config.model_fields and "." in key:
            assert any(f"{known}.".startswith(f"{key}.") for known in settings()), word
            assert PLACEHOLDER.search(value) or takes(key, word.lstrip("+~")), word


@every_page
def test_flags_variables_extras_scripts_and_commands_exist(page):
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "metacli").rglob("*.py"))
    for span in spans(page):
        if span.startswith(("-", "metacli ")):
            for flag in re.findall(r"(?<!\S)--?[a-z][a-z-]*", span):
                assert f'"{flag}"' in source, span
    for command in re.findall(r"(?:`|^    )metacli ([a-z]+)", text(page), re.M):
        assert command in COMMANDS, command
    assert set(re.findall(r"\bMETACLI_[A-Z_]+", text(page))) <= set(VARIABLES)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert set(re.findall(r"\bmetacli\[(\w+)\]", text(page))) <= set(known)
    for script in re.findall(r"\bscripts/\w[\w-]*", text(page)):
        assert (ROOT / script).exists(), script


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def spans(page: Path) -> list[str]:
    """What stands between backticks."""
    prose = re.sub(r"^```.*?^```|^    .*?$", "", text(page), flags=re.M | re.S)
    return re.findall(r"`([^`]+)`", prose)


def words(page: Path) -> Iterator[str]:
    for span in spans(page):
        if not span.startswith("metacli "):  # commands have a test of their own
            yield from span.split()


@cache
def settings() -> dict[str, list[FieldInfo]]:
    """Dotted key -> the fields that it may be, in one component or another."""
    found: dict[str, list[FieldInfo]] = {}
    for key, field in Config.model_fields.items():
        if key not in (*groups(), *SEVERAL):
            _add(found, key, field)
    for group in (*groups(), *SEVERAL):
        for name, component in components(group).items():
            _add_all(found, f"{group}.{name}" if group in SEVERAL else group, component.schema)
    for place, group in (INSIDE | ELSEWHERE).items():
        for component in components(group).values():
            _add_all(found, place, component.schema)
    return found


def _add(found: dict[str, list[FieldInfo]], key: str, field: FieldInfo) -> None:
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        _add_all(found, key, field.annotation)
    else:
        found.setdefault(key, []).append(field)


def _add_all(found: dict[str, list[FieldInfo]], key: str, schema: type[BaseModel]) -> None:
    for name, field in schema.model_fields.items():
        _add(found, f"{key}.{name}", field)


def takes(key: str, override: str) -> bool:
    value: Any = OverridesParser.create().parse_override(override).value()
    return any(_valid(field, value) for field in settings()[key])


def _valid(field: FieldInfo, value: Any) -> bool:
    try:
        TypeAdapter(Annotated[field.annotation, field]).validate_python(value)
    except ValidationError:
        return False
    return True
