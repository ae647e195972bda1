"""metacli train: compose with Hydra, check, train, evaluate, report. With -m it is metacli sweep.

Hydra's own flags work: -m, --cfg job, --info, --config-dir, --help.
"""

from metacli.commands.job import train
from metacli.commands.planned import planned


def run(arguments: list[str]) -> int:
    plan = planned(arguments)
    if plan.sweeps:
        from metacli.commands import sweep

        return sweep.start(plan)
    for job in plan.jobs:  # one, or none for --help and its like
        train(job)
    return 0
