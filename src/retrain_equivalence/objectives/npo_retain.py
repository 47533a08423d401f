"""NPO with a retain term: what open-unlearning calls NPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.objectives.retain_term import check_retain, retain_part
from retrain_equivalence.objectives.weighted_sum import Part, WeightedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class NPORetain:
    """`npo` on the forget rows plus a retain term: no longer a local method.

    `L = L_npo + λ L_retain`, the retain term `retain_nll` or `retain_kl`, λ the retain weight.

    Source:
        Zhang, Lin, Bai and Mei 2024 ("NPO+RT" with NLL, "NPO+KL"); open-unlearning `npo.py` (β 0.1, α = γ = 1), whose
        default this is. Deviations: those of the terms.

    >>> [(part.objective.name, part.weight) for part in NPORetain(retain="kl").composed().parts]
    [('npo', 1.0), ('retain_kl', 1.0)]
    """

    name: ClassVar[str] = "npo_retain"
    cite: ClassVar[str] = NPO.cite
    also_called: ClassVar[tuple[str, ...]] = ("NPO (open-unlearning)", "NPO+RT", "NPO+KL", "NPO-GDR", "NPO-KLR")

    beta: float = 0.1
    """Inverse temperature β of `npo`, > 0."""
    retain: str = "nll"
    """`nll` or `kl`: the retain term."""
    retain_weight: float = 1.0
    """λ, > 0."""

    def __post_init__(self) -> None:
        check_retain(self.retain, self.retain_weight)
        self.composed()  # a beta without meaning is refused where it is given

    def composed(self) -> WeightedSum:
        return WeightedSum((Part(objective=NPO(beta=self.beta)), retain_part(self.retain, self.retain_weight)))
