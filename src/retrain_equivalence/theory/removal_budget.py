"""The budget of sequential removals: residual bounds add up, and when they exceed what the noise hides, retrain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import positive


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalBudget:
    """What has been spent of β since the last training.

    Bounds add because a Newton step keeps the gradient that was there and adds its own (`logistic_removal`). The
    optimiser's residual is part of the sum: it is spent before the first removal.

    Condition: requests are chosen without looking at the released weights. The bounds hold for adaptive ones too, but
    weights that were released carry information on b, and the (ε, δ) of objective perturbation assume a fresh b.
    """

    limit: float
    """β > 0, from `objective_perturbation.residual_budget`."""
    optimiser_residual: float = 0.0
    """A bound on ‖∇L‖ at the end of training."""
    n_removed: int = 0
    """Removals since the last training."""
    removal_residual: float = 0.0
    """Sum of their bounds."""

    def __post_init__(self) -> None:
        positive(self.limit, "budget")
        for name, value in (("optimiser residual", self.optimiser_residual), ("residual", self.removal_residual)):
            _not_negative(value, name)

    @property
    def spent(self) -> float:
        """Optimiser's residual and removals together: a bound on ‖∇L(w; D')‖."""
        return self.optimiser_residual + self.removal_residual

    @property
    def must_retrain(self) -> bool:
        """Whether the weights may not be released: spent > β. At equality they may."""
        return self.spent > self.limit

    def after(self, bound: float) -> RemovalBudget:
        """Return the budget after one removal (of one row or a batch) with this bound.

        Raises:
            InputError: E-DATA-102 for a bound that is negative or not finite.

        >>> budget = RemovalBudget(limit=1.0, optimiser_residual=0.25).after(0.5)
        >>> budget.must_retrain, budget.after(0.5).must_retrain
        (False, True)
        """
        _not_negative(bound, "residual bound")
        return replace(self, n_removed=self.n_removed + 1, removal_residual=self.removal_residual + bound)

    def retrained(self, optimiser_residual: float) -> RemovalBudget:
        """Return a fresh budget, with a fresh b assumed."""
        return RemovalBudget(limit=self.limit, optimiser_residual=optimiser_residual)


def removals_before_retraining(bounds: Iterable[float], budget: RemovalBudget) -> int | None:
    """Return how many removals in this order fit into the budget; None if all of them do.

    Args:
        bounds: of each removal in turn.
        budget: what there is.

    Raises:
        InputError: E-DATA-102 for a bound that is negative or not finite.

    >>> removals_before_retraining([0.4, 0.4, 0.4], RemovalBudget(limit=1.0))
    2
    """
    for done, bound in enumerate(bounds):
        budget = budget.after(bound)
        if budget.must_retrain:
            return done
    return None


def _not_negative(value: float, name: str) -> None:
    if not (isfinite(value) and value >= 0):
        raise InputError.of(
            "E-DATA-102",
            name,
            f"expected a finite number of at least 0, found {value}",
            "give a norm or a bound on one",
        )
