"""Images of one split: one uint8 tensor, scaled where they are gathered."""

from collections.abc import Mapping

import torch
from torch import Tensor

from metacli.data.source import Source
from metacli.data.table import Table
from metacli.episode import Inputs


class ImageSource(Source):
    """images: those of `table`, where they are on the device already."""

    def __init__(
        self, *, table: Table, split: str, device: torch.device, images: Tensor | None = None
    ) -> None:
        super().__init__(table=table, split=split, device=device)
        self.images = images if images is not None else torch.from_numpy(table.images).to(device)

    def items(self, rows: Tensor) -> Inputs:
        return {"x": scaled(self.images[rows.to(self.images.device)])}


def sources(table: Table, device: torch.device) -> Mapping[str, ImageSource]:
    """One for each split; they share one tensor of images."""
    images = torch.from_numpy(table.images).to(device)
    return {
        split: ImageSource(table=table, split=split, device=device, images=images) for split in table.splits
    }


def scaled(images: Tensor) -> Tensor:
    """[..., H, W, C] uint8 -> [..., C, H, W] float32 from 0 to 1."""
    return images.movedim(-1, -3).to(torch.float32).div_(255)
