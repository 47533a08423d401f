"""Randomness in training: unlearning moves the laws of two histories apart in metric, and never in information.

If training is random, a history is a law over parameters. An unlearning map that is common to the histories is a
channel: no f-divergence (total variation, KL, Hellinger, hockey stick) between the two laws can grow under it, even if
the map is itself random, and an injective map leaves each of them exactly as it was. Ascent is injective (I + M_U is
invertible), and so is descent unless some x_j = η h_j is 1. The gap d(t) grows all the same: RE distance, MMD and
Wasserstein distance are metric. Only noise injected during or after unlearning makes a metric gap matter to an
observer (`gaussian_outputs`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrain_equivalence.core.errors import InputError, InstrumentError
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.natural_forgetting import stage_map
from retrain_equivalence.theory.world import LinearWorld, Order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GaussianLaw:
    """N(mean, F Fᵀ): the law of a history's parameters over training seeds."""

    mean: Array
    """Shape [d]."""
    factor: Array
    """F, square, shape [d, d]."""


def history_law(world: LinearWorld, order: Order, initial_deviation: float) -> GaussianLaw:
    """Return the law of a history whose initial parameters are N(initial, τ²I).

    Every stage is affine, so `θ ~ N(θ_h, τ² TTᵀ)` with T = A_K ⋯ A_1 the product of the stages' maps: it is invertible
    for proximal ridge (not for converged stages).

    Args:
        world: the stages and the rule.
        order: of the history.
        initial_deviation: τ > 0.

    Raises:
        InputError: E-DATA-102 if τ is not positive.
    """
    rows = positive(initial_deviation, "initial_deviation") * np.eye(world.initial.size)
    for number in order:
        rows = stage_map(world.rule, world.stages[number], rows)
    return GaussianLaw(mean=world.trained(order), factor=rows.T)


def kullback_leibler(first: GaussianLaw, second: GaussianLaw) -> float:
    """Return KL(first ‖ second) in nats.

    `½ (‖F₂⁻¹F₁‖_F² − d − 2 log|det F₂⁻¹F₁| + ‖F₂⁻¹(m₁ − m₂)‖²)`. Computed from the factors, not from covariances, whose
    condition number is the square.

    Args:
        first: d-dimensional, of full rank.
        second: likewise.

    Raises:
        InputError: E-DATA-118 if a law is degenerate: then KL is infinite or depends on rounding.

    >>> one = GaussianLaw(mean=np.array([0.0]), factor=np.array([[1.0]]))
    >>> kullback_leibler(one, GaussianLaw(mean=np.array([2.0]), factor=np.array([[1.0]])))
    2.0
    """
    relative = _solve(second, np.column_stack([first.factor, first.mean - second.mean]))
    sign, log_volume = np.linalg.slogdet(relative[:, :-1])
    if sign == 0:
        raise _degenerate("first law")
    shift = float(np.square(relative[:, -1]).sum())
    spread = float(np.square(relative[:, :-1]).sum())
    return 0.5 * (spread - len(relative) - 2 * float(log_volume) + shift)


def squared_hellinger(first: GaussianLaw, second: GaussianLaw) -> float:
    """Return 1 − ∫√(pq), between 0 and 1: `1 − |G|^{1/2} |½(I + GGᵀ)|^{−1/2} exp(−¼ zᵀ(I + GGᵀ)⁻¹ z)`.

    In coordinates where the second law is standard: G = F₂⁻¹F₁, z = F₂⁻¹(m₁ − m₂).

    Args:
        first: d-dimensional, of full rank.
        second: likewise.

    Raises:
        InputError: E-DATA-118 if a law is degenerate.
    """
    relative = _solve(second, np.column_stack([first.factor, first.mean - second.mean]))
    spread, shift = relative[:, :-1], relative[:, -1]
    sign, log_volume = np.linalg.slogdet(spread)
    if sign == 0:
        raise _degenerate("first law")
    both = np.eye(len(spread)) + spread @ spread.T
    log_both = float(np.linalg.slogdet(both / 2)[1])
    exponent = 0.5 * float(log_volume) - 0.5 * log_both - 0.25 * float(shift @ np.linalg.solve(both, shift))
    return float(-np.expm1(exponent))


def rotation(span: ForgetSpan) -> Array:
    """Return an orthogonal Q, shape [d, d], whose first k rows are the modes v_j of the forget span."""
    whole = np.linalg.qr(span.basis.T, mode="complete")[0]
    found: Array = np.concatenate([span.basis, whole[:, span.n_rows :].T])
    return found


def in_modes(law: GaussianLaw, span: ForgetSpan, targets: Array) -> GaussianLaw:
    """Return the law of z = Q(θ − c), c the least solution of X_U c = y: there, unlearning scales k coordinates.

    An isometry and a shift, so no divergence and no distance changes. In these coordinates modes that were contracted
    far below the others keep all their digits, which they would lose as differences of parameters.

    Args:
        law: of parameters.
        span: of the forget inputs.
        targets: y, shape [k], common to the histories.
    """
    turned = rotation(span)
    centre = (targets @ span.left / span.singular_values) @ span.basis
    return GaussianLaw(mean=turned @ (law.mean - centre), factor=turned @ law.factor)


def unlearned(law: GaussianLaw, span: ForgetSpan, *, learning_rate: float, step: int) -> GaussianLaw:
    """Return the law, `in_modes`, after t plain steps: z_j -> (1 + η h_j)^t z_j for j ≤ k, the others stay.

    Args:
        law: in the coordinates of `in_modes`.
        span: of the forget inputs.
        learning_rate: η > 0 ascends, η < 0 descends towards the targets.
        step: t ≥ 0.
    """
    growth = np.ones(law.mean.size)
    growth[: span.n_rows] = (1 + learning_rate * span.curvatures) ** step
    return GaussianLaw(mean=growth * law.mean, factor=growth[:, None] * law.factor)


def standardised_modes(first: GaussianLaw, second: GaussianLaw, n_modes: int) -> Array:
    """Return gap² over seed variance along each mode of the forget span, shape [k].

    `(m₁ − m₂)_j² / (½ (Σ₁ + Σ₂)_jj)`. Ascent multiplies both by (1 + x_j)^{2t}: invariant for every t, so an effect
    size of stage order over seeds cannot show the expansion.

    Args:
        first: law of one history, in the coordinates of `in_modes`.
        second: of another.
        n_modes: k.

    Raises:
        InputError: E-DATA-118 if the seeds do not move some mode.
    """
    gap: Array = (first.mean - second.mean)[:n_modes]
    factors = np.concatenate([first.factor, second.factor], axis=1)[:n_modes]
    variance: Array = np.square(factors).sum(axis=1) / 2
    if not (variance > 0).all():
        raise _degenerate("law on the forget span")
    found: Array = np.square(gap) / variance
    return found


def _solve(law: GaussianLaw, columns: Array) -> Array:
    # Rows of equal length: what a map did to the scale of single coordinates then costs no digits.
    lengths = np.linalg.norm(law.factor, axis=1, keepdims=True)
    if not lengths.all():
        raise _degenerate("second law")
    try:
        found: Array = np.asarray(np.linalg.solve(law.factor / lengths, columns / lengths), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise _degenerate("second law") from error
    return found


def _degenerate(place: str) -> InstrumentError:
    return InputError.of(
        "E-DATA-118", place, "degenerate: the seeds leave some direction of the parameters fixed",
        "draw the initial parameters at random and train with a penalty, so that every direction varies",
    )  # fmt: skip
