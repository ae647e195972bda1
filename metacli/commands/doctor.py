"""metacli doctor: what is installed and what works here; a line for each problem, with the way out.

Exit code 0 where nothing is broken, else 1. A check that breaks is itself a problem: the others go on.
"""

import os
import textwrap
import traceback
from collections.abc import Callable, Iterator

from metacli.commands import installation, machine
from metacli.commands.findings import Findings, Problem
from metacli.errors import UserError

CHECKS: dict[str, Callable[[], Findings]] = {
    "packages": installation.packages,
    "devices": machine.devices,
    "threads": machine.threads,
    "cache": machine.cache,
    "variables": machine.variables,
    "extras": installation.extras,
    "configs": installation.configs,
    "extensions": installation.extensions,
    "numbers": installation.numbers,
}

_INDENT = " " * 12
_REINSTALL = "pip install --force-reinstall metacli; METACLI_TRACEBACK=1 metacli doctor shows where it broke"


def run(arguments: list[str]) -> int:
    if arguments:
        raise UserError(f"doctor takes no arguments: {' '.join(arguments)}", "metacli doctor")
    problems: dict[Problem, None] = {}  # each once, in order
    for title, check in CHECKS.items():
        label = title
        for found in _outcome(check):
            if isinstance(found, Problem):
                problems[found] = None
                found = f"BROKEN: {found.what}"
            lines = textwrap.wrap(
                found,
                80,
                initial_indent=f"{label:<{len(_INDENT)}}",
                subsequent_indent=_INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
            print("\n".join(lines), flush=True)
            label = ""
    print()
    for problem in problems:
        print(f"{problem.what}\n    {problem.way_out}")
    if not problems:
        print("no problem found")
    return 1 if problems else 0


def _outcome(check: Callable[[], Findings]) -> Iterator[str | Problem]:
    try:
        yield from check()
    except UserError as error:
        yield Problem(error.problem, error.hint)
    except (Exception, SystemExit) as error:
        if os.environ.get("METACLI_TRACEBACK") == "1":
            traceback.print_exc()
        first = next(iter(str(error).splitlines()), "")
        yield Problem(f"{type(error).__name__}: {first}", _REINSTALL)
