"""metacli report RUN: the report of a finished run, or of an evaluation, made anew from the best weights."""

from metacli.commands.checked import checked
from metacli.commands.saved import as_it_ran, require_code
from metacli.errors import UserError
from metacli.rundir import open_run


def run(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise UserError(
            "report: which run?", "metacli report runs/NAME/ID; other episodes: metacli eval RUN ..."
        )
    found = open_run(arguments[0])
    if "result_hash" not in found.manifest():
        raise UserError(
            f"{found.path}: not finished, so there is nothing to report", f"metacli resume {found.path}"
        )
    require_code(found)
    config, _ = checked(as_it_ran(found), [], training=not found.evaluates)

    from metacli import api

    api.report_again(found, config)
    return 0
