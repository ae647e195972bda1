"""metacli eval RUN [OVERRIDE ...]: the best weights of a run on other episodes, another split or other data."""

from metacli.commands.checked import checked
from metacli.commands.saved import changed, named_run
from metacli.config.compatibility import check_fixed_ways
from metacli.config.recompose import Values
from metacli.config.registry import component
from metacli.config.validate import validate
from metacli.errors import UserError


def run(arguments: list[str]) -> int:
    saved, overrides = named_run(arguments, "eval")
    trained = saved.config()
    asked = changed(saved, trained, overrides)
    values = _with_training_of(trained, asked.values)
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

    from metacli import api

    api.evaluate_run(saved, config, overrides=overrides, choices=asked.choices, notes=notes)
    return 0


def _with_training_of(trained: Values, values: Values) -> Values:
    """`values` with all that only training reads as it was: an evaluation's config tells how its weights came."""
    kept = {key: trained[key] for key in ("seed", "optimizer", "run")}
    trainer = trained["trainer"] | {"chunk": values["trainer"]["chunk"]}
    episode = values["episode"] | {"train": trained["episode"]["train"]}
    return values | kept | {"trainer": trainer, "episode": episode}
