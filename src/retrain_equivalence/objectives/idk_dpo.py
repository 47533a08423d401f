"""DPO whose preferred answers are the package's "I don't know" answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import check_positive
from retrain_equivalence.objectives.dpo import DPO
from retrain_equivalence.objectives.weighted_sum import Part, WeightedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class IdkDPO:
    """`dpo` with "I don't know" as the preferred side: a study need not name any preferred answers.

    `L = (1/B) Σ_b -(2/β) log σ( β (Δ_b^idk - Δ_b^forget) )`, as `dpo`.

    Source:
        Zhang, Lin, Bai and Mei 2024 ("IDK+DPO" of their comparisons) and open-unlearning's default data for DPO.
        Deviations: those of `dpo`; the answers are this package's own wordings.

    >>> IdkDPO(beta=0.5).composed().parts[0].objective
    DPO(beta=0.5)
    """

    name: ClassVar[str] = "idk_dpo"
    cite: ClassVar[str] = DPO.cite
    answers: ClassVar[str] = "idk"
    also_called: ClassVar[tuple[str, ...]] = ("DPO (open-unlearning, there with a retain term)",)

    beta: float = 0.1
    """Inverse temperature β, > 0."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def composed(self) -> WeightedSum:
        return WeightedSum((Part(objective=DPO(beta=self.beta)),))
