"""How a local method changes the difference of two histories in the linear world, mode by mode.

Design. Two histories that take the same steps on the same forget rows towards the same targets differ by a vector
Δ_t = L_t Δ_0 in which labels and training history have cancelled. For every method of the table L_t is diagonal in the
eigenbasis v_j of the forget inputs: mode j is multiplied by a_j b_j^t, where a_j is what the method does once, before
its first step, and b_j what each of t steps does. Off the span there is one factor for all directions, and it is 1 for
every local method. So a method is described by a_j and b_j − 1 (the difference, so that slow modes stay exact), and
size, sign, regime, and local rate follow for all of them alike, at any t, in log space.

Linear world: squared loss (1/k)‖X_Uθ − y‖², θ itself trained by plain steps of fixed size, full batch or the same
batches in the same order. Each method's `condition` says what else it needs. The methods that do something once stand
in `relearn_first` and `task_vector`; a retain term has other eigenvectors and stands in `retain_term`.

Source: Lemma 3.2 of Yu et al. (2025) for ascent; the other rows are derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, whole_steps
from retrain_equivalence.theory.forget_span import ForgetSpan


class Regime(StrEnum):
    """What becomes of one mode of the difference."""

    EXPANDING = "expanding"
    """|b| > 1: grows by the same factor with every step, without limit."""
    EXPANDED_ONCE = "expanded once"
    """|b| = 1 < |a|: larger than before, and constant from then on."""
    FROZEN = "frozen"
    """|a| = |b| = 1: its size never changes (its sign may, if b = −1)."""
    CONTRACTED_ONCE = "contracted once"
    """|b| = 1 > |a| > 0: smaller than before, and constant from then on."""
    CONTRACTING = "contracting"
    """0 ≤ |b| < 1: shrinks towards 0 with every step."""
    REMOVED = "removed"
    """a = 0: zero before the first step, and no step brings it back."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModeFactors:
    """Mode j of Δ is multiplied by a_j b_j^t, every direction off the span by a_⊥."""

    once: Array
    """a_j, shape [k]."""
    change: Array
    """b_j − 1 per step, shape [k]."""
    off_span: float = 1.0
    """a_⊥: 1 for a local method, since it never moves off the span; 0 if the difference is removed altogether."""

    @property
    def log_rates(self) -> Array:
        """log|b_j|: nats per step at which mode j grows, shape [k]; −inf where one step removes it."""
        found = np.full(self.change.shape, -np.inf)
        small = self.change > -0.5
        # log1p keeps slow modes exact; further down 1 + change loses nothing that matters.
        found[small] = np.log1p(self.change[small])
        moved = ~small & (self.change != -1)
        found[moved] = np.log(np.abs(1 + self.change[moved]))
        return found

    def log_sizes(self, steps: Sequence[int]) -> Array:
        """Return log|a_j b_j^t|, shape [T, k]; −inf where the factor is 0.

        Raises:
            InputError: E-DATA-112 for no steps or a negative one.

        >>> ModeFactors(once=np.ones(1), change=np.ones(1)).log_sizes([0, 1_000_000]).round(1).tolist()
        [[0.0], [693147.2]]
        """
        times = whole_steps(steps)
        with np.errstate(divide="ignore", invalid="ignore"):
            powers = np.where(times[:, None] == 0, 0.0, times[:, None] * self.log_rates)
            found: Array = powers + np.log(np.abs(self.once))
        return found

    def signs(self, steps: Sequence[int]) -> Array:
        """Return the sign of a_j b_j^t, −1, 0 or 1, shape [T, k].

        >>> ModeFactors(once=np.ones(1), change=np.array([-1.5])).signs([1, 2]).tolist()
        [[-1.0], [1.0]]
        """
        times = whole_steps(steps)
        per_step = np.sign(1 + self.change)
        powers = np.where(times[:, None] == 0, 1.0, np.where(times[:, None] % 2 == 1, per_step, per_step**2))
        found: Array = np.sign(self.once) * powers
        return found

    def regimes(self) -> tuple[Regime, ...]:
        """Return the regime of each mode, in the order of the span's modes."""
        return tuple(_regime(float(a), float(c)) for a, c in zip(self.once, self.change, strict=True))

    @property
    def regime(self) -> Regime:
        """What becomes of a difference that has a part on every mode: of its largest mode in the end."""
        found = set(self.regimes())
        return next(regime for regime in Regime if regime in found)

    def applied(self, span: ForgetSpan, deltas: npt.ArrayLike, step: int) -> Array:
        """Return Δ_t = Σ_j a_j b_j^t ⟨v_j, Δ_0⟩ v_j + a_⊥ (I − P)Δ_0, shape [P, d].

        Args:
            span: the modes, k in d dimensions.
            deltas: Δ_0 of each pair, shape [P, d].
            step: t ≥ 0.

        Raises:
            InputError: E-DATA-110 if it would leave float64 (use `log_sizes` or `log_on_span`), E-DATA-112 for a
                negative step, E-DATA-100 and -101 for shapes and values.

        >>> span = ForgetSpan.of([[1.0, 0.0]])
        >>> GradientAscent(learning_rate=0.5).factors(span).applied(span, [[1.0, 1.0]], 3).round(9).tolist()
        [[8.0, 1.0]]
        """
        rows = matrix(deltas, "deltas", columns=span.inputs.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            sizes = self.signs([step]) * np.exp(self.log_sizes([step]))
            parts = span.coordinates(rows)
            moved: Array = np.where(parts == 0, 0.0, parts * sizes) @ span.basis
        if not np.isfinite(moved).all():
            raise InputError.of(
                "E-DATA-110", f"step {step}", "the difference is above the largest float64",
                "use the log forms, which have no such limit: log_sizes, log_on_span",
            )  # fmt: skip
        return moved + self.off_span * span.off_span(rows)

    def log_on_span(self, span: ForgetSpan, deltas: npt.ArrayLike, steps: Sequence[int]) -> Array:
        """Return log‖PΔ_t‖ of each pair, shape [P, T]; −inf where it is 0.

        As a function of t it is convex: growth never slows, shrinking never quickens.

        Args:
            span: the modes, k in d dimensions.
            deltas: Δ_0 of each pair, shape [P, d].
            steps: the t to report, shape [T].

        Raises:
            InputError: E-DATA-112 for no steps or a negative one, E-DATA-100 and -101 for shapes and values.
        """
        return self.log_norms(span.coordinates(matrix(deltas, "deltas", columns=span.inputs.shape[1])), steps)

    def local_slope(self, span: ForgetSpan, deltas: npt.ArrayLike, steps: Sequence[int]) -> Array:
        """Return the predicted rate of ‖PΔ_t‖ at t, shape [P, T]; see `slopes`.

        Args:
            span: the modes, k in d dimensions.
            deltas: Δ_0 of each pair, shape [P, d].
            steps: the t to report, shape [T].

        Raises:
            InputError: E-DATA-112 for no steps or a negative one, E-DATA-100 and -101 for shapes and values.

        >>> span = ForgetSpan.of(np.eye(2))  # both h_j are 1, so x_j = 1
        >>> GradientAscent(learning_rate=1.0).factors(span).local_slope(span, [[3.0, 4.0]], [0, 9]).round(6).tolist()
        [[0.693147, 0.693147]]
        """
        return self.slopes(span.coordinates(matrix(deltas, "deltas", columns=span.inputs.shape[1])), steps)

    def log_norms(self, parts: Array, steps: Sequence[int]) -> Array:
        """Return ½ log Σ_j (a_j b_j^t c_j)² for each c, shape [P, T].

        Args:
            parts: c_j, coordinates of Δ_0 on the modes, shape [P, k].
            steps: the t to report, shape [T].
        """
        logs = self._log_parts(parts, steps)
        top = logs.max(axis=-1)
        top = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(divide="ignore"):
            found: Array = top + np.log(np.exp(2 * (logs - top[..., None])).sum(axis=-1)) / 2
        return found

    def slopes(self, parts: Array, steps: Sequence[int]) -> Array:
        """Return ½ d/dt log Σ_j (a_j b_j^t c_j)² = Σ_j w_j log|b_j|, shape [P, T].

        The weights w_j ∝ (a_j b_j^t c_j)² sum to 1: the mixture of modes sets the rate, not one eigenvalue. The rate
        never falls with t and tends to the largest log|b_j| with c_j ≠ 0. The change of log‖PΔ‖ from t to t + 1 lies
        between the slopes at t and at t + 1.

        Args:
            parts: c_j, coordinates of Δ_0 on the modes, shape [P, k].
            steps: the t to report, shape [T].

        Returns:
            Nats per step; −inf where nothing is left, or where the next step removes a mode.

        Source: derived.
        """
        logs = self._log_parts(parts, steps)
        top = logs.max(axis=-1, keepdims=True)
        weights = np.exp(2 * (logs - np.where(np.isfinite(top), top, 0.0)))
        total = weights.sum(axis=-1)
        rates = np.where(np.isfinite(self.log_rates), self.log_rates, 0.0)
        # A mode that a step removes has no weight after it, and an infinite slope before it.
        ends = (weights[..., ~np.isfinite(self.log_rates)] > 0).any(axis=-1) | (total == 0)
        found: Array = np.where(ends, -np.inf, weights @ rates / np.where(total > 0, total, 1.0))
        return found

    def _log_parts(self, parts: Array, steps: Sequence[int]) -> Array:
        """Return log|a_j b_j^t c_j|, shape [P, T, k]."""
        with np.errstate(divide="ignore"):
            logs: Array = np.log(np.abs(parts))
        return logs[:, None, :] + self.log_sizes(steps)


class LinearMethod(Protocol):
    """A row of the method table: what one method does to the difference of two histories in the linear world."""

    name: ClassVar[str]
    condition: ClassVar[str]
    """What the factors need beyond the linear world."""

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return its mode factors on these forget inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientAscent:
    """θ ← θ + η∇L_U: mode j is multiplied by (1 + x_j)^t, x_j = η h_j."""

    name: ClassVar[str] = "ga"
    condition: ClassVar[str] = "any step size above 0; the same forget rows, with the same labels, in every history"
    learning_rate: float

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return b_j = 1 + x_j: every mode expands, whatever η.

        >>> GradientAscent(learning_rate=1.0).factors(ForgetSpan.of(np.eye(2))).regime
        <Regime.EXPANDING: 'expanding'>
        """
        return ModeFactors(once=np.ones(span.n_rows), change=span.rates(self.learning_rate))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonTargetDescent:
    """θ ← θ − η∇(1/k)‖X_Uθ − c‖² with one c for all histories: mode j is multiplied by (1 − x_j)^t."""

    name: ClassVar[str] = "descent to a common target"
    condition: ClassVar[str] = "contracts iff the largest x_j is below 2; the target is the same in every history"
    learning_rate: float

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return b_j = 1 − x_j: contracting iff 0 < x_j < 2, frozen in size at x_j = 2, expanding above.

        >>> span = ForgetSpan.of([[2.0, 0.0], [0.0, 1.0]])  # h = 4 and 1
        >>> [r.value for r in CommonTargetDescent(learning_rate=1.0).factors(span).regimes()]
        ['expanding', 'contracting']
        """
        return ModeFactors(once=np.ones(span.n_rows), change=-span.rates(self.learning_rate))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTargetDescent:
    """Descent towards the history's own outputs minus a constant, X_Uθ_0 − c: the difference never changes.

    The forcing term cancels the map exactly: Δ_1 = (I − M)Δ_0 + η(2/k)X_Uᵀ(y^a − y^b) with y^a − y^b = X_UΔ_0.
    """

    name: ClassVar[str] = "descent to an own target"
    condition: ClassVar[str] = "the target is the history's own output before unlearning, less a common constant"
    learning_rate: float

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return 1 for every mode and t, whatever η."""
        positive(self.learning_rate, "learning_rate")
        return ModeFactors(once=np.ones(span.n_rows), change=np.zeros(span.n_rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonFeatureDescent:
    """Features Wx pushed to one fixed vector (as RMU does): each row of W descends to a common target."""

    name: ClassVar[str] = "descent of features to a common vector"
    condition: ClassVar[str] = "features linear in what is trained, one vector for all histories, largest x_j below 2"
    learning_rate: float

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return b_j = 1 − x_j, for each feature alike."""
        return CommonTargetDescent(learning_rate=self.learning_rate).factors(span)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewindAndReplay:
    """Back to the state before the forget stage, then the later stages: it is the oracle, so nothing differs from it.

    Here Δ is the difference from the history's own oracle, not from another history.
    """

    name: ClassVar[str] = "rewind and replay"
    condition: ClassVar[str] = "the state before the forget stage was kept; the later stages run with equal seeds"

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return 0 everywhere, off the span too."""
        return ModeFactors(once=np.zeros(span.n_rows), change=np.zeros(span.n_rows), off_span=0.0)


def _regime(once: float, change: float) -> Regime:
    if once == 0:
        return Regime.REMOVED
    # |1 + change| against 1 by change itself, so that a slow mode is not rounded to a frozen one.
    if change > 0 or change < -2:
        return Regime.EXPANDING
    if -2 < change < 0:
        return Regime.CONTRACTING
    if abs(once) == 1:
        return Regime.FROZEN
    return Regime.EXPANDED_ONCE if abs(once) > 1 else Regime.CONTRACTED_ONCE
