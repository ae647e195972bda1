"""A linear map that sees directions only."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CosineLinear(nn.Module):
    """x [T, N, D] -> [T, N, K], scale · norm_k · cos(x, w_k). weight [K, D] or [T, K, D]; norm [K] or [T, K].

    Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019 (Baseline++): a scale of 2, of 10 for more than
    200 outputs, and a norm of each output that is learned, as in the authors' code, weights within ±1/√D and norms
    beginning at those of the weights.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.scale = 2.0 if outputs <= 200 else 10.0
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.uniform_(self.weight, -(inputs**-0.5), inputs**-0.5)
        self.norm = nn.Parameter(self.weight.detach().norm(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        cosine = F.normalize(x, dim=-1) @ F.normalize(self.weight, dim=-1).transpose(-1, -2)
        return self.scale * cosine * self.norm.unsqueeze(-2)
