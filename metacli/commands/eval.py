"""metacli eval RUN [OVERRIDE ...]: the best weights of a run on other episodes, another split or other data."""

from collections.abc import Sequence

from metacli.commands.checked import check_averages, checked
from metacli.commands.job import Job, evaluate
from metacli.commands.saved import changed, named_run
from metacli.config.compatibility import check_fixed_ways
from metacli.config.recompose import Values
from metacli.config.registry import component
from metacli.config.validate import validate
from metacli.errors import UserError
from metacli.rundir import RunFolder


def run(arguments: list[str]) -> int:
    saved, overrides = named_run(arguments, "eval")
    evaluate(saved, evaluation(saved, overrides))
    return 0


def evaluation(saved: RunFolder, overrides: Sequence[str]) -> Job:
    """An evaluation of `saved` with `overrides`, to be. Raises UserError where its weights do not go with them."""
    trained = validate(saved.config()).plain()  # with the keys that came after it was saved
    # What auto would stand for where nothing is trained is another number, and rounds otherwise.
    trained["trainer"]["chunk"] = saved.manifest()["chunk"]
    asked = changed(saved, trained, overrides)
    values = _with_training_of(trained, asked.values)
    for group in ("paradigm", "features", "backbone"):
        name = values[group]["name"]
        if name != trained[group]["name"]:
            asked_for = any(text.startswith((f"{group}=", f"{group}.")) for text in overrides)
            what = f"{group}={name}" if asked_for else f"{' '.join(overrides)} brings {group} {name}"
            raise UserError(
                f"{what}: the run was trained with {group} {trained[group]['name']}",
                "train a run with it: metacli train ...",
            )
    validate(asked.values)  # with what has no effect here
    config = validate(values)
    if component("paradigm", config.paradigm.name).fixed_ways:
        check_fixed_ways(config, trained["episode"]["train"]["ways"], (config.report.split,))
    check_averages(config, trained)
    config, notes = checked(values, overrides, training=False)
    return Job(config, overrides, asked.choices, notes)


def _with_training_of(trained: Values, values: Values) -> Values:
    """`values` with all that only training reads as it was: an evaluation's config tells how its weights came."""
    kept = {key: trained[key] for key in ("seed", "pretrain", "optimizer", "run")}
    trainer = trained["trainer"] | {"chunk": values["trainer"]["chunk"]}
    episode = values["episode"] | {"train": trained["episode"]["train"]}
    return values | kept | {"trainer": trainer, "episode": episode}
