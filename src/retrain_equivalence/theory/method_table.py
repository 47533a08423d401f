"""The closing table: what each unlearning method is predicted to do to the difference of two histories.

Rows of the *linear* kind hold mode by mode under squared loss, plain steps and common batches: mode j of the difference
(x_j = η h_j) is multiplied by a factor that the method fixes. Rows of the *logistic* kind hold along the flow of one
example (`speed_law`, `npo_weights`). On a language model all of them are hypotheses about sign and rate, to be tested
with an arm of plain small steps: under Adam or clipping a gap grows at most linearly, whatever the row says.

Source: derived; losses as published by the methods' authors, with the deviations that the conditions name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.core.predictions import Prediction
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.difference_map import (
    CommonFeatureDescent,
    CommonTargetDescent,
    GradientAscent,
    LinearMethod,
    OwnTargetDescent,
    RewindAndReplay,
)
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.relearn_first import RelearnThenAscend
from retrain_equivalence.theory.task_vector import OwnTaskVector


class Kind(StrEnum):
    """Where a row is exact."""

    LINEAR = "squared loss"
    LOGISTIC = "logistic example"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSettings:
    """What the factors depend on besides the rates."""

    n_steps: int = 30
    """t."""
    relearn_steps: int = 10
    """T."""
    strength: float = 1.0
    """α of the task vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRow:
    """One method and its prediction."""

    method: str
    """As `list objectives` names it."""
    kind: Kind
    on_span: Prediction
    rate: str
    """Factor of mode j after t steps, or how the gap goes with t."""
    off_span: str
    conditions: str
    needs: str
    """What it reads besides the forget rows."""
    linear: Callable[[float, MethodSettings], LinearMethod] | None = None
    """From η and settings to the method's mode factors; None where the modes do not separate."""

    def factors(self, span: ForgetSpan, learning_rate: float, settings: MethodSettings) -> Array | None:
        """Return the factor of each mode after `settings.n_steps` steps, shape [k]; None where modes do not separate.

        Raises:
            InputError: E-DATA-102 for a step size that is not positive.
        """
        if self.linear is None:
            return None
        found = self.linear(learning_rate, settings).factors(span)
        sizes: Array = found.signs([settings.n_steps])[0] * np.exp(found.log_sizes([settings.n_steps])[0])
        return sizes


def _ascent(rate: float, _: MethodSettings) -> LinearMethod:
    return GradientAscent(learning_rate=rate)


def _descent(rate: float, _: MethodSettings) -> LinearMethod:
    return CommonTargetDescent(learning_rate=rate)


def _features(rate: float, _: MethodSettings) -> LinearMethod:
    return CommonFeatureDescent(learning_rate=rate)


def _frozen(rate: float, _: MethodSettings) -> LinearMethod:
    return OwnTargetDescent(learning_rate=rate)


def _relearned(rate: float, s: MethodSettings) -> LinearMethod:
    return RelearnThenAscend(relearn_rate=rate, relearn_steps=s.relearn_steps, learning_rate=rate)


def _task_vector(rate: float, s: MethodSettings) -> LinearMethod:
    return OwnTaskVector(strength=s.strength, relearn_rate=rate, relearn_steps=s.relearn_steps)


def _removed(_rate: float, _: MethodSettings) -> LinearMethod:
    return RewindAndReplay()


_LINEAR, _LOGISTIC = Kind.LINEAR, Kind.LOGISTIC
_FROZEN = "frozen"

METHODS: tuple[MethodRow, ...] = (
    MethodRow(
        method="ga", kind=_LINEAR, on_span=Prediction.EXPANDING, rate="(1 + x_j)^t", off_span=_FROZEN,
        conditions="any η > 0; on a logistic example it saturates at a finite gap", needs="nothing", linear=_ascent,
    ),
    MethodRow(
        method="graddiff", kind=_LINEAR, on_span=Prediction.EXPANDING, rate="(I + M_U − λM_R)^t",
        off_span="the same map",
        conditions="rowspan(X_U) not inside rowspan(X_R): expands for every λ; inside: bounded above λ_lo, if η allows;"
        " the same retain batches for both histories", needs="retain data",
    ),
    MethodRow(
        method="npo", kind=_LOGISTIC, on_span=Prediction.RETURNS, rate="Δ_{t+1} = J_tΔ_t + K_tΔ_0",
        off_span=_FROZEN,
        conditions="own reference; with a common reference the gap in loss falls as 1/t at the end",
        needs="own reference",
    ),
    MethodRow(
        method="simnpo", kind=_LOGISTIC, on_span=Prediction.TURNS, rate="Δ_{t+1} = J_tΔ_t", off_span=_FROZEN,
        conditions="contracts along ∇ℓ once β(1 − w/2)‖∇ℓ‖² exceeds the curvature along ∇ℓ", needs="nothing",
    ),
    MethodRow(
        method="dpo", kind=_LOGISTIC, on_span=Prediction.FROZEN, rate="1 in margin", off_span=_FROZEN,
        conditions="two answers in all, own reference: every history moves by the same margin", needs="own reference, "
        "preferred answers",
    ),
    MethodRow(
        method="idk", kind=_LINEAR, on_span=Prediction.CONTRACTING, rate="(1 − x_j)^t", off_span=_FROZEN,
        conditions="one answer for all histories; x_1 < 2", needs="preferred answers", linear=_descent,
    ),
    MethodRow(
        method="uniform", kind=_LINEAR, on_span=Prediction.CONTRACTING, rate="(1 − x_j)^t", off_span=_FROZEN,
        conditions="x_1 < 2", needs="nothing", linear=_descent,
    ),
    MethodRow(
        method="distillation, common teacher", kind=_LINEAR, on_span=Prediction.CONTRACTING, rate="(1 − x_j)^t",
        off_span=_FROZEN, conditions="one teacher for all histories; x_1 < 2", needs="a teacher", linear=_descent,
    ),
    MethodRow(
        method="distillation, own teacher", kind=_LINEAR, on_span=Prediction.FROZEN, rate="1", off_span=_FROZEN,
        conditions="target: the history's own outputs minus a constant; exact at every t", needs="own reference",
        linear=_frozen,
    ),
    MethodRow(
        method="undial", kind=_LINEAR, on_span=Prediction.FROZEN, rate="1", off_span=_FROZEN,
        conditions="own reference, a constant taken from the label's logit; exact for logits under squared loss",
        needs="own reference", linear=_frozen,
    ),
    MethodRow(
        method="rmu", kind=_LINEAR, on_span=Prediction.CONTRACTING, rate="(1 − x_j)^t", off_span=_FROZEN,
        conditions="one control vector for all histories, features linear in the parameters, no retain term; x_1 < 2",
        needs="hidden states", linear=_features,
    ),
    MethodRow(
        method="wga", kind=_LOGISTIC, on_span=Prediction.TURNS, rate="v(m_t)/v(m_0), v = p^β(1 − p)",
        off_span=_FROZEN,
        conditions="turns at p = β/(1 + β), the top of v", needs="nothing",
    ),
    MethodRow(
        method="task vector", kind=_LINEAR, on_span=Prediction.ONE_EXPANSION, rate="1 + α(1 − (1 − x_j)^T)",
        off_span=_FROZEN, conditions="vector from the history itself, x_1 ≤ 1: at most 1 + α; from a common base "
        "exactly frozen", needs="nothing", linear=_task_vector,
    ),
    MethodRow(
        method="relearn_first", kind=_LINEAR, on_span=Prediction.SHRINKS_THEN_EXPANDS,
        rate="(1 − x_j)^T (1 + x_j)^t", off_span=_FROZEN,
        conditions="x_1 < 2; the residual shrinks by the same factor, "
        "so it delays and does not remedy", needs="nothing", linear=_relearned,
    ),
    MethodRow(
        method="rewind", kind=_LINEAR, on_span=Prediction.REMOVED, rate="0 from the own oracle", off_span="0",
        conditions="equal seeds: it is the oracle of the history; the gap between histories becomes that of their "
        "oracles", needs="history", linear=_removed,
    ),
)  # fmt: skip
"""One row per method, in the order of the closing table."""


def method_named(name: str) -> MethodRow:
    """Return the row of this name.

    Raises:
        InputError: E-DATA-124 for a name that is none.

    >>> method_named("idk").on_span.value
    'contracting'
    """
    for row in METHODS:
        if row.method == name:
            return row
    known = ", ".join(row.method for row in METHODS)
    raise InputError.of("E-DATA-124", "method", f"'{name}' has no prediction", f"use one of {known}")


def norm_factor(factors: Array, coordinates: Array) -> float:
    """Return √(Σ f_j² c_j²) / √(Σ c_j²): by how much a difference with these coordinates grows on the span.

    >>> norm_factor(np.array([3.0, 1.0]), np.array([0.0, 2.0]))
    1.0
    """
    return float(np.linalg.norm(factors * coordinates) / np.linalg.norm(coordinates))
