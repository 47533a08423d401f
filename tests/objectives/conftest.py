"""Random batches, and the comparison of an objective with an independent formula in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from retrain_equivalence.objectives.base import POLICY_LOGPS, REFERENCE_LOGPS, Objective, Observed, Seen

Rows = list[np.ndarray]
"""One array of token log-probabilities per row: targets only, so no mask; an empty array is a fully masked row."""

Formula = Callable[[Rows, Rows], float]
"""The loss (not the sum) as a function of the policy's and the reference's rows."""

POINTS = 50
STEP = 1e-6
GRADIENT_TOLERANCE = 1e-8
"""Central differences of step 1e-6 in float64: rounding, 1e-16 * |L| / 1e-6, was up to 2.4e-9 here; truncation less."""


def evaluate(objective: Objective, policy: Rows, reference: Rows) -> tuple[float, Rows]:
    """Return the loss and its gradient at the targets, through padded tensors with garbage outside the mask."""
    width = max(len(row) for row in policy) + 2
    starts = [1 + index % 2 for index in range(len(policy))]
    mask = torch.zeros(len(policy), width + 1, dtype=torch.bool)
    values = torch.full((2, len(policy), width + 1), 123.0, dtype=torch.float64)
    for index, start in enumerate(starts):
        end = start + len(policy[index])
        mask[index, start:end] = True
        values[0, index, start:end] = torch.from_numpy(policy[index])
        values[1, index, start:end] = torch.from_numpy(reference[index])
    leaf = values[0].clone().requires_grad_()
    observed = {
        POLICY_LOGPS: Observed(values_BT=leaf, mask_BT=mask),
        REFERENCE_LOGPS: Observed(values_BT=values[1], mask_BT=mask),
    }
    terms = objective(Seen(observed, declared=objective.passes))
    loss = terms.total / terms.count
    (gradient,) = torch.autograd.grad(loss, leaf)
    rows = [gradient[i, s : s + len(row)].numpy() for i, (s, row) in enumerate(zip(starts, policy, strict=True))]
    return float(loss.detach()), rows


def numerical_gradient(formula: Formula, policy: Rows, reference: Rows) -> Rows:
    """Return the central differences of `formula` in every target."""
    gradient = [np.zeros_like(row) for row in policy]
    for index, row in enumerate(policy):
        for position in range(len(row)):
            sides = []
            for sign in (1, -1):
                moved = [other.copy() for other in policy]
                moved[index][position] += sign * STEP
                sides.append(formula(moved, reference))
            gradient[index][position] = (sides[0] - sides[1]) / (2 * STEP)
    return gradient


@pytest.fixture
def agrees() -> Callable[[Objective, Formula], None]:
    """Compare value and gradient at 50 random ragged batches; every third one holds a fully masked row."""

    def compare(objective: Objective, formula: Formula) -> None:
        rng = np.random.default_rng(7)
        for point in range(POINTS):
            lengths = rng.integers(1, 6, size=4)
            if point % 3 == 0:
                lengths[rng.integers(4)] = 0
            policy = [-rng.exponential(2.0, size=length) for length in lengths]
            reference = [-rng.exponential(2.0, size=length) for length in lengths]
            loss, gradient = evaluate(objective, policy, reference)
            assert loss == pytest.approx(formula(policy, reference), rel=1e-13, abs=1e-13)
            for ours, theirs in zip(gradient, numerical_gradient(formula, policy, reference), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=GRADIENT_TOLERANCE)

    return compare


@pytest.fixture
def evaluated() -> Callable[[Objective, Rows, Rows], tuple[float, Rows]]:
    """Loss and gradient of an objective on given rows."""
    return evaluate
