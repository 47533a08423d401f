"""Losses of a row: slope and curvature are derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.row_loss import RowLoss, loss_named


@pytest.mark.parametrize("loss", list(RowLoss))
def test_slopes_and_curvatures_are_finite_differences(loss: RowLoss) -> None:
    rng = np.random.default_rng(0)
    z, y, h = 3 * rng.standard_normal(200), np.where(rng.random(200) < 0.5, -1.0, 1.0), 1e-4
    up, down = loss.values(z + h, y), loss.values(z - h, y)
    np.testing.assert_allclose(loss.slopes(z, y), (up - down) / (2 * h), atol=1e-7)
    np.testing.assert_allclose(
        loss.curvatures(z, y), (loss.slopes(z + h, y) - loss.slopes(z - h, y)) / (2 * h), atol=1e-7
    )


@pytest.mark.parametrize("loss", list(RowLoss))
def test_mean_gradient_is_the_derivative_of_the_mean_loss_for_one_and_for_several_models(loss: RowLoss) -> None:
    rng = np.random.default_rng(1)
    rows, y, thetas = rng.standard_normal((7, 4)), np.where(rng.random(7) < 0.5, -1.0, 1.0), rng.standard_normal((3, 4))
    found = loss.mean_gradient(thetas, rows, y)
    for h, theta in enumerate(thetas):
        for j in range(4):
            step = 1e-5 * np.eye(4)[j]
            slope = (loss.mean_loss(theta + step, rows, y) - loss.mean_loss(theta - step, rows, y)) / 2e-5
            assert found[h, j] == pytest.approx(float(slope), abs=1e-8)
    np.testing.assert_allclose(loss.mean_gradient(thetas[0], rows, y), found[0], rtol=1e-14)


def test_large_margins_do_not_overflow() -> None:
    z, y = np.array([1e4, -1e4]), np.array([1.0, 1.0])
    assert RowLoss.LOGISTIC.values(z, y).tolist() == [0.0, 1e4]
    assert RowLoss.LOGISTIC.slopes(z, y).tolist() == [0.0, -1.0]


def test_unknown_loss() -> None:
    assert loss_named("squared") is RowLoss.SQUARED
    with pytest.raises(InputError, match="E-DATA-134"):
        loss_named("hinge")
