"""What a value may be, in every group: types and their bounds; and what every node of a config is."""

import os
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from metacli.letters import storable


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


def absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path)) if path else path


def _absolute_file(path: str) -> str:
    """What is no file here is meant below some root, or is no path."""
    return absolute(path) if os.path.isfile(absolute(path)) else path


def _absolute_place(name: str) -> str:
    """What is no file or folder here is a word, a package or a name on a hub."""
    return absolute(name) if name not in ("none", "default") and os.path.exists(absolute(name)) else name


def _auto(value: Any) -> Any:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError("should be a whole number from 1, or auto")


def _ascending(ends: list[float]) -> list[float]:
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError("should be [low, high] with low < high")
    return ends


LARGEST = 2**63 - 1  # what tensors, and programs that read our files, take for a whole number

Number = BeforeValidator(_no_truth_value)  # python takes True for 1
Count = Annotated[int, Field(ge=1, le=LARGEST), Number]
Natural = Annotated[int, Field(ge=0, le=LARGEST), Number]
Several = Annotated[int, Field(ge=2, le=LARGEST), Number]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), Number]
Share = Annotated[float, Field(ge=0, lt=1), Number]
Fraction = Annotated[float, Field(gt=0, lt=1), Number]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False), Number]
Range = Annotated[list[Annotated[float, Field(allow_inf_nan=False), Number]], AfterValidator(_ascending)]
Folder = Annotated[str, AfterValidator(absolute)]  # so that a saved run can be used from any folder
File = Annotated[str, AfterValidator(_absolute_file)]
Place = Annotated[str, Field(min_length=1), AfterValidator(_absolute_place)]
Word = Annotated[str, Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=4096), Number]  # of an image, in pixels
Chunk = Annotated[Annotated[int, Field(le=LARGEST)] | Literal["auto"], BeforeValidator(_auto)]
Threads = Annotated[int, Field(ge=0, le=1024), Number]

Widths = Annotated[list[Count], Field(min_length=1)]
Moves = list[Literal["features", "backbone", "last_block", "norm", "bias", "lora", "head"]]


class Node(BaseModel):
    """Unknown keys are errors; values do not change once checked; a folder may be called 2024."""

    without: ClassVar[
        dict[str, str]
    ] = {}  # a key that it lacks by design -> what to do; {place}: where it stands

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not storable(text):
                raise ValueError("holds a control character or a line's end, or is not Unicode")
            if isinstance(text, str) and "${" in text:  # composed again, it would not be a text any more
                raise ValueError(
                    "holds ${ as a text; without a backslash before it, ${key} is the value of a key"
                )
        return value


class Named(Node):
    """A component: `name` is its key in the registry."""

    name: str
