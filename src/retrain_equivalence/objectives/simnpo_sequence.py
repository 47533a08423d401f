"""The loss that Yu et al. 2025 call SimNPO: the whole sequence's log-likelihood, without length or margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import (
    POLICY_LOGPS,
    Per,
    Seen,
    Terms,
    check_positive,
    sequence_terms,
)
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNPOSequence:
    """SimNPO without length normalisation and without margin: a distinct method under a distinct name.

    `L = (1/B) Σ_b -(2/β) log σ( β S_b )`, `S_b = -Σ_t log π(y_{b,t} | ...)` summed over the scored tokens of row b.
    Gradient: `2π_b^β / (1 + π_b^β)` times that of sequence-summed gradient ascent, about `2 e^{-S_b}` at β = 1: rows
    above 25 to 30 nats give less than Adam's epsilon and stop moving, so the shortest and best memorised rows lead.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over rows and the number of rows with a scored target.

    Source:
        Yu et al. 2025 (the losses of their experiments; `loss.py` of their code, β = 1). Deviations: none in the
        formula; a fully masked row is no sequence instead of the constant (2/β) ln 2.

    One row with S = ln 3 and one with S = 0: 2 ln(4/3) + 2 ln 2.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> observed = Observed(values_BT=torch.tensor([[-math.log(3.0)], [0.0]]), mask_BT=torch.ones(2, 1).bool())
    >>> terms = SimNPOSequence()(Seen({POLICY_LOGPS: observed}, declared=SimNPOSequence.passes))
    >>> round(float(terms.total), 4), round(2 * math.log(4 / 3) + 2 * math.log(2), 4), terms.count
    (1.9617, 1.9617, 2)
    """

    name: ClassVar[str] = "simnpo_sequence"
    also_called: ClassVar[tuple[str, ...]] = ("SimNPO of Yu et al. 2025",)
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = """@article{yu2025impossibility,
  title   = {On the Impossibility of Retrain Equivalence in Machine Unlearning},
  author  = {Yu, Jiatong and He, Yinghui and Goyal, Anirudh and Arora, Sanjeev},
  journal = {arXiv preprint arXiv:2510.16629},
  year    = {2025}
}"""

    beta: float = 1.0
    """Inverse temperature β on the summed log-likelihood, > 0."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        policy = seen[POLICY_LOGPS]
        return sequence_terms(logsigmoid(-self.beta * policy.sequence_sums_B()) * (-2.0 / self.beta), policy)
