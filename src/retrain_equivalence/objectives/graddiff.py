"""Gradient difference: ascent on the forget rows, descent on retain rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.retain_nll import RetainNLL
from retrain_equivalence.objectives.retain_term import check_retain, retain_part
from retrain_equivalence.objectives.weighted_sum import Part, WeightedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class GradDiff:
    """`ga` on the forget rows plus a retain term.

    `L = L_ga + λ L_retain`, the retain term `retain_nll` or `retain_kl` (KL from the start model), λ the retain weight.

    Source:
        Liu, Liu and Stone 2022; TOFU; open-unlearning `grad_diff.py` (γ = α = 1). Deviations: those of `ga`,
        `retain_nll` and `retain_kl`, above all a KL that is masked; the forget weight is 1, since only the ratio of the
        two weights and the learning rate matter.

    >>> [(part.objective.name, part.weight) for part in GradDiff(retain_weight=2.0).composed().parts]
    [('ga', 1.0), ('retain_nll', 2.0)]
    """

    name: ClassVar[str] = "graddiff"
    cite: ClassVar[str] = RetainNLL.cite
    also_called: ClassVar[tuple[str, ...]] = ("gradient difference", "GD", "GA + GDR", "GA + KLR", "KL minimisation")

    retain: str = "nll"
    """`nll` or `kl`: the retain term."""
    retain_weight: float = 1.0
    """λ, > 0."""

    def __post_init__(self) -> None:
        check_retain(self.retain, self.retain_weight)

    def composed(self) -> WeightedSum:
        return WeightedSum((Part(objective=GradientAscent()), retain_part(self.retain, self.retain_weight)))
