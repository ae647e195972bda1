"""Ridge regression in closed form: a linear map fitted to each task, differentiable in the features."""

import torch
from torch import Tensor


def ridge_regression(features: Tensor, targets: Tensor, ridge: Tensor) -> Tensor:
    """argmin over W of ‖X W − Y‖² + λ‖W‖², by one solve in the smaller of items and features.

    features X [T, N, D], targets Y [T, N, K], ridge λ > 0, a scalar -> W [T, D, K]. A row of zeros in both does not
    count.
    """
    across = features.transpose(1, 2)
    items, width = features.shape[1:]
    if items > width:
        return torch.linalg.solve(across @ features + ridge * _identity(width, features), across @ targets)
    return across @ torch.linalg.solve(features @ across + ridge * _identity(items, features), targets)


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
