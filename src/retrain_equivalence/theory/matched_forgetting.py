"""Two histories at equal steps, and at equal forgetting.

Gradient ascent on squared loss is power iteration: with e_t = X_U θ_t − y and K = (2/k) X_U X_Uᵀ,
e_t = (I + ηK)^t e_0. So the direction of e_t tends to ±u_1, the first eigenvector of K, whatever the history. At equal
*steps* the distance of two histories explodes because each of them does: relative to a history's own residual it tends
to a constant. At equal *forgetting*, when both have the same forget loss c, the gap relative to kc can only tend to 0
or to 4: the residuals become equal or opposite, by the signs of u_1ᵀe_0.

Corollary. At equal forgetting the two expected losses on the forget set are equal by construction, also where the
predictions are opposite: a definition of retrain equivalence by expected loss does not inherit Theorem 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, vector
from retrain_equivalence.theory.forget_span import ForgetSpan

SAME_CURVATURE = 1e-9
"""Curvatures closer than this share of the larger are one eigenvalue: their order is rounding."""
NO_RESIDUAL = 1e-12
"""Residual coordinates below this share of the targets and predictions that they came from are rounding, and zero."""
_NEWTON_STEPS = 100


class MatchedLimit(StrEnum):
    """Where the gap at equal forgetting tends as the forget loss grows without bound."""

    COLLAPSES = "0: the residuals on the leading mode have one sign, and the histories become one"
    FLIPS = "4: the residuals on the leading mode have opposite signs, and the histories become opposite"
    ORTHOGONAL = "2: the histories excite different leading modes, and end on two orthogonal ones"
    BETWEEN = "between 0 and 4: the leading curvature is repeated, and directions within its modes persist"
    NO_ASCENT = "none: a history has no residual on the forget set, and its ascent never starts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The limit of a pair at equal forgetting."""

    outcome: MatchedLimit
    value: float | None
    """‖e^a − e^b‖² / (kc) as c → ∞, 0 to 4; None where no ascent starts."""


def residuals(span: ForgetSpan, targets: npt.ArrayLike, thetas: npt.ArrayLike) -> Array:
    """Return Uᵀ(X_Uθ − y): residuals in the eigenbasis of K, leading mode first, shape [H, k].

    What is below rounding beside the targets and predictions is exactly 0.

    Args:
        span: of the forget inputs, k rows in d dimensions.
        targets: y, shape [k].
        thetas: θ of each history, shape [H, d].

    Raises:
        InputError: E-DATA-100 or -101 for other shapes or values that are not finite.
    """
    states = matrix(thetas, "thetas", columns=span.inputs.shape[1])
    wanted = vector(targets, "targets", span.n_rows)
    found: Array = (states @ span.inputs.T - wanted) @ span.left
    scale = np.linalg.norm(states, axis=1) * span.singular_values[0] + np.linalg.norm(wanted)
    found[np.abs(found) <= NO_RESIDUAL * scale[:, None]] = 0.0
    return found


def equal_steps_gap(
    span: ForgetSpan, targets: npt.ArrayLike, thetas: npt.ArrayLike, *, learning_rate: float, steps: Sequence[int]
) -> Array:
    """Return ‖e_t^a − e_t^b‖² / ‖e_t^a‖² at equal steps.

    Args:
        span: of the forget inputs.
        targets: y, shape [k].
        thetas: θ_0 of histories a and b, shape [2, d].
        learning_rate: η > 0.
        steps: t ≥ 0, shape [T].

    Returns:
        Shape [T]; infinite where a has no residual and b has one, 0 where neither has.

    Raises:
        InputError: E-DATA-100 to -102 for shapes, values and step size.

    Source: derived. It tends to the constant (u_1ᵀ(e_0^a − e_0^b) / u_1ᵀe_0^a)², see `equal_steps_limit`.

    >>> span = ForgetSpan.of(np.eye(2)[:1])
    >>> equal_steps_gap(span, [0.0], [[1.0, 0.0], [3.0, 0.0]], learning_rate=0.1, steps=[0, 1000]).round(9).tolist()
    [4.0, 4.0]
    """
    first, second = _pair(residuals(span, targets, thetas))
    powers = np.asarray(steps, dtype=np.float64)[:, None] * np.log1p(span.rates(learning_rate))
    gap, own = _log_norm(powers, second - first), _log_norm(powers, first)
    found = np.zeros(len(powers))
    found[np.isneginf(own) & ~np.isneginf(gap)] = np.inf
    kept = ~np.isneginf(own)
    found[kept] = np.exp(2 * (gap[kept] - own[kept]))
    return found


def equal_steps_limit(span: ForgetSpan, targets: npt.ArrayLike, thetas: npt.ArrayLike) -> float | MatchedLimit:
    """Return the limit of `equal_steps_gap`: (u_1ᵀ(e_0^a − e_0^b) / u_1ᵀe_0^a)².

    Where a lacks the leading mode that b has, the ratio grows without bound: infinity.

    Raises:
        InputError: E-DATA-100 or -101 for other shapes or values that are not finite.

    >>> equal_steps_limit(ForgetSpan.of(np.eye(2)[:1]), [0.0], [[1.0, 0.0], [-1.0, 0.0]])
    4.0
    """
    first, second = _pair(residuals(span, targets, thetas))
    if not first.any():
        return MatchedLimit.NO_ASCENT
    leading = _leading(span, np.abs(first) + np.abs(second))
    with np.errstate(divide="ignore"):
        return float(np.square(second - first)[leading].sum() / np.square(first)[leading].sum())


def steps_to_loss(
    span: ForgetSpan,
    targets: npt.ArrayLike,
    thetas: npt.ArrayLike,
    *,
    learning_rate: float,
    log_losses: npt.ArrayLike,
) -> Array:
    """Return the real t ≥ 0 at which the forget loss (1/k) Σ_j (1 + x_j)^{2t} (Uᵀe_0)_j² reaches a level.

    The logarithm of the loss is convex and increasing in t, so Newton's method converges from any start. Steps between
    whole ones continue the powers: levels are matched exactly, which whole steps cannot do.

    Args:
        span: of the forget inputs.
        targets: y, shape [k].
        thetas: θ_0 of each history, shape [H, d].
        learning_rate: η > 0.
        log_losses: natural logarithms of the levels c, shape [C].

    Returns:
        Shape [H, C]; 0 where a history starts at or above the level, infinite where its ascent never starts.

    Raises:
        InputError: E-DATA-100 to -102 for shapes, values and step size.

    >>> span = ForgetSpan.of([[1.0, 0.0]])
    >>> steps_to_loss(span, [0.0], [[1.0, 0.0]], learning_rate=0.5, log_losses=[np.log(64.0)]).round(9).tolist()
    [[3.0]]
    """
    levels = vector(log_losses, "log losses")
    return _steps_to(residuals(span, targets, thetas), np.log1p(span.rates(learning_rate)), levels)


def matched_gap(
    span: ForgetSpan,
    targets: npt.ArrayLike,
    thetas: npt.ArrayLike,
    *,
    learning_rate: float,
    log_losses: npt.ArrayLike,
) -> Array:
    """Return ‖e^a − e^b‖² / (kc) when each history is stopped at forget loss c.

    Args:
        span: of the forget inputs.
        targets: y, shape [k].
        thetas: θ_0 of histories a and b, shape [2, d].
        learning_rate: η > 0.
        log_losses: natural logarithms of the levels c, none below either history's loss at t = 0, shape [C].

    Returns:
        Shape [C], 0 to 4: twice one minus the cosine of the two residuals.

    Raises:
        InputError: E-DATA-111 for a level below a history's loss at the start, or a history without residual: the
            two cannot be matched there; E-DATA-100 to -102 for shapes, values and step size.

    Source: derived (power iteration); the paper compares histories at equal steps only.

    Equal in the leading mode, opposite in the other; the first wins:

    >>> span = ForgetSpan.of([[2.0, 0.0], [0.0, 1.0]])
    >>> gaps = matched_gap(
    ...     span, [0.0, 0.0], [[0.5, 1.0], [0.5, -1.0]], learning_rate=1.0, log_losses=[np.log(1.0), np.log(1e12)]
    ... )
    >>> gaps.round(3).tolist()
    [2.0, 0.0]
    """
    pair, levels = residuals(span, targets, thetas), vector(log_losses, "log losses")
    first, second = _pair(pair)
    log_factors = np.log1p(span.rates(learning_rate))
    starts = 2 * _log_norm(np.zeros((1, span.n_rows)), pair) - np.log(span.n_rows)
    if np.isneginf(starts).any() or levels.min() < starts.max() - 1e-9 * max(abs(starts.max()), 1.0):
        raise InputError.of(
            "E-DATA-111", "log losses",
            f"level {levels.min():.4g} cannot be matched: the log losses at the start are {starts.tolist()}",
            "name levels that both histories rise to",
        )  # fmt: skip
    times = _steps_to(pair, log_factors, levels)
    ends = []
    for history, moving in enumerate((first, second)):
        powers = times[history][:, None] * log_factors
        ends.append(_unit(powers, moving))
    gap: Array = np.square(ends[0] - ends[1]).sum(axis=1)
    return gap


def matched_limit(span: ForgetSpan, targets: npt.ArrayLike, thetas: npt.ArrayLike) -> Limit:
    """Return the limit of `matched_gap` as c → ∞, from the residuals at t = 0 alone.

    Each residual tends to its own direction within the modes of the largest curvature that it excites: ±u_1 if that
    curvature is simple. Two unit vectors ±u_1 are at squared distance 0 or 4.

    Raises:
        InputError: E-DATA-100 or -101 for other shapes or values that are not finite.

    >>> span = ForgetSpan.of([[2.0, 0.0], [0.0, 1.0]])
    >>> matched_limit(span, [0.0, 0.0], [[0.5, 1.0], [-0.1, 1.0]]).value
    4.0
    """
    first, second = _pair(residuals(span, targets, thetas))
    if not (first.any() and second.any()):
        return Limit(outcome=MatchedLimit.NO_ASCENT, value=None)
    places = [_leading(span, np.abs(history)) for history in (first, second)]
    if places[0] != places[1]:
        return Limit(outcome=MatchedLimit.ORTHOGONAL, value=2.0)
    a, b = first[places[0]], second[places[0]]
    if len(a) > 1:
        value = float(np.square(a / np.linalg.norm(a) - b / np.linalg.norm(b)).sum())
        return Limit(outcome=MatchedLimit.BETWEEN, value=value)
    if a[0] * b[0] > 0:
        return Limit(outcome=MatchedLimit.COLLAPSES, value=0.0)
    return Limit(outcome=MatchedLimit.FLIPS, value=4.0)


def absolute_gap_exponent(span: ForgetSpan, learning_rate: float) -> float | None:
    """Return the a in ‖e^a − e^b‖² ∝ c^a for a pair that collapses: log(1 + x_2) / log(1 + x_1).

    Collapse is relative: the second mode's difference grows as (1 + x_2)^{2t} while the loss grows as (1 + x_1)^{2t}.
    So the gap itself still grows, as c^a with a ≤ 1, and the gap relative to c falls as c^(a − 1). None for k = 1: no
    second mode, and the gap is zero.

    Raises:
        InputError: E-DATA-102 for a step size that is not above 0.

    >>> round(absolute_gap_exponent(ForgetSpan.of([[2.0, 0.0], [0.0, 1.0]]), 1.0), 4)  # log 2 / log 5
    0.4307
    """
    logs = np.log1p(span.rates(learning_rate))
    return float(logs[1] / logs[0]) if len(logs) > 1 else None


def _pair(found: Array) -> tuple[Array, Array]:
    if len(found) != 2:
        raise InputError.of("E-DATA-100", "thetas", f"expected two histories, found {len(found)}", "compare two")
    return found[0], found[1]


def _leading(span: ForgetSpan, amounts: Array) -> slice:
    """Return the modes of the largest curvature that is excited."""
    h = span.curvatures
    top = h[np.flatnonzero(amounts)[0]]
    inside = np.flatnonzero(np.abs(h - top) <= SAME_CURVATURE * top)
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _logs(powers: Array, moving: Array) -> tuple[Array, Array]:
    """Return log|f^t z| with its largest taken out, and that largest; 0 where all are zero."""
    with np.errstate(divide="ignore"):
        found: Array = powers + np.log(np.abs(moving))
    top = found.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    return found - top, top[..., 0]


def _log_norm(powers: Array, moving: Array) -> Array:
    """Return log‖f^t z‖, −inf where z = 0."""
    logs, top = _logs(powers, moving)
    with np.errstate(divide="ignore"):
        found: Array = top + 0.5 * np.log(np.exp(2 * logs).sum(axis=-1))
    return found


def _unit(powers: Array, moving: Array) -> Array:
    logs, _ = _logs(powers, moving)
    found: Array = np.sign(moving) * np.exp(logs)
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    return found


def _steps_to(pair: Array, log_factors: Array, levels: Array) -> Array:
    found = np.zeros((len(pair), len(levels)))
    wanted = levels + np.log(len(log_factors))
    for history, moving in enumerate(pair):
        if not moving.any():
            found[history] = np.inf
            continue
        start = 2 * _log_norm(np.zeros((1, len(log_factors))), moving)[0]
        # The slope is at most 2 log(1 + x_1): this start is below every root, and Newton overshoots it once.
        times = np.maximum(wanted - start, 0.0) / (2 * log_factors[0])
        for _ in range(_NEWTON_STEPS):
            logs, top = _logs(times[:, None] * log_factors, moving)
            weights = np.exp(2 * logs)
            total = weights.sum(axis=1)
            excess = 2 * top + np.log(total) - wanted
            change = excess / (2 * (weights @ log_factors) / total)
            moved = np.maximum(times - change, 0.0)
            settled = np.abs(moved - times) <= 1e-14 * np.maximum(times, 1.0)
            times = moved
            if settled.all():
                break
        found[history] = times
    return found
