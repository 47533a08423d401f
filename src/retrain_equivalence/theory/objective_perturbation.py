"""Objective perturbation: noise in the loss that hides the gradient left by a removal, as (ε, δ).

Training minimises L(w; D) + bᵀw, b ~ N(0, σ²I). Weights whose retained gradient is u instead of 0 are the exact minimum
for b − u. An observer of the weights who tells removed from retrained tells b − u from b: a Gaussian mechanism of
sensitivity ‖u‖ ≤ β.

Condition: u does not depend on b once the data is given. ‖u‖ ≤ β for every b is *not* enough: a Newton step's residual
moves with b, and at a β that is the largest residual over all b the certificate can fail, in either form (a test shows
a data set of four rows). With β from the bounds of `certified_logistic` it held in every case tried, because they are
loose, not because it must.
"""

from __future__ import annotations

from enum import StrEnum
from math import exp, log, sqrt

from scipy import optimize

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import positive
from retrain_equivalence.theory.gaussian_outputs import hockey_stick, noise_needed


class Accounting(StrEnum):
    """How σ, ε, δ and the residual are tied together."""

    CLASSICAL = "classical"
    """δ = 1.5 exp(−c²/2), σ = cβ/ε, as printed by Guo et al.; sufficient only for small ε."""
    ANALYTIC = "analytic"
    """The exact δ(ε) of two Gaussians, for every ε."""


def classical_delta(residual: float, sigma: float, epsilon: float) -> float:
    """Return `1.5 exp(−c²/2)` with `c = σε/β`: the printed δ. Not a bound where ε is large; see `analytic_delta`.

    Args:
        residual: β > 0.
        sigma: σ > 0.
        epsilon: ε > 0.

    Raises:
        InputError: E-DATA-102 for a value that is not positive.

    Source: Guo et al. (2020), Theorem 3.

    >>> round(classical_delta(1.0, 3.0, 1.0), 5)
    0.01666
    """
    c = positive(sigma, "sigma") * positive(epsilon, "epsilon") / positive(residual, "residual")
    return 1.5 * exp(-(c**2) / 2)


def analytic_delta(residual: float, sigma: float, epsilon: float) -> float:
    """Return the least δ that holds: `Φ(β/2σ − εσ/β) − e^ε Φ(−β/2σ − εσ/β)`.

    Args:
        residual: β ≥ 0.
        sigma: σ > 0.
        epsilon: ε ≥ 0.

    Raises:
        InputError: E-DATA-102 or E-DATA-117 for values out of range.

    Source: Balle and Wang (2018), Theorem 8.
    """
    return hockey_stick(residual, sigma, epsilon)


def residual_budget(
    sigma: float, epsilon: float, delta: float, *, accounting: Accounting = Accounting.CLASSICAL
) -> float:
    """Return β, the largest sum of residuals that σ still hides at (ε, δ).

    Classical: `β = σε/c`, `c = √(2 log(1.5/δ))`. Analytic: the β at which `analytic_delta` is δ; it is linear in σ.

    Args:
        sigma: σ > 0.
        epsilon: ε > 0.
        delta: δ in (0, 1).
        accounting: which of the two.

    Raises:
        InputError: E-DATA-102 for σ or ε, E-DATA-128 for δ.

    >>> round(residual_budget(1.0, 1.0, 1e-4), 4)
    0.228
    """
    s, order = positive(sigma, "sigma"), positive(epsilon, "epsilon")
    if not 0 < delta < 1:
        raise InputError.of("E-DATA-128", "delta", f"expected a number between 0 and 1, found {delta}", "choose δ < 1")
    if accounting is Accounting.CLASSICAL:
        return s * order / sqrt(2 * log(1.5 / delta))
    return s / noise_needed(1.0, order, delta)


def noise_for(residual: float, epsilon: float, delta: float, *, accounting: Accounting = Accounting.CLASSICAL) -> float:
    """Return σ, the least noise that hides a sum of residuals β at (ε, δ): the inverse of `residual_budget`.

    Args:
        residual: β > 0.
        epsilon: ε > 0.
        delta: δ in (0, 1).
        accounting: which of the two.

    Raises:
        InputError: E-DATA-102 for β or ε, E-DATA-128 for δ.

    >>> round(noise_for(0.228, 1.0, 1e-4), 3)
    1.0
    """
    return positive(residual, "residual") / residual_budget(1.0, epsilon, delta, accounting=accounting)


def classical_limit(delta: float) -> float:
    """Return the ε above which the classical form promises more than it keeps: its σ leaves a larger δ than it says.

    Above it `residual_budget` with `CLASSICAL` is larger than with `ANALYTIC`; below it is smaller, and safe.

    Args:
        delta: δ in (0, 1).

    Raises:
        InputError: E-DATA-128 for δ.

    Source: derived.

    >>> round(classical_limit(1e-4), 2)
    8.38
    """
    found: float = optimize.brentq(
        lambda u: (
            residual_budget(1.0, exp(u), delta) - residual_budget(1.0, exp(u), delta, accounting=Accounting.ANALYTIC)
        ),
        log(1e-3),
        log(1e3),
        xtol=1e-10,
    )
    return exp(found)
