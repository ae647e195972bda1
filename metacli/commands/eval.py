"""metacli eval RUN [OVERRIDE ...]: the best weights of a run on other episodes, another split or other data."""

from metacli.commands.checked import checked
from metacli.commands.saved import changed, named_run
from metacli.config.compatibility import check_fixed_ways
from metacli.config.registry import component
from metacli.config.validate import validate
from metacli.errors import UserError


def run(arguments: list[str]) -> int:
    saved, overrides = named_run(arguments, "eval")
    trained = saved.config()
    values = changed(saved, trained, overrides).values
    for group in ("paradigm", "backbone"):
        if values[group]["name"] != trained[group]["name"]:
            raise UserError(
                f"{group}={values[group]['name']}: the run was trained with {group} {trained[group]['name']}",
                "train a run with it: metacli train ...",
            )
    config = validate(values)
    if component("paradigm", config.paradigm.name).fixed_ways:
        check_fixed_ways(config, trained["episode"]["train"]["ways"], (config.report.split,))
    config, notes = checked(values, overrides, training=False)
    for note in notes:
        print(note)

    from metacli import api

    api.evaluate_run(saved, config, overrides=overrides)
    return 0
