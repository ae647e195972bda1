"""What may come next on a half-typed command line: what the usage of its command calls for."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from metacli.cli import COMMANDS
from metacli.files import user_path


def next_words(line: str) -> list[str]:
    """`line`: as far as the cursor. A word that is complete ends in a space."""
    *before, typed = line.split(" ")
    _, *given = filter(None, before)
    if not given:
        found: Iterator[str] = (f"{name} " for name in COMMANDS)
    else:
        found = _arguments(given[0], given[1:], typed)
    return sorted({word for word in found if word.startswith(typed)})


def _arguments(command: str, given: Sequence[str], typed: str) -> Iterator[str]:
    usage, _ = COMMANDS.get(command, ("", ""))
    for kind in ["DIR"] if given[-1:] == ["--resume"] else _expected(usage, len(given)):
        if kind in ("RUN", "DIR"):
            yield from _folders(typed, unfinished=command == "resume")
        elif kind == "GROUP":
            from metacli.config.compose import option_files

            yield from (f"{group} " for group in option_files())
        elif "=" in kind or kind == "OVERRIDE":
            from metacli.config.complete import override_words

            yield from override_words(typed, _overrides(given))
            if command == "runs":
                yield from _statuses(typed)
        elif kind.islower():  # itself
            yield f"{kind} "


def _expected(usage: str, place: int) -> Iterator[str]:
    """ "RUN [OVERRIDE ...]", 0 -> RUN; what is optional may be passed over."""
    for number, (optional, kinds, repeats) in enumerate(re.findall(r"(\[?)([^][ ]+)( \.\.\.)?", usage)):
        if number >= place or repeats:
            yield from kinds.split("|")
            if not optional:
                return


def _folders(typed: str, *, unfinished: bool) -> Iterator[str]:
    """Runs, and the folders on the way to them."""
    from metacli.rundir import RunFolder
    from metacli.runlist import is_run

    parent = typed[: typed.rfind("/") + 1]
    if not parent and Path("runs").is_dir() and "runs".startswith(typed):
        yield "runs/"  # the usual place; not what else may lie here
        return
    for path in user_path(parent or ".").glob("[!.]*/"):
        if not is_run(path):
            yield f"{parent}{path.name}/"
        elif not (unfinished and RunFolder(path).finished):
            yield f"{parent}{path.name} "


def _overrides(given: Sequence[str]) -> list[str]:
    """Those typed before, on top of those that made the run which they change."""
    from metacli.errors import UserError
    from metacli.rundir import RunFolder

    try:
        return [*RunFolder(user_path(given[0])).overrides(), *given[1:]] if given else []
    except UserError:  # the first is no run
        return list(given)


def _statuses(typed: str) -> Iterator[str]:
    from metacli.runlist import STATUSES

    yield from (f"status={status} " for status in STATUSES) if "=" in typed else ["status="]
