"""backbone: from an item to its features."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metacli.config.schema.values import (
    LARGEST,
    Amount,
    Count,
    Named,
    Natural,
    Number,
    Place,
    Side,
    Widths,
    Word,
)

Norm = Literal["batch", "group", "layer", "none"]


class Backbone(Named):
    @property
    def smallest(self) -> int:
        """Side of the smallest image that it takes."""
        return 1

    @property
    def keeps_map(self) -> bool:
        """Whether its features are its last map as it is, whose shape is then the `map_shape` of what is built."""
        return False


class Conv4(Backbone):
    width: Count
    depth: Count
    downsample: Literal["max_pool", "stride"]
    norm: Norm

    @property
    def smallest(self) -> int:
        return 2**self.depth if self.downsample == "max_pool" else 1

    @property
    def keeps_map(self) -> bool:
        return self.downsample == "max_pool"


class MLP(Backbone):
    widths: Widths
    norm: Norm


class Pixels(Backbone):
    pass


class ResNet12(Backbone):
    widths: Widths
    norm: Norm

    @property
    def smallest(self) -> int:
        return 2 ** len(self.widths)


Downsample = Literal["max_pool", "stride", "none"]
Padding = Literal["same", "valid"]


class CNN(Backbone):
    widths: Widths
    kernel: Literal[1, 3, 5, 7]
    downsample: Downsample | list[Downsample]
    padding: Padding | list[Padding] = "same"
    slope: Amount = 0.0
    read: Literal["flatten", "mean"]
    hidden: Natural
    norm: Norm

    @model_validator(mode="after")
    def _one_for_each_width(self) -> "CNN":
        for key in ("downsample", "padding"):
            value = getattr(self, key)
            if isinstance(value, list) and len(value) != len(self.widths):
                raise ValueError(
                    f"{key}={value} should be one word, or a list of {len(self.widths)}, one for each of widths"
                )
        return self

    @property
    def smallest(self) -> int:
        count, side = len(self.widths), 1
        hows = self.downsample if isinstance(self.downsample, list) else [self.downsample] * count
        edges = self.padding if isinstance(self.padding, list) else [self.padding] * count
        for how, edge in zip(reversed(hows), reversed(edges), strict=True):
            side = {"max_pool": 2 * side, "stride": 2 * side - 1, "none": side}[how]
            side += self.kernel - 1 if edge == "valid" else 0
        return side

    @property
    def keeps_map(self) -> bool:
        return self.read == "flatten" and not self.hidden


class RNN(Backbone):
    cell: Literal["gru", "lstm", "tanh"]
    width: Count
    depth: Count
    read: Literal["last", "mean"]
    norm: Norm


class Pretrained(Backbone):
    """A network that others have trained. size: None for its own."""

    model: Word
    weights: Place
    size: Side | None
    lora: Natural


class HuggingFace(Pretrained):
    model: Place


class TextEncoder(Backbone):
    model: Place
    weights: Place
    pooling: Literal["mean", "cls"]
    max_length: Annotated[int, Field(ge=3, le=LARGEST), Number]
    lora: Natural
