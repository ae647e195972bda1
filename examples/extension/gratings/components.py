"""What the entry points name. Nothing here imports torch, so that a mistake is answered before it is loaded."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from metacli.config.registry import Component
from metacli.config.schema import Backbone, Count, Named, Natural, Norm, Paradigm, Rate

CONFIGS = Path(__file__).parent / "configs"


class GratingsSettings(Named):
    size: Count
    per_class: Count
    noise: Annotated[float, Field(ge=0, le=100)]
    split_sizes: list[Rate]
    seed: Natural


class SpectrumSettings(Backbone):
    width: Count
    norm: Norm


class NeighboursSettings(Paradigm):
    pass


GRATINGS = Component("gratings.gratings:Gratings", GratingsSettings)
SPECTRUM = Component("gratings.spectrum:Spectrum", SpectrumSettings)
NEIGHBOURS = Component("gratings.neighbours:Neighbours", NeighboursSettings, weights=False)
