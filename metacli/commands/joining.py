"""The command that asks a run the questions which another was asked, so that the two can be compared."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from metacli.report.compare.measured import Measured


def join(run: Measured, other: Measured) -> str:
    """`metacli eval`, or `metacli rerun` where the trained network cannot take the questions; empty where neither can:
    another kind of task, or a package that is not installed."""
    from metacli.config.compose import option_files  # brings Hydra, which a comparison seldom needs
    from metacli.config.registry import component, names

    options = option_files()["dataset"]
    split, now, wanted = other.split, run.dataset, other.dataset
    paradigm, episode = run.config["paradigm"]["name"], run.config["episode"]
    same_kind = (run.report["task"], run.primary) == (other.report["task"], other.primary)
    if not same_kind or wanted["name"] not in options or paradigm not in names("paradigm"):
        return ""
    shape = {key: value for key, value in other.episode.items() if episode[split].get(key) != value}
    asked = [f"report.split={split}"] if run.split != split else []
    if run.data != other.data:
        asked += _data(now, wanted, options[wanted["name"]])
    asked += [f"episode.{split}.{key}={value}" for key, value in shape.items()]
    other_ways = "ways" in shape and component("paradigm", paradigm).fixed_ways
    if other_ways:
        asked += [f"episode.{name}.ways={shape['ways']}" for name in episode if name != split]
    other_pixels = run.data != other.data and _pixels(now) != _pixels(wanted)
    command = "rerun" if other_ways or other_pixels else "eval"
    return shlex.join(["metacli", command, str(run.training), *asked])


def _data(now: Mapping[str, Any], wanted: Mapping[str, Any], option: Path) -> list[str]:
    """Overrides for the values that are not there by themselves: as they were, or as the option's file has them."""
    if wanted["name"] == now["name"]:
        return [f"dataset.{key}={_text(value)}" for key, value in wanted.items() if now.get(key) != value]
    usual = yaml.safe_load(option.read_text(encoding="utf-8"))
    usual = usual.get("dataset", usual)  # where the option chooses options of other groups as well
    other = {key: value for key, value in wanted.items() if key != "name" and usual.get(key) != value}
    values = [f"dataset.{key}={_text(value)}" for key, value in other.items()]
    return [f"dataset={wanted['name']}", *values]


def _pixels(dataset: Mapping[str, Any]) -> tuple[Any, str]:
    """What a trained network takes for granted: the size of an image and its channels."""
    return dataset.get("size"), dataset.get("mode", "gray")


def _text(value: Any) -> str:
    """As Hydra's overrides are written."""
    if isinstance(value, str) and re.fullmatch(r"[\w./-]+", value):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
