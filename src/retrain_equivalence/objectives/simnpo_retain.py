"""SimNPO with a retain term: what open-unlearning calls SimNPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import check_positive
from retrain_equivalence.objectives.retain_term import check_retain, retain_part
from retrain_equivalence.objectives.simnpo import SimNPO
from retrain_equivalence.objectives.weighted_sum import Part, WeightedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNPORetain:
    """`simnpo` on the forget rows, down-weighted, plus a retain term: no longer a local method.

    `L = w L_simnpo + λ L_retain`, the retain term `retain_nll` or `retain_kl`, w the forget and λ the retain weight.

    Source:
        Fan et al. 2024 (their TOFU runs); open-unlearning `simnpo.py` (β 4.5, γ 0.125 as the *forget weight*, α 1).
        Deviations: those of the terms; open-unlearning's `gamma` is a weight and is called so here, since the paper's γ
        is a margin.

    >>> [(part.objective.name, part.weight) for part in SimNPORetain().composed().parts]
    [('simnpo', 0.125), ('retain_nll', 1.0)]
    """

    name: ClassVar[str] = "simnpo_retain"
    cite: ClassVar[str] = SimNPO.cite
    also_called: ClassVar[tuple[str, ...]] = ("SimNPO (open-unlearning)",)

    beta: float = 4.5
    """Inverse temperature β of `simnpo`, > 0."""
    gamma: float = 0.0
    """Margin γ of `simnpo`, finite."""
    retain: str = "nll"
    """`nll` or `kl`: the retain term."""
    forget_weight: float = 0.125
    """w, > 0."""
    retain_weight: float = 1.0
    """λ, > 0."""

    def __post_init__(self) -> None:
        check_retain(self.retain, self.retain_weight)
        check_positive("forget_weight", self.forget_weight)
        self.composed()  # a beta or gamma without meaning is refused where it is given

    def composed(self) -> WeightedSum:
        forget = Part(objective=SimNPO(beta=self.beta, gamma=self.gamma), weight=self.forget_weight)
        return WeightedSum((forget, retain_part(self.retain, self.retain_weight)))
