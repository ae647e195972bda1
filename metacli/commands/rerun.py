"""metacli rerun RUN [OVERRIDE ...]: a new run from a saved one. Without overrides it must come out identical."""

from dataclasses import replace

from metacli import provenance
from metacli.commands.job import new_job, train
from metacli.commands.saved import as_it_ran, changed, named_run


def run(arguments: list[str]) -> int:
    saved, overrides = named_run(arguments, "rerun")
    again = changed(saved, as_it_ran(saved), overrides)
    job = new_job(again.values, overrides, again.choices)
    new = train(replace(job, overrides=again.command))
    if overrides:
        return 0
    written = saved.manifest()
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
