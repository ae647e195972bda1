"""metacli resume RUN: go on with an interrupted run where its last checkpoint stands."""

from metacli.commands.checked import checked
from metacli.commands.saved import as_it_ran, named_run
from metacli.errors import UserError
from metacli.report.read import read_report


def run(arguments: list[str]) -> int:
    found, overrides = named_run(arguments, "resume")
    if overrides:
        raise UserError(
            f"resume takes no overrides: {' '.join(overrides)}",
            f"for a changed run: metacli rerun {found.path} ...",
        )
    if found.finished:
        read_report(found.report)  # which it is not if that is damaged
        print(f"{found.path} is finished: {found.report / 'report.html'}")
        return 0
    config, _ = checked(as_it_ran(found), [])

    from metacli import api

    api.resume(found, config)
    return 0
