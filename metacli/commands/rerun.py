"""metacli rerun RUN [OVERRIDE ...]: a new run from a saved one. Without overrides it must come out identical."""

from pathlib import Path

from metacli.commands.checked import checked
from metacli.commands.saved import changed, named_run


def run(arguments: list[str]) -> int:
    saved, overrides = named_run(arguments, "rerun")
    values, choices = changed(saved, overrides)
    written = saved.manifest()
    if not overrides:
        values["device"] |= {"name": written["device"], "threads": written["threads"]}
    config, notes = checked(values, overrides)

    from metacli import api, provenance

    new = api.train(
        config,
        Path(config.run.root) / config.run.name,
        overrides=[*saved.overrides(), *overrides],
        choices=choices,
        notes=notes,
    )
    if overrides:
        return 0
    before, now = written.get("result_hash"), new.manifest()["result_hash"]
    if before is None:
        print(f"{saved.path} was never finished: nothing to compare with")
        return 0
    if before == now:
        print(f"identical: result {now}")
        return 0
    print(f"different: result {before} -> {now}")
    for line in provenance.differences(written, new.manifest()) or [
        "versions, machine, device and data are the same"
    ]:
        print(f"  {line}")
    return 1
