"""Random batches, and the comparison of an objective with an independent formula in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from retrain_equivalence.objectives.base import POLICY_LOGPS, REFERENCE_LOGPS, Objective, Observed, Remembers, Seen
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Split, Weights

Rows = list[np.ndarray]
"""One array of token log-probabilities per row: targets only, so no mask; an empty array is a fully masked row."""

Formula = Callable[[Rows, Rows], float]
"""The loss (not the sum) as a function of the policy's and the reference's rows."""

Drawn = dict[ForwardPass, Rows]
"""What each pass saw, targets only: one array a row, [n], or [n, V] of distributions and logits, or [n, D] hidden."""

Labels = dict[Split, list[np.ndarray]]
"""Token ids of each row's targets."""

FormulaOnPasses = Callable[[Drawn, Labels], float]
"""The loss (not the sum) as a function of what the declared passes saw."""

VOCABULARY = 7
"""Entries of a distribution, and width of hidden states, in drawn batches."""

POINTS = 50
STEP = 1e-6
GRADIENT_TOLERANCE = 1e-8
"""Central differences of step 1e-6 in float64: rounding, 1e-16 * |L| / 1e-6, was up to 2.4e-9 here; truncation less."""


def draw_passes(passes: tuple[ForwardPass, ...], rng: np.random.Generator, *, empty_row: bool) -> tuple[Drawn, Labels]:
    """Draw one ragged batch of four rows for every pass; the rows of one split have one length under all weights."""
    lengths = {split: rng.integers(1, 6, size=4) for split in Split}
    if empty_row:
        row = rng.integers(4)
        for split in Split:
            lengths[split][row] = 0
    labels = {split: [rng.integers(VOCABULARY, size=n) for n in lengths[split]] for split in Split}
    drawn: Drawn = {}
    for asked in passes:
        rows = []
        for n in lengths[asked.split]:
            if asked.signal is Signal.TOKEN_LOGPS:
                rows.append(-rng.exponential(2.0, size=n))
            else:
                values = rng.normal(0.0, 1.5, size=(n, VOCABULARY))
                if asked.signal is Signal.LOG_DISTRIBUTION:
                    values -= np.logaddexp.reduce(values, axis=1, keepdims=True)
                rows.append(values)
        drawn[asked] = rows
    return drawn, labels


def evaluate_passes(
    objective: Objective, drawn: Drawn, labels: Labels, memory: dict[str, torch.Tensor] | None = None
) -> tuple[float, Drawn]:
    """Return the loss and its gradient in what the policy's passes saw, through padded tensors with garbage."""
    leaves, observed, starts = {}, {}, [1, 2, 1, 3]
    for asked, rows in drawn.items():
        width = max(map(len, rows)) + 5
        depth = rows[0].shape[1:]
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        values = torch.full((len(rows), width, *depth), 123.0, dtype=torch.float64)
        targets = torch.zeros(len(rows), width, dtype=torch.int64)
        for index, (start, row) in enumerate(zip(starts, rows, strict=False)):
            mask[index, start : start + len(row)] = True
            values[index, start : start + len(row)] = torch.from_numpy(row)
            targets[index, start : start + len(row)] = torch.from_numpy(labels[asked.split][index])
        leaves[asked] = values.requires_grad_(asked.weights is Weights.POLICY)
        observed[asked] = Observed(values_BT=leaves[asked], mask_BT=mask, targets_BT=targets)
    if memory is None:
        memory = dict(objective.init(0, VOCABULARY)) if isinstance(objective, Remembers) else {}
    terms = objective(Seen(observed, declared=objective.passes, memory=memory))
    loss = terms.total / terms.count
    trained = [asked for asked in drawn if asked.weights is Weights.POLICY]
    gradients = torch.autograd.grad(loss, [leaves[asked] for asked in trained], materialize_grads=True)
    found = {
        asked: [gradient[i, starts[i] : starts[i] + len(row)].numpy() for i, row in enumerate(drawn[asked])]
        for asked, gradient in zip(trained, gradients, strict=True)
    }  # fmt: skip
    return float(loss.detach()), found


def differences(formula: FormulaOnPasses, drawn: Drawn, labels: Labels, asked: ForwardPass) -> Rows:
    """Return the central differences of `formula` in everything that one pass saw."""
    gradient = [np.zeros_like(row) for row in drawn[asked]]
    for index, row in enumerate(drawn[asked]):
        for position in np.ndindex(row.shape):
            sides = []
            for sign in (1, -1):
                moved = [other.copy() for other in drawn[asked]]
                moved[index][position] += sign * STEP
                sides.append(formula({**drawn, asked: moved}, labels))
            gradient[index][position] = (sides[0] - sides[1]) / (2 * STEP)
    return gradient


@pytest.fixture
def agrees_on_passes() -> Callable[..., None]:
    """Compare value and gradient of an objective on any passes with a formula in numpy, at 50 random ragged batches.

    `formula(drawn, labels)` returns the loss. A loss with detached weights has another gradient than its value: give
    `surrogate(drawn, labels, base)` for the differences, `base` being what is held constant.
    """

    def compare(
        objective: Objective,
        formula: FormulaOnPasses,
        *,
        surrogate: Callable[[Drawn, Labels, Drawn], float] | None = None,
        points: int = POINTS,
        value_tolerance: float = 1e-12,
        gradient_tolerance: float = 1e-6,
    ) -> None:
        rng = np.random.default_rng(11)
        for point in range(points):
            drawn, labels = draw_passes(tuple(objective.passes), rng, empty_row=point % 3 == 0)
            loss, gradients = evaluate_passes(objective, drawn, labels)
            assert loss == pytest.approx(formula(drawn, labels), rel=value_tolerance, abs=value_tolerance)
            held = formula if surrogate is None else (lambda d, y, base=drawn: surrogate(d, y, base))
            for asked, gradient in gradients.items():
                for ours, theirs in zip(gradient, differences(held, drawn, labels, asked), strict=True):
                    np.testing.assert_allclose(ours, theirs, rtol=gradient_tolerance, atol=GRADIENT_TOLERANCE)

    return compare


@pytest.fixture
def evaluated_on_passes() -> Callable[..., tuple[float, Drawn]]:
    """Loss and gradients of an objective on given rows of every pass, and labels."""
    return evaluate_passes


@pytest.fixture
def agrees(agrees_on_passes: Callable[..., None]) -> Callable[[Objective, Formula], None]:
    """The same for a loss on token log-probabilities of the forget rows: `formula(policy, reference)`."""

    def compare(objective: Objective, formula: Formula) -> None:
        def of_passes(drawn: Drawn, labels: Labels) -> float:
            policy = drawn[POLICY_LOGPS]
            return formula(policy, drawn.get(REFERENCE_LOGPS, policy))

        agrees_on_passes(objective, of_passes, value_tolerance=1e-13, gradient_tolerance=1e-7)

    return compare


@pytest.fixture
def evaluated() -> Callable[[Objective, Rows, Rows], tuple[float, Rows]]:
    """Loss and gradient of such a loss on given rows."""

    def evaluate(objective: Objective, policy: Rows, reference: Rows) -> tuple[float, Rows]:
        rows = {POLICY_LOGPS: policy, REFERENCE_LOGPS: reference}
        drawn = {asked: rows[asked] for asked in objective.passes}
        labels = {Split.FORGET: [np.zeros(len(row), dtype=np.int64) for row in policy]}
        loss, gradients = evaluate_passes(objective, drawn, labels)
        return loss, gradients[POLICY_LOGPS]

    return evaluate
