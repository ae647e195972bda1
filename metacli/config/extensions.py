"""What others add: folders of options, and components, which an installed package declares or a file beside a YAML.

Nothing that a config says leads to code. A component is found by the names of its group and its own, in a package
that the user installed or as GROUP/NAME.py in a folder that the user named; it is loaded when it is used.
"""

import ast
import os
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from metacli.errors import UserError
from metacli.files import digest

VARIABLE = "METACLI_CONFIG_PATH"


@dataclass(frozen=True)
class SingleFile:
    """GROUP/NAME.py in a folder of options."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def load(self) -> Any:
        """Raises UserError where the file does not run, or declares nothing."""
        module, _ = _executed(self.path)
        if not hasattr(module, "component"):
            raise UserError(
                f"{self}: it declares no component",
                'it takes a line such as: component = Component(f"{__name__}:Class", Settings)',
            )
        return module.component

    def about(self) -> str:
        """Read without running it."""
        try:
            return opening(self.path)
        except SyntaxError as error:
            raise _broken(self.path, error) from error

    def origin(self) -> dict[str, str]:
        _, source = _executed(self.path)
        return {"file": str(self.path), "source": source}


@dataclass(frozen=True)
class Packaged:
    """An entry point "GROUP.NAME" of the group "metacli"."""

    entry: EntryPoint

    def __str__(self) -> str:
        return f"{self.entry.name} of the package {self._package}"

    def load(self) -> Any:
        return self.entry.load()

    def about(self) -> str:
        """Its module says it, which only what it declares names."""
        return ""

    def origin(self) -> dict[str, str]:
        """The digest covers all of the package's code."""
        spec = find_spec(self.entry.module.partition(".")[0])
        folders = list((spec and spec.submodule_search_locations) or ())
        files = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
        files = files or [Path(str(spec and spec.origin))]
        return {"package": self._package, "source": digest(*(path.read_bytes() for path in files))}

    @property
    def _package(self) -> str:
        package = self.entry.dist
        return f"{package.name} {package.version}" if package else self.entry.value


Extension = SingleFile | Packaged


def search_folders() -> list[Path]:
    """Folders of other people's options: $METACLI_CONFIG_PATH, and entry points of the group "metacli.configs".

    Raises UserError where one of the former is missing.
    """
    folders = [Path(part).resolve() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{VARIABLE}: no such folder: {folder}", "mend the variable, or unset it")
    return folders + [Path(str(entry.load())) for entry in _entries("metacli.configs")]


def extensions(group: str) -> dict[str, Extension]:
    """Name -> where that component of the group is declared. Raises UserError where two packages, or a package and a
    file, have one name; of files in several folders the first counts, as of options."""
    found: dict[str, Extension] = {}
    for folder in search_folders():
        for path in sorted((folder / group).glob("*.py")):
            found.setdefault(path.stem, SingleFile(path))
    for entry in _entries("metacli"):
        kind, _, name = entry.name.partition(".")
        if kind == group and name in found:
            raise UserError(f"{found[name]}: its name is that of {Packaged(entry)}", "rename one of them")
        if kind == group:
            found[name] = Packaged(entry)
    return found


def opening(path: Path) -> str:
    """First sentence of a module's docstring, read without importing it."""
    text = ast.get_docstring(ast.parse(path.read_bytes(), str(path))) or ""
    return " ".join(text.split("\n\n")[0].split())


@cache
def _entries(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


@cache
def _executed(path: Path) -> tuple[ModuleType, str]:
    """The module that the file makes, and the digest of the very bytes that were run."""
    name = f"metacli_extension.{path.parent.name}.{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        source = path.read_bytes()
        exec(compile(source, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(path, error) from error
    return module, digest(source)


def _broken(path: Path, error: BaseException) -> UserError:
    """The last of its lines that took part, and what went wrong there."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    first = next(iter(str(getattr(error, "msg", error)).splitlines()), "")
    return UserError(
        f"{where}: {type(error).__name__}: {first}", "mend the file; METACLI_TRACEBACK=1 shows the traceback"
    )
