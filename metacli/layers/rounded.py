"""bfloat16 for networks that others have trained: device.precision=bf16.

Inside, matrix products and convolutions round what they take to bfloat16, in the forward and the backward pass; norms
and softmax are computed in float32, and so are what comes out, the weights that an optimizer moves, and every head.
torch's autocast says which operation is which.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class Rounded(nn.Module):
    """What calls such a network, under `self.rounding(tensor)`, and passes `self.exact(found)` on."""

    bf16 = False

    def rounding(self, x: Tensor) -> AbstractContextManager[object]:
        return torch.autocast(x.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def exact(self, found: Tensor) -> Tensor:
        return found.to(torch.float32) if self.bf16 else found

    def said(self) -> str:
        """For `extra_repr`: kept features are those of one precision."""
        return ", bf16" if self.bf16 else ""


def round_off(module: nn.Module) -> None:
    """From now on all that is `Rounded` in it computes in bfloat16."""
    for part in module.modules():
        if isinstance(part, Rounded):
            part.bf16 = True
