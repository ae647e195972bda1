"""How many steps, or epochs of pretraining, fit into so many minutes of training on this machine.

Measured before the run and written into its config: so a run with a budget gives the same bits again, as one with a
clock in it would not.
"""

import shutil
from pathlib import Path

from metacli.config.compose import composed
from metacli.config.registry import component
from reproduction import runs

VALIDATIONS = 10  # of a training
SHARE = 0.2  # of the minutes that they may take: else there are fewer
FEW = 5  # steps of the shortest pilot
QUICK = ["episode.test.count=2", "tracker=none"]  # of a pilot, which only training counts of


def spends(preset: str) -> bool:
    """Whether it trains anything."""
    return any(_stages(preset))


def fitted(preset: str, minutes: float, folder: Path) -> list[str] | None:
    """Overrides for a training of about so many minutes; None where a pilot failed. folder: for those.

    Pretraining and meta-training, where there are both, get half of it each.
    """
    trains, pretrains = _stages(preset)
    seconds = 60 * minutes / max(1, trains + pretrains)
    found: list[str] = []
    try:
        if pretrains:
            found.append(f"pretrain.epochs={epochs_in(preset, seconds, folder, trains)}")
        if trains:
            steps, validations = steps_in(preset, seconds, folder, pretrains)
            found += [f"trainer.steps={steps}", f"trainer.val_every={-(-steps // validations)}"]
    except PilotFailedError:
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def steps_in(preset: str, seconds: float, folder: Path, pretrains: bool) -> tuple[int, int]:
    """And how often to validate. Two pilots tell a step from what comes once: the first pass, and a validation."""
    without = _unpretrained(preset) if pretrains else []
    once = _seconds(preset, folder, [*_steps(FEW), *without])["train"]
    many, longer = FEW, once
    while longer - once < min(0.05 * seconds, 20):
        many *= 4
        longer = _seconds(preset, folder, [*_steps(many), *without])["train"]
    step = (longer - once) / (many - FEW)
    validations = max(1, min(VALIDATIONS, int(SHARE * seconds / once)))
    return max(VALIDATIONS, int((seconds - validations * once) / step)), validations


def epochs_in(preset: str, seconds: float, folder: Path, trains: bool) -> int:
    """One at least."""
    least = _steps(1) if trains else []
    return max(1, int(seconds / _seconds(preset, folder, ["pretrain.epochs=1", *least])["pretrain"]))


class PilotFailedError(Exception):
    pass


def _stages(preset: str) -> tuple[bool, bool]:
    """Whether it meta-trains, and whether it pretrains."""
    config, _ = composed([f"experiment={preset}"])
    return (
        component("paradigm", config.paradigm.name).trains,
        component("pretrain", config.pretrain.name).trains,
    )


def _unpretrained(preset: str) -> list[str]:
    """Overrides that leave out pretraining, and what the preset says of it."""
    config, _ = composed([f"experiment={preset}", "pretrain=none"])
    return ["pretrain=none", *(f"~pretrain.{key}" for key in config.pretrain if key != "name")]


def _steps(count: int) -> list[str]:
    return [f"trainer.steps={count}", f"trainer.val_every={count}", f"trainer.log_every={count}"]


def _seconds(preset: str, folder: Path, overrides: list[str]) -> dict[str, float]:
    """Of a pilot, by stage."""
    shutil.rmtree(folder, ignore_errors=True)
    if not runs.train(folder, [f"experiment={preset}", *QUICK, *overrides]):
        raise PilotFailedError
    run = runs.finished(folder)
    assert run is not None
    stages = {name: done["seconds"] for name, done in runs.manifest_of(run).get("stages", {}).items()}
    return {"train": runs.report_of(run)["run"]["seconds_train"] - sum(stages.values()), **stages}
