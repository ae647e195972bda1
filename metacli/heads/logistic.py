"""Logistic regression on unit features, fitted to each support set by scikit-learn.

Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?", ECCV 2020, whose
classifier this is: L2-normalised features, C = 1, at most 1000 iterations.

    metacli train paradigm=frozen head=logreg
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, State


class Logistic(nn.Module):
    """inverse_ridge: scikit-learn's C. State: `weights` [T, W, D] and `bias` [T, W]."""

    def __init__(self, *, inverse_ridge: float) -> None:
        super().__init__()
        self.inverse_ridge = inverse_ridge

    def fit(self, features: Tensor, support: Examples) -> State:
        counted = support.mask & (support.labels >= 0)
        weights, bias = zip(
            *(
                logistic_regression(x[own], y[own], support.ways, self.inverse_ridge)
                for x, y, own in zip(F.normalize(features, dim=-1), support.labels, counted, strict=True)
            ),
            strict=True,
        )
        return {"weights": torch.stack(weights), "bias": torch.stack(bias)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        return F.normalize(features, dim=-1) @ state["weights"].transpose(1, 2) + state["bias"].unsqueeze(1)


def logistic_regression(
    x: Tensor, labels: Tensor, ways: int, inverse_ridge: float = 1.0
) -> tuple[Tensor, Tensor]:
    """x [N, D], labels [N] with every one of 0 ... ways − 1 -> weights [W, D] and bias [W] of the logits."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=inverse_ridge, max_iter=1000)
    fitted.fit(x.double().cpu().numpy(), labels.cpu().numpy())
    weights, bias = fitted.coef_, fitted.intercept_
    if ways == 2:  # one logit, of the second class against the first
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return torch.from_numpy(weights).to(x), torch.from_numpy(bias).to(x)
