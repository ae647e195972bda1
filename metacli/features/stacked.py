"""Features and the backbone on them, as one backbone."""

from torch import Tensor, nn


class Stacked(nn.Module):
    """x [T, N, C, H, W] -> [T, N, D]. `select.moving` tells its two parts apart."""

    def __init__(self, fitted: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        self.fitted = fitted
        self.backbone = backbone
        self.features = backbone.features

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(self.fitted(x))
