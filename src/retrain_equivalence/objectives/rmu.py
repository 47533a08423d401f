"""RMU: misdirect the hidden states of forget answers, keep those of retain answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import check_positive
from retrain_equivalence.objectives.retain_hidden import RetainHidden
from retrain_equivalence.objectives.rmu_forget import RMUForget
from retrain_equivalence.objectives.weighted_sum import Part, WeightedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class RMU:
    """`rmu_forget` plus `retain_hidden` at one layer.

    `L = L_rmu_forget + α L_retain_hidden`, α the retain weight.

    Source:
        Li et al. 2024; open-unlearning `rmu.py` (γ = α = 1). Deviations: those of the terms.

    >>> [(part.objective.name, part.weight) for part in RMU(layer=2, retain_weight=3.0).composed().parts]
    [('rmu_forget', 1.0), ('retain_hidden', 3.0)]
    """

    name: ClassVar[str] = "rmu"
    cite: ClassVar[str] = RMUForget.cite
    also_called: ClassVar[tuple[str, ...]] = ("representation misdirection for unlearning", "CUT")

    layer: int
    """After which layer, 0 (the embedding) to the model's number of layers."""
    steering: float = 2.0
    """Length of the vector that forget states are pushed to, > 0."""
    retain_weight: float = 1.0
    """α, > 0."""

    def __post_init__(self) -> None:
        check_positive("retain_weight", self.retain_weight)
        self.composed()  # a layer or steering without meaning is refused where it is given

    def composed(self) -> WeightedSum:
        forget = Part(objective=RMUForget(layer=self.layer, steering=self.steering))
        return WeightedSum((forget, Part(objective=RetainHidden(layer=self.layer), weight=self.retain_weight)))
