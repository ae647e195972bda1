import numpy as np
import pytest
import torch

from metacli.heads.ridge import ridge_regression

RIDGE = torch.tensor(0.3, dtype=torch.float64)


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape))).double()


@pytest.mark.parametrize("items", [4, 7, 12])  # fewer than features, as many, more
def test_it_is_the_primal_solution_of_each_task(items):
    x, y = draw(3, items, 7), draw(3, items, 5)
    found = ridge_regression(x, y, RIDGE)
    for t in range(3):
        a, b = x[t].numpy(), y[t].numpy()
        expected = np.linalg.solve(a.T @ a + RIDGE.item() * np.eye(7), a.T @ b)
        np.testing.assert_allclose(found[t], expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("items", [3, 6])
def test_gradients_flow_through_the_solve(items):
    arguments = (draw(2, items, 4), draw(2, items, 3), RIDGE.clone())
    assert torch.autograd.gradcheck(ridge_regression, [a.requires_grad_() for a in arguments])


@pytest.mark.parametrize("items", [3, 6])
def test_rows_of_zeros_do_not_count(items):
    x, y = draw(2, items, 4), draw(2, items, 3)
    longer = [torch.cat([rows, torch.zeros_like(rows[:, :2])], 1) for rows in (x, y)]
    torch.testing.assert_close(ridge_regression(*longer, RIDGE), ridge_regression(x, y, RIDGE))


def test_without_a_ridge_fewer_items_than_features_are_fitted_exactly():
    x, y = draw(2, 3, 7), draw(2, 3, 5)
    torch.testing.assert_close(x @ ridge_regression(x, y, torch.tensor(1e-12)), y, rtol=1e-6, atol=1e-6)
